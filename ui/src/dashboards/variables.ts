// Template variables: their choices, their values, and the text in which they stand.

import { labelNames, labelValues, queryInstant } from "../api";
import { selector } from "../series";
import { autoStep, duration, written, type Window } from "../time";
import type { VariableModel } from "./model";

export const ALL = "$__all";
const SCRAPE_S = 10; // how often the server observes itself, and DogStatsD flushes

export type Values = Record<string, string[]>;

export interface Choice {
  text: string;
  value: string;
}

/** Replace `$name`, `${name}`, `${name:format}` and `[[name]]`; what is not known stays. */
export function interpolated(text: string, values: Values, quote = promqlList): string {
  return text.replace(/\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)(?::(\w+))?\]\]/g, (whole, plain, braced, format, bracketed, other) => {
    const found = values[(plain ?? braced ?? bracketed) as string];
    return found ? formatted(found, (format ?? other) as string | undefined, quote) : whole;
  });
}

function formatted(values: string[], format: string | undefined, quote: (values: string[]) => string): string {
  switch (format) {
    case "raw":
    case "csv":
      return values.join(",");
    case "pipe":
      return values.join("|");
    case "text":
      return values.join(" + ");
    default:
      return quote(values);
  }
}

/** Several values as a regular expression, one as it is: how Grafana writes them into PromQL. */
function promqlList(values: string[]): string {
  if (values.length === 1) return values[0]!;
  return `(${values.map((value) => value.replace(/[\\^$.*+?()[\]{}|]/g, "\\\\$&")).join("|")})`;
}

/** `$__interval` and the like, for a panel that is so many points wide. */
export function builtIns(window: Window, smallest: string | undefined): Values {
  const least = Math.max((smallest && duration(smallest)) || 0, SCRAPE_S);
  const interval = Math.max(window.step, least);
  const range = window.end - window.start;
  return {
    __interval: [written(interval)],
    __interval_ms: [String(interval * 1000)],
    __rate_interval: [written(Math.max(interval + SCRAPE_S, 4 * SCRAPE_S))],
    __range: [written(range)],
    __range_s: [String(Math.round(range))],
    __range_ms: [String(Math.round(range * 1000))],
    __from: [String(window.start * 1000)],
    __to: [String(window.end * 1000)],
  };
}

export function queryText(variable: VariableModel): string {
  const query = typeof variable.query === "string" ? variable.query : variable.query?.query;
  return query ?? variable.definition ?? "";
}

/** Whether the choices of a variable must be asked for. */
export function isAsked(variable: VariableModel): boolean {
  return variable.type === "query";
}

/** The choices of a variable that needs no question. */
export function fixedChoices(variable: VariableModel, window: Window): Choice[] {
  switch (variable.type) {
    case "custom":
      return pairs(queryText(variable));
    case "interval": {
      const automatic = written(autoStep(window.end - window.start, variable.auto_count ?? 30, duration(variable.auto_min ?? "10s") ?? 10));
      const own = pairs(queryText(variable));
      return variable.auto ? [{ text: `auto (${automatic})`, value: automatic }, ...own] : own;
    }
    case "datasource":
      return [{ text: "this server", value: "opstrace" }];
    case "constant":
    case "textbox":
      return [{ text: queryText(variable), value: queryText(variable) }];
    default:
      return [];
  }
}

function pairs(text: string): Choice[] {
  const items = text.match(/(?:\\,|[^,])+/g) ?? [];
  return items.map((item) => {
    const clean = item.replace(/\\,/g, ",").trim();
    const [, name, value] = /^(.+?)\s+:\s+(.+)$/.exec(clean) ?? [];
    return name && value ? { text: name, value } : { text: clean, value: clean };
  });
}

/** Ask for the choices of a query variable: `label_values(…)`, `label_names()`, `metrics(…)` and `query_result(…)`. */
export async function askedChoices(text: string, variable: VariableModel, window: Window): Promise<Choice[]> {
  const [start, end] = [window.start, window.end];
  let found: string[];
  const values = /^\s*label_values\(\s*(?:([\s\S]+),)?\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\)\s*$/.exec(text);
  const metrics = /^\s*metrics\(\s*([\s\S]*?)\s*\)\s*$/.exec(text);
  const result = /^\s*query_result\(([\s\S]+)\)\s*$/.exec(text);
  if (values) found = await labelValues(values[2]!, (values[1] ?? "").trim(), start, end);
  else if (/^\s*label_names\(\s*\)\s*$/.test(text)) found = await labelNames(start, end);
  else if (metrics) found = (await labelValues("__name__", "", start, end)).filter((name) => new RegExp(metrics[1]!).test(name));
  else if (result) {
    const answer = await queryInstant(result[1]!, end);
    found = answer.result.map((series) => `${selector(series.metric)} ${series.value?.[1] ?? ""}`);
  } else throw new Error(`\`${text}\` is none of label_values(…), label_names(), metrics(…) and query_result(…)`);
  return sorted(matched(found, variable.regex ?? ""), variable.sort ?? 0);
}

function matched(values: string[], regex: string): Choice[] {
  const [, body, flags] = /^\/(.*)\/(\w*)$/s.exec(regex) ?? [null, regex, ""];
  if (!body) return values.map((value) => ({ text: value, value }));
  const pattern = new RegExp(body, (flags ?? "").replace("g", ""));
  const found = values.flatMap((value) => {
    const match = pattern.exec(value);
    if (!match) return [];
    const taken = match.groups?.["value"] ?? match[1] ?? value;
    return [{ text: match.groups?.["text"] ?? taken, value: taken }];
  });
  return found.filter((choice, index) => found.findIndex((other) => other.value === choice.value) === index);
}

function sorted(choices: Choice[], sort: number): Choice[] {
  if (!sort) return choices;
  const numeric = sort === 3 || sort === 4;
  const ordered = [...choices].sort((one, other) => one.text.localeCompare(other.text, undefined, { numeric, sensitivity: sort > 4 ? "base" : undefined }));
  return sort % 2 ? ordered : ordered.reverse();
}

/** The values a variable has: those of the address, else the file's, else the first choice. */
export function valuesOf(variable: VariableModel, choices: Choice[], chosen: string[]): string[] {
  const current = variable.current?.value;
  const own = chosen.length ? chosen : Array.isArray(current) ? current : current ? [current] : [];
  const all = own.includes(ALL) || own.includes("All");
  const known = own.filter((value) => choices.some((choice) => choice.value === value));
  if (all && variable.includeAll) return [ALL];
  if (variable.type === "textbox" && own.length) return own;
  if (chosen.length && variable.type !== "datasource") return chosen;
  if (known.length) return known;
  if (variable.includeAll) return [ALL];
  return choices.length ? [choices[0]!.value] : [];
}

/** What stands for a variable in a query. */
export function substituted(variable: VariableModel, choices: Choice[], values: string[]): string[] {
  if (!values.includes(ALL)) return values.length ? values : [""];
  if (variable.allValue) return [variable.allValue];
  return choices.length ? choices.map((choice) => choice.value) : [".*"];
}
