// From answers of a range query to columns that a chart draws, and what a series is called.

import type { Labels, Series } from "./api";
import type { Window } from "./time";

export interface Column {
  name: string;
  labels: Labels;
  query: number; // which query it answers
  values: (number | null)[];
}

/** PromQL's own writing of a label set. */
export function selector(labels: Labels): string {
  const pairs = Object.entries(labels).filter(([name]) => name !== "__name__");
  const inner = pairs.map(([name, value]) => `${name}="${escaped(value)}"`).join(", ");
  return `${labels["__name__"] ?? ""}${inner || !labels["__name__"] ? `{${inner}}` : ""}`;
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
  const quoted = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const head = ["time", ...columns.map((column) => selector(column.labels) || column.name)].map(quoted).join(",");
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
