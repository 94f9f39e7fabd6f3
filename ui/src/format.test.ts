import { expect, it } from "vitest";

import { counted, formatOf } from "./format";

it.each([
  ["", 0, "0"],
  ["", 1234, "1.23 k"],
  ["", 0.00123, "0.00123"],
  ["", 12_345_678, "12.35 M"],
  ["byte", 512, "512 B"],
  ["bytes", 1536, "1.5 KiB"],
  ["bytes", 3 * 1024 ** 3, "3 GiB"],
  ["decbytes", 1500, "1.5 kB"],
  ["mbytes", 1536, "1.5 GiB"],
  ["decmbytes", 1500, "1.5 GB"],
  ["MBs", 2, "2 MB/s"],
  ["Mbits", 2.5, "2.5 M b/s"],
  ["seconds", 0.5, "500 ms"],
  ["dtdurations", 5400, "90 min"],
  ["Bps", 2_500_000, "2.5 MB/s"],
  ["percent", 42.123, "42.12 %"],
  ["percentunit", 0.4212, "42.12 %"],
  ["second", 0.0042, "4.2 ms"],
  ["s", 7200, "2 h"],
  ["millisecond", 1500, "1.5 s"],
  ["byte/second", 2048, "2 KiB/s"],
  ["request/second", 12, "12 request/s"],
  ["suffix:KiB/s", 5, "5 KiB/s"],
  ["shard", 3, "3 shard"],
  ["", Number.NaN, "NaN"],
  ["byte", Infinity, "+∞"],
  ["", -1500, "-1.5 k"],
])("%j of %d", (unit, value, text) => expect(formatOf(unit)(value)).toBe(text));

it.each<[string, number, number, string]>([
  ["", 1.005, 1, "1.0"],
  ["bytes", 1536, 0, "2 KiB"],
  ["percentunit", 0.5, 2, "50.00 %"],
  ["s", 90, 1, "90.0 s"],
])("%j of %d with %d digits", (unit, value, decimals, text) => expect(formatOf(unit)(value, decimals)).toBe(text));

it("things are counted in words", () => {
  expect([counted(1, "host"), counted(1234, "host"), counted(1, "series"), counted(2, "series")]).toEqual(["1 host", "1,234 hosts", "1 series", "2 series"]);
});
