import { describe, expect, it } from "vitest";

import type { Result } from "../api";
import { distinct, framesOf } from "./data";

const WINDOW = { start: 0, end: 40, step: 10, asked: 0 };
const target = { refId: "A", legendFormat: "{{host}} $zone" };
const answer = (...result: Result["result"]): Result => ({ resultType: "vector", result, warnings: [] });
const instant = answer({ metric: { host: "a" }, value: [40, "7"] });

describe("frames", () => {
  it("of an instant query are one value, at the last moment where moments are drawn", () => {
    expect(framesOf({ type: "stat" }, target, instant, WINDOW, {})[0]).toMatchObject({ values: [7], value: 7 });
    expect(framesOf({ type: "timeseries" }, target, instant, WINDOW, {})[0]).toMatchObject({
      values: [null, null, null, null, 7],
      value: 7,
    });
  });
  it("are called as their template says", () => {
    expect(framesOf({ type: "stat" }, target, instant, WINDOW, { zone: ["x", "y"] })[0]!.name).toBe("a x + y");
    expect(
      framesOf({ type: "stat", title: "Load" }, {}, answer({ metric: {}, value: [0, "1"] }), WINDOW, {})[0]!.name,
    ).toBe("Load");
  });
  it("are not made of histograms", () => {
    expect(framesOf({ type: "stat" }, target, answer({ metric: {}, histograms: [] }), WINDOW, {})).toEqual([]);
  });
  it("of the same name are told apart", () => {
    expect(distinct([{ name: "a" }, { name: "b" }, { name: "a" }])).toEqual([
      { name: "a" },
      { name: "b" },
      { name: "a (2)" },
    ]);
  });
});
