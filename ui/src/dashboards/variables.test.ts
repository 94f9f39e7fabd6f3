import { describe, expect, it } from "vitest";

import type { VariableModel } from "./model";
import { refreshOf, sections, thresholdColour, unrendered, valueColour } from "./model";
import {
  ALL,
  builtIns,
  fixedChoices,
  interpolated,
  ordered,
  promql,
  quotingOf,
  quotingWithin,
  references,
  substituted,
  valuesOf,
  type Quoting,
} from "./variables";

const WINDOW = { start: 0, end: 3600, step: 15, asked: 0 };
const VALUES = { host: ["a"], hosts: ["a.b", "c"], odd: ["x"], path: ["C:\\x/y.z"] };

describe("interpolation", () => {
  it.each([
    ["up{host='$host'}", "up{host='a'}"],
    ["up{host=~'$hosts'}", "up{host=~'(a\\\\.b|c)'}"],
    ["${hosts:csv} ${hosts:pipe} ${hosts:raw}", "a.b,c a.b|c a.b,c"],
    ["[[host]] ${host}", "a a"],
    ["${hosts:regex} ${host:regex} ${path:regex}", "(a\\.b|c) a C:\\\\x\\/y\\.z"],
    ["$unknown $hostile $constructor", "$unknown $hostile $constructor"],
    ["costs $5", "costs $5"],
  ])("%s", (text, result) => expect(interpolated(text, VALUES)).toBe(result));

  it.each<[Quoting, string]>([
    ["text", "C:\\\\x/y.z"],
    ["pattern", "C:\\\\\\\\x/y\\\\.z"],
    ["verbatim", "C:\\x/y.z"],
  ])("writes one value as %s", (quoting, result) => {
    expect(interpolated("$path", VALUES, promql({ path: quoting }))).toBe(result);
  });

  it("escapes one value as well where several or All could be chosen", () => {
    const variable: VariableModel = { name: "v", type: "custom" };
    const choices = [{ text: "a", value: "a" }];
    expect(quotingOf(variable, choices, ["a"])).toBe("text");
    expect(quotingOf({ ...variable, multi: true }, choices, ["a"])).toBe("pattern");
    expect(quotingOf({ ...variable, includeAll: true }, choices, [ALL])).toBe("pattern");
    expect(quotingOf({ ...variable, includeAll: true, allValue: ".+" }, choices, [ALL])).toBe("verbatim");
    expect(quotingOf({ ...variable, includeAll: true }, [], [ALL])).toBe("verbatim");
    expect(quotingWithin({ v: "verbatim", w: "text" }, { v: ["a"], w: ["b"] })).toEqual({ v: "pattern", w: "text" });
  });

  it("knows what a text refers to", () => {
    expect(references("label_values(up{a='$a', b=~'${b:regex}', c='[[c]]'}[$__range], d)")).toEqual([
      "a",
      "b",
      "c",
      "__range",
    ]);
  });

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
  it("are only those that there are to choose from", () => {
    expect(valuesOf({ ...custom, current: { value: "b" } }, choices, ["gone"])).toEqual(["b"]);
    expect(valuesOf(custom, choices, ["gone"])).toEqual(["a"]);
    expect(valuesOf({ ...custom, multi: true }, choices, ["gone", "b"])).toEqual(["b"]);
    expect(valuesOf({ ...custom, includeAll: true }, choices, ["gone"])).toEqual([ALL]);
    expect(valuesOf(custom, [], ["gone"])).toEqual(["gone"]);
  });
  it("of a text may be anything, also nothing", () => {
    const text: VariableModel = { name: "t", type: "textbox", query: "default" };
    const only = fixedChoices(text, WINDOW);
    expect([[], [""], ["x"]].map((chosen) => valuesOf(text, only, chosen))).toEqual([["default"], [""], ["x"]]);
    expect(substituted(text, only, [""])).toEqual([""]);
  });
  it("are found after those they depend on", () => {
    const asked = (name: string, query: string): VariableModel => ({ name, type: "query", query });
    const variables = [
      asked("disk", "label_values(d{host='$host'}, disk)"),
      asked("host", "label_values(u{zone='${zone}'}, host)"),
      { name: "zone", type: "custom" },
    ];
    expect(ordered(variables).map(({ name }) => name)).toEqual(["zone", "host", "disk"]);
    const round = [asked("a", "label_values($b, x)"), asked("b", "label_values($a, x)")];
    expect(ordered(round)).toHaveLength(2);
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
    expect(unrendered({ type: "stat", options: { reduceOptions: { calcs: ["allIsZero"] } } })).toEqual([
      "the calculation allIsZero",
    ]);
    expect(unrendered({ type: "timeseries", options: { legend: { calcs: ["max", "median"] } } })).toEqual([
      "the calculation median in the legend",
    ]);
  });
  it("take the colour of the last threshold reached", () => {
    const thresholds = { mode: "absolute", steps: [{ value: null, color: "green" }, { value: 80, color: "#abc" }] };
    expect(thresholdColour(79, { thresholds }, "x")).toBe("#2f9e44");
    expect(thresholdColour(80, { thresholds }, "x")).toBe("#abc");
    expect(thresholdColour(null, { thresholds }, "x")).toBe("x");
    expect(thresholdColour(1, { thresholds: { steps: [{ color: "green" }] } }, "x")).toBe("#2f9e44");
    expect(thresholdColour(900, { thresholds: { ...thresholds, mode: "percentage" }, max: 1000 }, "x")).toBe("#abc");
  });
  it("take the colour of a mapping before their own and the thresholds'", () => {
    const thresholds = { steps: [{ value: null, color: "green" }] };
    const mappings = [{ type: "value", options: { 0: { text: "down", color: "red" }, 1: { text: "up" } } }];
    expect(valueColour(0, { thresholds, mappings }, "x")).toBe("#e03131");
    expect(valueColour(0, { mappings, color: { mode: "fixed", fixedColor: "blue" } }, "x")).toBe("#e03131");
    expect(valueColour(1, { thresholds, mappings }, "x")).toBe("#2f9e44");
  });
});

it.each<[string | boolean | undefined, string]>([
  ["15s", "15"],
  ["1m", "60"],
  ["1h", "3600"],
  ["", ""],
  [false, ""],
  [undefined, ""],
])("a dashboard's refresh %j", (refresh, seconds) => expect(refreshOf({ refresh })).toBe(seconds));
