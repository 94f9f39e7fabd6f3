import { describe, expect, it } from "vitest";

import type { VariableModel } from "./model";
import { sections, thresholdColour, unrendered } from "./model";
import { ALL, builtIns, fixedChoices, interpolated, substituted, valuesOf } from "./variables";

const WINDOW = { start: 0, end: 3600, step: 15, asked: 0 };
const VALUES = { host: ["a"], hosts: ["a.b", "c"], odd: ["x"] };

describe("interpolation", () => {
  it.each([
    ["up{host='$host'}", "up{host='a'}"],
    ["up{host=~'$hosts'}", "up{host=~'(a\\\\.b|c)'}"],
    ["${hosts:csv} ${hosts:pipe} ${hosts:raw}", "a.b,c a.b|c a.b,c"],
    ["[[host]] ${host}", "a a"],
    ["$unknown $hostile", "$unknown $hostile"],
    ["costs $5", "costs $5"],
  ])("%s", (text, result) => expect(interpolated(text, VALUES)).toBe(result));

  it("never makes a rate over fewer than four observations", () => {
    expect(builtIns(WINDOW, undefined)).toMatchObject({ __interval: ["15s"], __rate_interval: ["40s"], __range: ["1h"] });
    expect(builtIns({ ...WINDOW, step: 300 }, "10m")).toMatchObject({ __interval: ["10m"], __rate_interval: ["10m10s"] });
  });
});

describe("choices and values", () => {
  const custom: VariableModel = { name: "v", type: "custom", query: "a, Bee : b, c\\,d" };
  const choices = fixedChoices(custom, WINDOW);

  it("are read from a custom list", () => {
    expect(choices).toEqual([
      { text: "a", value: "a" },
      { text: "Bee", value: "b" },
      { text: "c,d", value: "c,d" },
    ]);
  });
  it("come from the address, else the file, else the first choice", () => {
    expect(valuesOf({ ...custom, current: { value: "b" } }, choices, ["a"])).toEqual(["a"]);
    expect(valuesOf({ ...custom, current: { value: "b" } }, choices, [])).toEqual(["b"]);
    expect(valuesOf({ ...custom, current: { value: "gone" } }, choices, [])).toEqual(["a"]);
    expect(valuesOf({ ...custom, includeAll: true }, choices, [])).toEqual([ALL]);
    expect(valuesOf(custom, [], [])).toEqual([]);
  });
  it("All stands for every choice, or for what the file says", () => {
    expect(substituted(custom, choices, [ALL])).toEqual(["a", "b", "c,d"]);
    expect(substituted({ ...custom, allValue: ".+" }, choices, [ALL])).toEqual([".+"]);
    expect(substituted(custom, [], [ALL])).toEqual([".*"]);
  });
});

describe("panels", () => {
  it("lie below the rows they belong to", () => {
    const at = (y: number) => ({ x: 0, y, w: 12, h: 4 });
    const inside = { type: "stat", title: "inside", gridPos: at(11) };
    const found = sections([
      { type: "row", title: "shut", collapsed: true, panels: [inside], gridPos: at(10) },
      { type: "stat", title: "below", gridPos: at(5) },
      { type: "row", title: "open", panels: [], gridPos: at(4) },
      { type: "stat", title: "first", gridPos: at(0) },
    ]);
    expect(found.map(({ row, panels }) => [row?.title, panels.map((panel) => panel.title)])).toEqual([
      [undefined, ["first"]],
      ["open", ["below"]],
      ["shut", ["inside"]],
    ]);
  });
  it("say what of them is not rendered", () => {
    expect(unrendered({ type: "timeseries" })).toEqual([]);
    expect(unrendered({ type: "geomap", repeat: "host", datasource: { type: "loki" }, transformations: [{ id: "reduce" }] })).toEqual([
      "panels of type geomap",
      "the data source loki",
      "the transformation reduce",
    ]);
    expect(unrendered({ type: "table", transformations: [{ id: "reduce" }, { id: "heatmap" }, { id: "other", disabled: true }] })).toEqual(["the transformation heatmap"]);
    const overrides = [{ matcher: { id: "byName", options: "x" }, properties: [{ id: "unit" }, { id: "links" }] }];
    expect(unrendered({ type: "stat", fieldConfig: { overrides } })).toEqual(["overrides of links"]);
  });
  it("take the colour of the last threshold reached", () => {
    const thresholds = { mode: "absolute", steps: [{ value: null, color: "green" }, { value: 80, color: "#abc" }] };
    expect(thresholdColour(79, { thresholds }, "x")).toBe("#2f9e44");
    expect(thresholdColour(80, { thresholds }, "x")).toBe("#abc");
    expect(thresholdColour(null, { thresholds }, "x")).toBe("x");
    expect(thresholdColour(900, { thresholds: { ...thresholds, mode: "percentage" }, max: 1000 }, "x")).toBe("#abc");
  });
});
