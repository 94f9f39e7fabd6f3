import { expect, it } from "vitest";

import { lined } from "./Losses";

it("a line is a sender and unit, where something was lost first", () => {
  const entry = { tenant: "t", host: "a", version: "7", unit: "points", outcome: "received", reason: "", total: 10 };
  const lines = lined([
    entry,
    { ...entry, outcome: "stored", total: 10 },
    { ...entry, host: "b" },
    { ...entry, host: "b", outcome: "refused", reason: "future", total: 2 },
    { ...entry, host: "b", outcome: "refused", reason: "no_name", total: 1 },
  ]);
  expect(lines.map(({ who, totals, reasons }) => [who[1], totals, reasons])).toEqual([
    ["b", { received: 10, refused: 3 }, ["future: 2", "no_name: 1"]],
    ["a", { received: 10, stored: 10 }, []],
  ]);
});
