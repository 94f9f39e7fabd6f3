// From answers of a range query to columns that a chart draws, and what a series is called.

import type { Labels, Result, Series } from "./api";
import type { Window } from "./time";

export interface Column {
  name: string;
  labels: Labels;
  query: number; // which query it answers
  values: (number | null)[];
}

const METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** PromQL's own writing of a label set: any other name than an identifier is quoted, a metric's stands inside then. */
export function selector(labels: Labels): string {
  const metric = labels["__name__"] ?? "";
  const before = METRIC.test(metric) ? metric : "";
  const pairs = Object.entries(labels).filter(([name]) => name !== "__name__");
  const written = pairs.map(([name, value]) => `${labelName(name)}=${quoted(value)}`);
  const inner = [...(metric && !before ? [quoted(metric)] : []), ...written].join(", ");
  return `${before}${inner || !before ? `{${inner}}` : ""}`;
}

/** What can be drawn of native histograms. */
export const NUMBERS_OF_HISTOGRAMS = "histogram_quantile(0.99, …), histogram_avg(…), histogram_count(…)";

/** A metric by its name alone. */
export function named(metric: string): string {
  return selector({ __name__: metric });
}

export function labelName(name: string): string {
  return LABEL.test(name) ? name : quoted(name);
}

export function quoted(text: string): string {
  return `"${escaped(text)}"`;
}

export function escaped(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}

/** A legend by Grafana's template: `{{label}}` stands for its value. */
export function legend(template: string, labels: Labels): string {
  if (!template || template === "__auto") return auto(labels);
  return template.replace(/\{\{\s*([^}\s]+)\s*\}\}/g, (_, name: string) => labels[name] ?? "");
}

function auto(labels: Labels): string {
  const pairs = Object.entries(labels).filter(([name]) => name !== "__name__");
  return pairs.length === 1 ? pairs[0]![1] : selector(labels);
}

export function moments(window: Window): number[] {
  const count = Math.floor((window.end - window.start) / window.step + 1e-6) + 1;
  return Array.from({ length: count }, (_, index) => window.start + index * window.step);
}

/** Lay samples on the moments of a window; a moment without one is null. */
export function laid(series: Series, window: Window): (number | null)[] {
  const values = new Array<number | null>(moments(window).length).fill(null);
  for (const [time, text] of series.values ?? []) {
    const index = Math.round((time - window.start) / window.step);
    if (index >= 0 && index < values.length) values[index] = number(text);
  }
  return values;
}

/** What a series of an answer is called: by its labels, or by the query where it has none. */
export function titled(labels: Labels, query = ""): string {
  return Object.keys(labels).length ? selector(labels) : query;
}

/** The answers' series that have numbers, as columns with names that differ. */
export function columnsOf(results: (Result | undefined)[], queries: string[], window: Window): Column[] {
  const columns: Column[] = results.flatMap((result, query) =>
    (result?.resultType === "matrix" ? result.result : [])
      .filter((series) => series.values)
      .map((series) => ({
        name: titled(series.metric, queries[query]),
        labels: series.metric,
        query,
        values: laid(series, window),
      })),
  );
  const seen = new Set<string>();
  for (const column of columns) {
    if (seen.has(column.name)) column.name = `${column.name} (${String.fromCharCode(65 + column.query)})`;
    seen.add(column.name);
  }
  return columns;
}

/** A sample's value; Prometheus writes what JSON cannot as text. */
export function number(text: string): number {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

export interface Summary {
  min: number | null;
  max: number | null;
  mean: number | null;
  last: number | null;
  sum: number | null;
}

export function summary(values: (number | null)[]): Summary {
  const there = values.filter((value): value is number => value !== null && !Number.isNaN(value));
  if (!there.length) return { min: null, max: null, mean: null, last: null, sum: null };
  let [min, max, sum] = [Infinity, -Infinity, 0];
  for (const value of there) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return { min, max, sum, mean: sum / there.length, last: there[there.length - 1]! };
}

/** Rows of comma separated values (RFC 4180): a moment a row, a series a column. */
export function csv(times: number[], columns: Column[]): string {
  const field = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const head = ["time", ...columns.map((column) => column.name)].map(field).join(",");
  const lines = times.map((time, index) =>
    [new Date(time * 1000).toISOString(), ...columns.map((column) => String(column.values[index] ?? ""))].join(","),
  );
  return [head, ...lines].join("\r\n") + "\r\n";
}

// Twelve hues that keep apart on white and on black, in an order that keeps neighbours apart too.
const PALETTE = ["#3f8efc", "#f2a104", "#2fb380", "#e8590c", "#9c6ade", "#00a3bf", "#d6336c", "#74a818", "#b08968", "#5c7cfa", "#e64980", "#868e96"];

export function colour(index: number): string {
  return PALETTE[index % PALETTE.length]!;
}
