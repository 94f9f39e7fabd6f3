import { describe, expect, it } from "vitest";

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

  it.each(["", "soon", "now-", "now-x", "now+1h", "2026-99-01"])("%j is none", (text) => expect(moment(text, NOW)).toBeNull());
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
