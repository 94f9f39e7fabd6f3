import { expect, it } from "vitest";

import { transformed, type Tabular } from "./transformations";

const table: Tabular = {
  columns: ["host", "zone", "Value"],
  rows: [
    { host: "a", zone: "x", Value: 3 },
    { host: "b", zone: "y", Value: 10 },
    { host: "c", zone: "x", Value: 5 },
  ],
};
const cells = ({ columns, rows }: Tabular) => [columns, ...rows.map((row) => columns.map((column) => row[column]))];

it.each<[string, object, unknown[][]]>([
  ["organize", { excludeByName: { zone: true }, renameByName: { Value: "load" }, indexByName: { Value: 0, host: 1 } }, [["load", "host"], [3, "a"], [10, "b"], [5, "c"]]],
  ["filterFieldsByName", { include: { names: ["host"], pattern: "/^V/" } }, [["host", "Value"], ["a", 3], ["b", 10], ["c", 5]]],
  ["renameByRegex", { regex: "/(.*)ost/", renamePattern: "$1OST" }, [["hOST", "zone", "Value"], ["a", "x", 3], ["b", "y", 10], ["c", "x", 5]]],
  ["sortBy", { sort: [{ field: "Value", desc: true }] }, [["host", "zone", "Value"], ["b", "y", 10], ["c", "x", 5], ["a", "x", 3]]],
  ["limit", { limitField: "1" }, [["host", "zone", "Value"], ["a", "x", 3]]],
  [
    "groupBy",
    { fields: { zone: { operation: "groupby" }, Value: { operation: "aggregate", aggregations: ["sum", "count"] } } },
    [["zone", "Value (sum)", "Value (count)"], ["x", 8, 2], ["y", 10, 1]],
  ],
  ["reduce", { reducers: ["max", "mean"] }, [["Field", "max", "mean"], ["Value", 10, 6]]],
  ["reduce", { reducers: ["sum"], mode: "reduceFields" }, [["Value"], [18]]],
  [
    "calculateField",
    { mode: "binary", alias: "double", binary: { left: "Value", operator: "*", right: "2" } },
    [["host", "zone", "Value", "double"], ["a", "x", 3, 6], ["b", "y", 10, 20], ["c", "x", 5, 10]],
  ],
  ["calculateField", { mode: "reduceRow", reduce: { reducer: "sum" }, replaceFields: true }, [["host", "zone", "sum"], ["a", "x", 3], ["b", "y", 10], ["c", "x", 5]]],
  [
    "filterByValue",
    { type: "exclude", match: "any", filters: [{ fieldName: "Value", config: { id: "greater", options: { value: 5 } } }, { fieldName: "host", config: { id: "equal", options: { value: "c" } } }] },
    [["host", "zone", "Value"], ["a", "x", 3]],
  ],
  ["merge", {}, cells(table)],
])("%s %j", (id, options, expected) => {
  expect(cells(transformed(table, [{ id, options }]))).toEqual(expected);
});

it("follow one another, without those that are switched off", () => {
  const steps = [
    { id: "sortBy", options: { sort: [{ field: "Value" }] } },
    { id: "limit", options: { limitField: 0 }, disabled: true },
    { id: "limit", options: { limitField: 1 } },
  ];
  expect(transformed(table, steps).rows).toEqual([table.rows[0]]);
});
