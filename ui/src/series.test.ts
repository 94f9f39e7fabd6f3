import { expect, it } from "vitest";

import type { HistogramSample, Result } from "./api";
import { columnsOf, csv, laid, legend, named, number, selector, summary, titled } from "./series";

const WINDOW = { start: 100, end: 140, step: 10, asked: 0 };

it("samples lie on the moments of the window, holes stay holes", () => {
  const series = { metric: {}, values: [[110, "1"], [130, "NaN"], [140, "+Inf"], [150, "9"]] as [number, string][] };
  expect(laid(series, WINDOW)).toEqual([null, 1, null, NaN, Infinity]);
});

it("a label set is written as PromQL reads it", () => {
  expect(selector({ __name__: "up", a: 'x"y\\z' })).toBe('up{a="x\\"y\\\\z"}');
  expect(selector({ __name__: "up" })).toBe("up");
  expect(selector({})).toBe("{}");
});

it("names that are no identifiers are quoted, a metric's inside the braces", () => {
  expect(named("up")).toBe("up");
  expect(named("job:up:sum")).toBe("job:up:sum");
  expect(named("http.requests")).toBe('{"http.requests"}');
  expect(selector({ __name__: "a.b", "my.label": "ü", a: "b" })).toBe('{"a.b", "my.label"="ü", a="b"}');
  expect(selector({ __name__: "up", "a:b": "c" })).toBe('up{"a:b"="c"}');
  expect(selector({ __name__: 'a"b' })).toBe('{"a\\"b"}');
});

const matrix = (...labels: Record<string, string>[]): Result => ({
  resultType: "matrix",
  result: labels.map((metric) => ({ metric, values: [[110, "1"]] })),
  warnings: [],
});

it("columns have names that differ: their labels, or the query where there are none", () => {
  const names = (results: Result[], queries: string[]) => columnsOf(results, queries, WINDOW).map(({ name }) => name);
  expect(titled({}, "sum(a)")).toBe("sum(a)");
  expect(names([matrix({}), matrix({})], ["sum(a)", "sum(b)"])).toEqual(["sum(a)", "sum(b)"]);
  const alike = [matrix({ a: "1" }, { a: "2" }), matrix({ a: "1" })];
  expect(names(alike, ["x", "y"])).toEqual(['{a="1"}', '{a="2"}', '{a="1"} (B)']);
});

it("a series of histograms alone is no column", () => {
  const histograms = { metric: { a: "2" }, histograms: [[110, { count: "1", sum: "2" }]] as HistogramSample[] };
  const result = matrix({ a: "1" });
  const mixed = { ...result, result: [...result.result, histograms] };
  expect(columnsOf([mixed, undefined], ["x", "y"], WINDOW)).toHaveLength(1);
});

it("a legend is Grafana's template", () => {
  expect(legend("{{ host }}: {{absent}}!", { host: "a" })).toBe("a: !");
  expect(legend("", { __name__: "up", host: "a" })).toBe("a");
  expect(legend("__auto", { __name__: "up", host: "a", env: "b" })).toBe('up{host="a", env="b"}');
});

it("figures leave out what is no number", () => {
  expect(summary([null, 2, NaN, 4])).toEqual({ min: 2, max: 4, mean: 3, last: 4, sum: 6 });
  expect(summary([null])).toEqual({ min: null, max: null, mean: null, last: null, sum: null });
  expect(number("-Inf")).toBe(-Infinity);
});

it("CSV quotes what must be quoted", () => {
  const column = { name: 'up{a="1,2"}', labels: {}, query: 0, values: [1.5, null] };
  expect(csv([0, 10], [column])).toBe('time,"up{a=""1,2""}"\r\n1970-01-01T00:00:00.000Z,1.5\r\n1970-01-01T00:00:10.000Z,\r\n');
});
