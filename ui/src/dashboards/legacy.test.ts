import { expect, it } from "vitest";

import { modern } from "./legacy";
import { unrendered } from "./model";

it("a graph keeps its unit, its limits, its stack and the figures of its legend", () => {
  const panel = modern({
    type: "graph",
    yaxes: [{ format: "bytes", min: "0", max: null, logBase: 10 }, { format: "short" }],
    stack: true,
    fill: 3,
    linewidth: 2,
    legend: { show: true, values: true, avg: true, current: true, min: false },
  });
  expect(panel.fieldConfig!.defaults).toMatchObject({
    unit: "bytes",
    min: 0,
    max: undefined,
    custom: { stacking: { mode: "normal" }, fillOpacity: 30, lineWidth: 2, scaleDistribution: { type: "log" } },
  });
  expect(panel.options!.legend).toEqual({ showLegend: true, calcs: ["mean", "lastNotNull"] });
});

it("a single stat keeps its unit, its calculation, its colours and what its values mean", () => {
  const panel = modern({
    type: "singlestat",
    format: "percent",
    valueName: "current",
    thresholds: "50,80",
    colors: ["green", "orange", "red"],
    colorValue: true,
    nullText: "gone",
    valueMaps: [
      { op: "=", value: "1", text: "up" },
      { op: "=", value: "null", text: "n/a" },
    ],
  });
  expect(panel.options!.reduceOptions).toEqual({ calcs: ["lastNotNull"] });
  expect(panel.fieldConfig!.defaults).toMatchObject({
    unit: "percent",
    noValue: "gone",
    thresholds: { steps: [{ color: "green" }, { value: 50, color: "orange" }, { value: 80, color: "red" }] },
  });
  expect(panel.fieldConfig!.defaults!.mappings![1]).toEqual({
    type: "special",
    options: { match: "null", result: { text: "n/a" } },
  });
});

it("a text keeps its content, a heat map the unit of its axis", () => {
  expect(modern({ type: "text", content: "# Hi", mode: "markdown" }).options).toEqual({
    content: "# Hi",
    mode: "markdown",
  });
  expect(modern({ type: "heatmap", yAxis: { format: "ms" } }).options).toEqual({ yAxis: { unit: "ms" } });
});

it("what a panel has in the way of today stays", () => {
  const panel = modern({ type: "graph", yaxes: [{ format: "bytes" }], fieldConfig: { defaults: { unit: "s" } } });
  expect(panel.fieldConfig!.defaults!.unit).toBe("s");
  const today = { type: "timeseries" };
  expect(modern(today)).toBe(today);
});

it("what is left of it is named", () => {
  expect(unrendered({ type: "graph", seriesOverrides: [{ alias: "x" }], thresholds: [{ value: 1 }] })).toEqual([
    "overrides of series",
    "thresholds of a graph",
  ]);
});
