// Grafana's calculations: one number, or one text, for many.

import { summary } from "../series";

type Value = number | string | null | undefined;

const isThere = (value: Value): value is number | string => value !== null && value !== undefined;

// Those that take texts as well.
const OF_ANY: Record<string, (values: Value[]) => Value> = {
  last: (values) => values.at(-1),
  firstNotNull: (values) => values.find(isThere),
  first: (values) => values[0],
  count: (values) => values.filter(isThere).length,
  countAll: (values) => values.length,
  distinctCount: (values) => new Set(values.filter(isThere)).size,
  changeCount: (values) =>
    values.filter(isThere).filter((value, index, all) => index && value !== all[index - 1]).length,
};

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const ascending = (values: number[]) => [...values].sort((one, other) => one - other);
const steps = (values: number[]) => values.slice(1).map((value, index) => value - values[index]!);

function median(values: number[]): number {
  const [sorted, half] = [ascending(values), Math.floor(values.length / 2)];
  return values.length % 2 ? sorted[half]! : mean([sorted[half - 1]!, sorted[half]!]);
}

function variance(values: number[]): number {
  const middle = mean(values);
  return mean(values.map((value) => (value - middle) ** 2));
}

/** How far a counter went on; after a fall it began at nought. */
function delta(values: number[]): number {
  return steps(values).reduce((sum, step, index) => sum + (step < 0 ? values[index + 1]! : step), 0);
}

const difference = (values: number[]) => values[values.length - 1]! - values[0]!;
const least = (values: number[]) => (values.length ? Math.min(...values) : null);

// Those of numbers, of which there is one at least.
const OF_NUMBERS: Record<string, (values: number[]) => number | null> = {
  min: (values) => summary(values).min,
  max: (values) => summary(values).max,
  mean: (values) => summary(values).mean,
  sum: (values) => summary(values).sum,
  total: (values) => summary(values).sum,
  range: (values) => summary(values).max! - summary(values).min!,
  diff: difference,
  diffperc: (values) => difference(values) / values[0]!,
  delta,
  step: (values) => least(steps(values)),
  logmin: (values) => least(values.filter((value) => value > 0)),
  median,
  variance,
  stdDev: (values) => Math.sqrt(variance(values)),
};

const percentile = (calc: string): number | null => {
  const found = /^p(\d{1,2})$/.exec(calc);
  return found && Number(found[1]) / 100;
};

export function isCalculation(calc: string): boolean {
  return (
    calc === "lastNotNull" ||
    percentile(calc) !== null ||
    Object.hasOwn(OF_ANY, calc) ||
    Object.hasOwn(OF_NUMBERS, calc)
  );
}

/** One number for many, by Grafana's names of calculations; the last there is for one that is not known. */
export function reduced(values: (number | null)[], calc: string): number | null {
  const found = calculated(values, calc);
  return typeof found === "number" ? found : null;
}

/** The same of the cells of a table, which may be texts. */
export function calculated(values: Value[], calc: string): Value {
  if (Object.hasOwn(OF_ANY, calc)) return OF_ANY[calc]!(values);
  const numbers = values.filter((value): value is number => typeof value === "number" && !Number.isNaN(value));
  const part = percentile(calc);
  if (Object.hasOwn(OF_NUMBERS, calc)) return numbers.length ? OF_NUMBERS[calc]!(numbers) : null;
  if (part !== null) return ascending(numbers)[Math.round((numbers.length - 1) * part)];
  return values.findLast((value) => isThere(value) && !Number.isNaN(value));
}
