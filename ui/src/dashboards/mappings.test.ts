import { expect, it } from "vitest";

import { meaning, unknownMappings, type Mapping } from "./mappings";

const result = { text: "found", color: "red" };
const special = (match: string): Mapping => ({ type: "special", options: { match, result } });

it.each<[Mapping, number | string | null, boolean]>([
  [{ type: "value", options: { 1: result } }, 1, true],
  [{ type: "value", options: { 1: result } }, 2, false],
  [{ type: "value", options: { web: result } }, "web", true],
  [{ type: "value", options: { null: result } }, null, false],
  [{ type: "range", options: { from: 1, to: 5, result } }, 5, true],
  [{ type: "range", options: { from: 1, to: 5, result } }, 6, false],
  [{ type: "range", options: { from: null, to: 5, result } }, -9, true],
  [{ type: "regex", options: { pattern: "/^w/", result } }, "web", false],
  [special("null"), null, true],
  [special("null+nan"), NaN, true],
  [special("nan"), 1, false],
  [special("empty"), "", true],
  [{ type: "other", options: { 1: result } }, 1, false],
])("%j of %j", (mapping, value, matches) => {
  expect(meaning(value, { mappings: [mapping] })).toEqual(
    matches ? result : mapping.type === "regex" ? { ...result, text: "foundeb" } : {},
  );
});

it("the first that a value meets decides", () => {
  const mappings = [
    { type: "value", options: { 1: { color: "blue" } } },
    { type: "range", options: { from: 0, to: 9, result } },
  ];
  expect([1, 2].map((value) => meaning(value, { mappings }))).toEqual([{ color: "blue" }, result]);
});

it("types that are not known are named once", () => {
  expect(unknownMappings([{ type: "value" }, { type: "x" }, { type: "x" }])).toEqual(["x"]);
});
