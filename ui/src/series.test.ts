import { expect, it } from "vitest";

import { csv, laid, legend, number, selector, summary } from "./series";

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
  const column = { name: "x", labels: { __name__: "up", a: "1,2" }, query: 0, values: [1.5, null] };
  expect(csv([0, 10], [column])).toBe('time,"up{a=""1,2""}"\r\n1970-01-01T00:00:00.000Z,1.5\r\n1970-01-01T00:00:10.000Z,\r\n');
});
