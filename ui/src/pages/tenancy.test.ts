import { expect, test } from "vitest";

import { changes, grown, shortened, textOf, type Limit } from "./tenancy";

const limit = (name: string, value: number, more: Partial<Limit> = {}): Limit => ({ name, value, default: value, fallback: value, of_tenant: false, live: true, ...more });

test("a field is empty where the default holds", () => {
  expect(textOf(limit("max_series", 5), false)).toBe("");
  expect(textOf(limit("max_series", 5, { fallback: 9 }), false)).toBe("5");
  expect(textOf(limit("max_series", 5, { of_tenant: true }), true)).toBe("5");
  expect(textOf(limit("max_series", 5, { fallback: 9 }), true)).toBe("");
});

test("only what differs is sent, and an emptied field takes a setting back", () => {
  const limits = [limit("max_series", 5, { fallback: 9 }), limit("max_flares", 20), limit("query_timeout_s", 120)];
  expect(changes(limits, { max_series: "5", max_flares: "" }, false)).toEqual({});
  expect(changes(limits, { max_series: "", max_flares: " 3 ", query_timeout_s: "0.5" }, false)).toEqual({ max_series: null, max_flares: 3, query_timeout_s: 0.5 });
  expect(changes(limits, { max_series: "many" }, false)).toBe('max_series: "many" is not a number');
});

test("a retention that becomes shorter is named, also by going back to the default", () => {
  const limits = [limit("metric_retention_days", 90, { fallback: 30 }), limit("log_retention_days", 7), limit("max_kept_days", 7)];
  expect(shortened(limits, { metric_retention_days: null, log_retention_days: 8, max_kept_days: 1 })).toEqual(["samples"]);
  expect(shortened(limits, { metric_retention_days: 91, log_retention_days: 6 })).toEqual(["logs"]);
});

test("what tenants used is the growth of all the counters of it", () => {
  expect(grown("a_total")).toBe("sum by (tenant) (increase(a_total[24h]))");
  expect(grown('a{b="c"}', "d")).toBe('sum by (tenant) (increase(a{b="c"}[24h]) or increase(d[24h]))');
});
