import { expect, it } from "vitest";

import { transformed, unknownIn, type Tabular } from "./transformations";

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
  [
    "groupBy",
    { fields: { zone: { operation: "groupby" }, host: { operation: "aggregate", aggregations: ["count", "last"] } } },
    [["zone", "host (count)", "host (last)"], ["x", 2, "c"], ["y", 1, "b"]],
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
  [
    "filterByValue",
    { filters: [{ fieldName: "host", config: { id: "regex", options: { value: "a|c" } } }] },
    [
      ["host", "zone", "Value"],
      ["a", "x", 3],
      ["c", "x", 5],
    ],
  ],
  ["calculateField", { mode: "index" }, cells(table)],
  ["merge", {}, cells(table)],
])("%s %j", (id, options, expected) => {
  expect(cells(transformed([table], [{ id, options }]))).toEqual(expected);
});

it("follow one another, without those that are switched off", () => {
  const steps = [
    { id: "sortBy", options: { sort: [{ field: "Value" }] } },
    { id: "limit", options: { limitField: 0 }, disabled: true },
    { id: "limit", options: { limitField: 1 } },
  ];
  expect(transformed([table], steps).rows).toEqual([table.rows[0]]);
});

const loads: Tabular = {
  columns: ["host", "job", "Value #A"],
  rows: [
    { host: "a", job: "x", "Value #A": 1 },
    { host: "b", job: "x", "Value #A": 2 },
  ],
};
const disks: Tabular = {
  columns: ["host", "disk", "Value #B"],
  rows: [
    { host: "a", disk: "sda", "Value #B": 10 },
    { host: "a", disk: "sdb", "Value #B": 20 },
    { host: "c", disk: "sda", "Value #B": 30 },
  ],
};
const jobs: Tabular = { columns: ["host", "job", "Value #C"], rows: [{ host: "b", job: "y", "Value #C": 7 }] };

it.each<[string, Tabular[], string, object, unknown[][]]>([
  [
    "merge joins rows that are alike in what all tables have, each once",
    [loads, disks],
    "merge",
    {},
    [
      ["host", "job", "Value #A", "disk", "Value #B"],
      ["a", "x", 1, "sda", 10],
      ["b", "x", 2, undefined, undefined],
      ["a", undefined, undefined, "sdb", 20],
      ["c", undefined, undefined, "sda", 30],
    ],
  ],
  [
    "merge of tables without a column in common is one row",
    [
      { columns: ["Value #A"], rows: [{ "Value #A": 1 }] },
      { columns: ["Value #B"], rows: [{ "Value #B": 2 }] },
    ],
    "merge",
    {},
    [["Value #A", "Value #B"], [1, 2]],
  ],
  [
    "a join keeps every row of both",
    [loads, disks],
    "joinByField",
    { byField: "host", mode: "outer" },
    [
      ["host", "job", "Value #A", "disk", "Value #B"],
      ["a", "x", 1, "sda", 10],
      ["a", "x", 1, "sdb", 20],
      ["b", "x", 2, undefined, undefined],
      ["c", undefined, undefined, "sda", 30],
    ],
  ],
  [
    "an inner join keeps those that both have, and numbers columns of the same name",
    [loads, jobs],
    "joinByField",
    { byField: "host", mode: "inner" },
    [["host", "job 1", "Value #A", "job 2", "Value #C"], ["b", "x", 2, "y", 7]],
  ],
  [
    "without either, rows of the same labels are one",
    [loads, { columns: ["host", "job", "Value #B"], rows: [{ host: "a", job: "x", "Value #B": 5 }] }],
    "limit",
    {},
    [["host", "job", "Value #A", "Value #B"], ["a", "x", 1, 5], ["b", "x", 2, undefined]],
  ],
])("%s", (_, tables, id, options, expected) => expect(cells(transformed(tables, [{ id, options }]))).toEqual(expected));

it.each<[string, object, string[]]>([
  ["heatmap", {}, ["the transformation heatmap"]],
  ["reduce", { reducers: ["max", "allValues"] }, ["the calculation allValues"]],
  [
    "groupBy",
    { fields: { host: { operation: "groupby" }, Value: { aggregations: ["uniqueValues", "p95"] } } },
    ["the calculation uniqueValues"],
  ],
  ["calculateField", { mode: "windowFunctions" }, ["calculateField by windowFunctions"]],
  ["calculateField", { mode: "binary", binary: { operator: "**" } }, ["calculateField by **"]],
  ["calculateField", { mode: "reduceRow", reduce: { reducer: "median" } }, []],
  ["filterByValue", { filters: [{ config: { id: "dynamic" } }] }, ["filterByValue by dynamic"]],
  ["merge", {}, []],
])("%s %j names what it cannot do", (id, options, expected) => expect(unknownIn({ id, options })).toEqual(expected));
