// Grafana's calculations: one number for many.

import { summary } from "../series";

/** One number for many, by Grafana's names of calculations. */
export function reduced(values: (number | null)[], calc: string): number | null {
  const { min, max, mean, last, sum } = summary(values);
  const there = values.filter((value) => value !== null);
  const table: Record<string, number | null> = {
    lastNotNull: last,
    last: values.at(-1) ?? null,
    firstNotNull: there[0] ?? null,
    first: values[0] ?? null,
    min,
    max,
    mean,
    sum,
    total: sum,
    count: there.length,
    range: min === null || max === null ? null : max - min,
  };
  return calc in table ? table[calc]! : last;
}
