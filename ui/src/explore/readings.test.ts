import { expect, it } from "vitest";

import type { Result, Series } from "../api";
import { readings } from "./readings";

function answer(resultType: Result["resultType"], ...result: Series[]): Result {
  return { resultType, result, warnings: [] };
}
const bytes = (value: number) => `${value} B`;

it("a vector is a value a series, with its name or the query's", () => {
  const up: Series = { metric: { __name__: "up", a: "b" }, value: [10, "1"] };
  const result = answer("vector", up, { metric: {}, value: [10, "NaN"] });
  expect(readings(result, "sum(up)", bytes)).toEqual([
    { name: 'up{a="b"}', time: null, shown: "1 B", stored: "1" },
    { name: "sum(up)", time: null, shown: "NaN B", stored: "NaN" },
  ]);
});

it("a histogram is its count and sum", () => {
  const result = answer("vector", { metric: { a: "b" }, histogram: [10, { count: "3", sum: "4.5" }] });
  expect(readings(result, "x", bytes)).toEqual([
    { name: '{a="b"}', time: null, shown: "count 3, sum 4.5 B", stored: "count 3, sum 4.5" },
  ]);
});

it("a range is all of its samples, in the order of their times", () => {
  const histograms: Series["histograms"] = [[20, { count: "2", sum: "2" }]];
  const series: Series = { metric: { a: "b" }, values: [[10, "1"], [30, "3"]], histograms };
  expect(readings(answer("matrix", series)).map(({ name, time, stored }) => [name, time, stored])).toEqual([
    ['{a="b"}', 10, "1"],
    ["", 20, "count 2, sum 2"],
    ["", 30, "3"],
  ]);
});

it("a text is a text", () => {
  expect(readings(answer("string", { metric: {}, value: [10, "hello"] }), '"hello"', bytes)).toEqual([
    { name: '"hello"', time: null, shown: "hello", stored: "hello" },
  ]);
});
