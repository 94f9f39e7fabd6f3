// Template variables: their choices, their values, and the text in which they stand.

import { labelNames, labelValues, queryInstant } from "../api";
import { selector } from "../series";
import { autoStep, duration, written, type Window } from "../time";
import type { VariableModel } from "./model";
import { pattern } from "./pattern";

export const ALL = "$__all";
const SCRAPE_S = 10; // how often the server observes itself, and DogStatsD flushes

export type Values = Record<string, string[]>;

export interface Choice {
  text: string;
  value: string;
}

/** How the values of a variable stand in PromQL: as text in quotes, as a regular expression, or as they are. */
export type Quoting = "text" | "pattern" | "verbatim";
type Quote = (values: string[], name: string) => string;

const REFERENCES = /\$(\w+)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)(?::(\w+))?\]\]/g;

/** Replace `$name`, `${name}`, `${name:format}` and `[[name]]`; what is not known stays. */
export function interpolated(text: string, values: Values, quote: Quote = promql({})): string {
  return text.replace(REFERENCES, (whole, plain, braced, format, bracketed, other) => {
    const name = (plain ?? braced ?? bracketed) as string;
    if (!Object.hasOwn(values, name)) return whole;
    const wanted = (format ?? other ?? "") as string;
    return (Object.hasOwn(FORMATS, wanted) ? FORMATS[wanted]! : quote)(values[name]!, name);
  });
}

/** The names of the variables that a text refers to. */
export function references(text: string): string[] {
  return [...text.matchAll(REFERENCES)].map(([, plain, braced, , bracketed]) => (plain ?? braced ?? bracketed)!);
}

export const inWords: Quote = (values) => values.join(" + ");

const alternatives = (patterns: string[]) => (patterns.length === 1 ? patterns[0]! : `(${patterns.join("|")})`);

const FORMATS: Record<string, Quote> = {
  raw: (values) => values.join(","),
  csv: (values) => values.join(","),
  pipe: (values) => values.join("|"),
  text: inWords,
  regex: (values) => alternatives(values.map((value) => value.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"))),
};

// In a quoted string of PromQL a backslash is written as two.
const escapedPattern = (value: string) => value.replace(/\\/g, "\\\\\\\\").replace(/[\^$.*+?()[\]{}|]/g, "\\\\$&");
const several = (values: string[]) => alternatives(values.map(escapedPattern));

const QUOTES: Record<Quoting, (values: string[]) => string> = {
  verbatim: (values) => values.join("|"),
  text: (values) => (values.length === 1 ? values[0]!.replace(/\\/g, "\\\\") : several(values)),
  pattern: several,
};

/** How Grafana writes variables into PromQL; those whose quoting is not given stand as text. */
export const promql =
  (quoting: Record<string, Quoting>): Quote =>
  (values, name) =>
    QUOTES[quoting[name] ?? "text"](values);

/** Where several values or All can be chosen, each is escaped for a regular expression, and so is one alone. */
export function quotingOf(variable: VariableModel, choices: Choice[], values: string[]): Quoting {
  if (values.includes(ALL) && (variable.allValue || !choices.length)) return "verbatim";
  return variable.multi || variable.includeAll ? "pattern" : "text";
}

/** The same where some variables have one value of theirs: what stood for All no longer does. */
export function quotingWithin(quoting: Record<string, Quoting>, scope: Values = {}): Record<string, Quoting> {
  const own = Object.keys(scope).filter((name) => quoting[name] === "verbatim");
  return { ...quoting, ...Object.fromEntries(own.map((name) => [name, "pattern" as const])) };
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
  if (!regex) return values.map((value) => ({ text: value, value }));
  const filter = pattern(regex, "g");
  if (!filter) throw new Error(`\`${regex}\` is no regular expression`);
  const found = values.flatMap((value) => {
    const match = filter.exec(value);
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

/** The values a variable has: those of the address that are among its choices, else the file's, else All or the first.
 * Where there are no choices, the address is believed. */
export function valuesOf(variable: VariableModel, choices: Choice[], chosen: string[]): string[] {
  const current = variable.current?.value;
  const own = Array.isArray(current) ? current : current ? [current] : [];
  const isAll = (values: string[]) => Boolean(variable.includeAll) && (values.includes(ALL) || values.includes("All"));
  const wanted = [chosen, own].filter((values) => values.length);
  if (variable.type === "textbox") return wanted[0] ?? choices.slice(0, 1).map(({ value }) => value);
  if (!choices.length && chosen.length) return isAll(chosen) ? [ALL] : chosen;
  for (const values of wanted) {
    const known = values.filter((value) => choices.some((choice) => choice.value === value));
    if (isAll(values)) return [ALL];
    if (known.length) return known;
  }
  return variable.includeAll ? [ALL] : choices.slice(0, 1).map(({ value }) => value);
}

/** Variables in an order in which each comes after those that its query refers to. */
export function ordered(variables: VariableModel[]): VariableModel[] {
  const found = new Set<VariableModel>();
  const visit = (variable: VariableModel, above: VariableModel[]) => {
    if (found.has(variable) || above.includes(variable)) return;
    const needed = isAsked(variable) ? references(queryText(variable)) : [];
    for (const other of variables) if (needed.includes(other.name)) visit(other, [...above, variable]);
    found.add(variable);
  };
  for (const variable of variables) visit(variable, []);
  return [...found];
}

/** What stands for a variable in a query. */
export function substituted(variable: VariableModel, choices: Choice[], values: string[]): string[] {
  if (!values.includes(ALL)) return values.length ? values : [""];
  if (variable.allValue) return [variable.allValue];
  return choices.length ? choices.map((choice) => choice.value) : [".*"];
}
