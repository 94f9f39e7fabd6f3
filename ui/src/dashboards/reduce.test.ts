import { describe, expect, it } from "vitest";

import { calculated, isCalculation, reduced } from "./reduce";

const VALUES = [null, 4, 2, 9, null, 1];

describe("calculations", () => {
  it.each<[string, number | null]>([
    ["lastNotNull", 1],
    ["last", 1],
    ["first", null],
    ["firstNotNull", 4],
    ["min", 1],
    ["max", 9],
    ["mean", 4],
    ["sum", 16],
    ["count", 4],
    ["countAll", 6],
    ["range", 8],
    ["diff", -3],
    ["diffperc", -0.75],
    ["delta", 10], // 2 after a fall, 7, 1 after a fall
    ["step", -8],
    ["logmin", 1],
    ["median", 3],
    ["variance", 9.5],
    ["stdDev", Math.sqrt(9.5)],
    ["p50", 4],
    ["p99", 9],
    ["distinctCount", 4],
    ["changeCount", 3],
  ])("%s", (calc, expected) => {
    expect(isCalculation(calc)).toBe(true);
    expect(reduced(VALUES, calc)).toBe(expected);
  });

  it.each(["median", "stdDev", "delta", "p95", "diff", "lastNotNull", "range"])("%s of nothing is nothing", (calc) => {
    expect(reduced([null], calc)).toBeNull();
  });

  it("count and pick texts too", () => {
    const texts = ["a", undefined, "b", "b"];
    expect(["count", "distinctCount", "last", "firstNotNull", "max"].map((calc) => calculated(texts, calc))).toEqual([
      3,
      2,
      "b",
      "a",
      null,
    ]);
  });

  it.each(["allValues", "uniqueValues", "allIsZero", "constructor"])("%s is none", (calc) =>
    expect(isCalculation(calc)).toBe(false),
  );
});
