import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { autoStep, duration, moment, named, windowOf, written } from "./time";

const NOW = Date.UTC(2026, 10, 24, 13, 37, 42) / 1000;

describe("durations", () => {
  it.each([
    ["15s", 15],
    ["1h30m", 5400],
    ["2d", 172_800],
    ["250ms", 0.25],
    ["90", 90],
    ["1w", 604_800],
  ])("%s is %d s, and is written so that PromQL reads it", (text, seconds) => {
    expect(duration(text)).toBe(seconds);
    expect(duration(written(seconds))).toBe(seconds);
  });
  it.each(["", "x", "-5m", "5 m", "m5", "1h-"])("%j is none", (text) => {
    expect(duration(text)).toBeNull();
  });
});

describe("moments", () => {
  it.each([
    ["now", NOW],
    ["now-1h", NOW - 3600],
    ["1790000000000", 1_790_000_000],
    ["1790000000", 1_790_000_000],
    ["2026-11-24T13:00:00Z", Date.UTC(2026, 10, 24, 13) / 1000],
  ])("%s", (text, seconds) => expect(moment(text, NOW)).toBe(seconds));

  it("a day begins at midnight where the reader is, and ends a day later", () => {
    const midnight = new Date(NOW * 1000);
    midnight.setHours(0, 0, 0, 0);
    expect(moment("now/d", NOW)).toBe(midnight.getTime() / 1000);
    expect(moment("now/d", NOW, "up")).toBe(midnight.getTime() / 1000 + 86_400);
  });

  const local = (year: number, month: number, day: number, hour = 0, minute = 0) =>
    new Date(year, month, day, hour, minute).getTime() / 1000;
  const noon = local(2026, 10, 24, 13, 37); // a Tuesday

  it.each<[string, number, number]>([
    ["now/h", local(2026, 10, 24, 13), local(2026, 10, 24, 14)],
    ["now/w", local(2026, 10, 23), local(2026, 10, 30)],
    ["now/M", local(2026, 10, 1), local(2026, 11, 1)],
    ["now/y", local(2026, 0, 1), local(2027, 0, 1)],
    ["now-1M/M", local(2026, 9, 1), local(2026, 10, 1)],
    ["now-1y", local(2025, 10, 24, 13, 37), local(2025, 10, 24, 13, 37)],
    ["now+1h", noon + 3600, noon + 3600],
    ["now-1h30m", noon - 5400, noon - 5400],
    ["now/d+8h", local(2026, 10, 24, 8), local(2026, 10, 25, 8)],
    ["now-1d/d", local(2026, 10, 23), local(2026, 10, 24)],
    ["now-2w", local(2026, 10, 10, 13, 37), local(2026, 10, 10, 13, 37)],
  ])("%s goes by the calendar", (text, start, end) => {
    expect([moment(text, noon), moment(text, noon, "up")]).toEqual([start, end]);
  });

  it("a month before the 31st ends on its last day", () => {
    expect(moment("now-1M", local(2026, 2, 31))).toBe(local(2026, 1, 28));
  });

  describe("where a day has not 24 hours", () => {
    beforeAll(() => vi.stubEnv("TZ", "Europe/Berlin"));
    afterAll(() => vi.unstubAllEnvs());

    it("its ends are midnights all the same", () => {
      const now = Date.UTC(2026, 9, 25, 12) / 1000;
      expect(moment("now/d", now, "up")! - moment("now/d", now)!).toBe(25 * 3600);
      expect(now - moment("now-1d", now)!).toBe(25 * 3600);
    });
  });

  it.each(["", "soon", "now-", "now-x", "now+", "now/x", "now/", "now-1h/", "2026-99-01"])("%j is none", (text) =>
    expect(moment(text, NOW)).toBeNull(),
  );
});

describe("windows", () => {
  it("lie on multiples of their step, so that the same moments are asked for again", () => {
    const first = windowOf({ from: "now-1h", to: "now" }, NOW, 400)!;
    const later = windowOf({ from: "now-1h", to: "now" }, NOW + first.step, 400)!;
    expect(first.step).toBe(10);
    expect(first.start % first.step).toBe(0);
    expect(later.start - first.start).toBe(first.step);
    expect((first.end - first.start) / first.step).toBeLessThanOrEqual(400);
  });

  it("never have more points than the server allows, whatever step is wanted", () => {
    const window = windowOf({ from: "now-30d", to: "now" }, NOW, 400, "1s")!;
    expect((window.end - window.start) / window.step).toBeLessThanOrEqual(5000);
  });

  it("are none when the range cannot be read or ends before it begins", () => {
    expect(windowOf({ from: "soon", to: "now" }, NOW, 400)).toBeNull();
    expect(windowOf({ from: "now", to: "now-1h" }, NOW, 400)).toBeNull();
  });

  it("grow coarser with the range, never finer than senders send", () => {
    expect([60, 3600, 86_400, 7 * 86_400, 365 * 86_400].map((seconds) => autoStep(seconds, 400))).toEqual([10, 10, 300, 1800, 86_400]);
  });
});

it("a range has a name", () => {
  expect(named({ from: "now-1h", to: "now" })).toBe("Last hour");
  expect(named({ from: "now-90m", to: "now" })).toBe("Last 90m");
  expect(named({ from: "now-2d", to: "now-1d" })).toBe("now-2d – now-1d");
});
