// The unit of what a query yields, from the units of its metrics: carried through functions, aggregations and arithmetic.

import type { SyntaxNode } from "@lezer/common";
import { parser } from "@prometheus-io/lezer-promql";

import type { Metadata } from "../api";

/** A unit by its name, "" where there is none or nobody knows; a number that is written out is its value. */
type Quantity = { unit: string; value?: number };

const NONE: Quantity = { unit: "" };

const PER_SECOND = new Set(["rate", "irate", "deriv"]);
// What yields numbers of things, moments, or no unit that has a name.
const BARE = new Set(
  ("absent absent_over_time changes count_over_time day_of_month day_of_week day_of_year days_in_month exp hour ln log2 log10 minute month present_over_time " +
    "resets sgn sqrt stdvar_over_time year histogram_count histogram_fraction histogram_stdvar acos acosh asin asinh atan atanh cos cosh sin sinh tan tanh").split(" "),
);
const SECONDS = new Set("time timestamp start_timestamp ts_of_max_over_time ts_of_min_over_time ts_of_first_over_time ts_of_last_over_time".split(" "));
// What tells of the observations of a histogram: how fast these come does not matter.
const OF_BUCKETS = new Set(["histogram_quantile", "histogram_quantiles", "histogram_avg", "histogram_stddev"]);
const BARE_AGGREGATIONS = new Set(["count", "count_values", "group", "stdvar"]);

// What a unit becomes when it is multiplied by a number, or divided by it.
const MULTIPLIED: Record<string, Record<number, string>> = {
  byte: { 8: "bits" },
  "byte/second": { 8: "bps" },
  fraction: { 100: "percent" },
  percentunit: { 100: "percent" },
  second: { 1000: "millisecond", 1e6: "microsecond" },
};
const DIVIDED: Record<string, Record<number, string>> = {
  byte: { 1024: "kibibyte", [1024 ** 2]: "mebibyte", [1024 ** 3]: "gibibyte" },
  kibibyte: { 1024: "mebibyte" },
  mebibyte: { 1024: "gibibyte" },
  percent: { 100: "percentunit" },
  millisecond: { 1000: "second" },
  microsecond: { 1e6: "second", 1000: "millisecond" },
  nanosecond: { 1e9: "second", 1e6: "millisecond" },
};

export function unitOf(query: string, known: Record<string, Metadata[]>): string {
  const tree = parser.parse(query);
  const root = tree.topNode.firstChild;
  return root && !root.type.isError ? quantityOf(root, query, known).unit : "";
}

function quantityOf(node: SyntaxNode, query: string, known: Record<string, Metadata[]>): Quantity {
  const of = (child: SyntaxNode | null | undefined) => (child ? quantityOf(child, query, known) : NONE);
  switch (node.name) {
    case "NumberDurationLiteral":
      return { unit: "", value: Number(query.slice(node.from, node.to)) };
    case "VectorSelector":
      return { unit: known[nameOf(node, query)]?.[0]?.unit ?? "" };
    case "BinaryExpr":
      return combined(node, of);
    case "AggregateExpr": {
      const aggregation = query.slice(node.from, node.to).match(/^\w+/)?.[0].toLowerCase() ?? "";
      return BARE_AGGREGATIONS.has(aggregation) ? NONE : { unit: of(vectorAmong(node.getChild("FunctionCallBody"))).unit };
    }
    case "FunctionCall": {
      const name = query.slice(node.from, node.to).match(/^\w+/)?.[0] ?? "";
      if (BARE.has(name)) return NONE;
      if (SECONDS.has(name)) return { unit: "second" };
      const { unit } = of(vectorAmong(node.getChild("FunctionCallBody")));
      if (OF_BUCKETS.has(name)) return { unit: total(unit) };
      return { unit: unit && PER_SECOND.has(name) ? perSecond(unit) : unit };
    }
    default:
      // Parentheses, signs, ranges, offsets: what is inside.
      return of(children(node).find((child) => INSIDE.has(child.name)));
  }
}

const INSIDE = new Set([
  ...["AggregateExpr", "BinaryExpr", "FunctionCall", "MatrixSelector", "NumberDurationLiteral", "OffsetExpr", "ParenExpr", "StepInvariantExpr"],
  ...["SubqueryExpr", "UnaryExpr", "VectorSelector"],
]);

const perSecond = (unit: string) => (unit.endsWith("/second") ? unit : `${unit}/second`);
const total = (unit: string) => unit.replace(/\/second$/, "");

function children(node: SyntaxNode): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  for (let child = node.firstChild; child; child = child.nextSibling) found.push(child);
  return found;
}

/** The argument that has a unit: the last one that is no number or text. */
function vectorAmong(body: SyntaxNode | null): SyntaxNode | undefined {
  return body ? children(body).findLast((child) => INSIDE.has(child.name) && child.name !== "NumberDurationLiteral") : undefined;
}

function nameOf(node: SyntaxNode, query: string): string {
  const identifier = node.getChild("Identifier");
  if (identifier) return query.slice(identifier.from, identifier.to);
  const text = query.slice(node.from, node.to);
  return /__name__\s*=\s*["']([^"']+)["']/.exec(text)?.[1] ?? /^\{\s*["']([^"']+)["']/.exec(text)?.[1] ?? "";
}

function combined(node: SyntaxNode, of: (child: SyntaxNode | undefined) => Quantity): Quantity {
  const parts = children(node);
  const [left, right] = parts.filter((child) => INSIDE.has(child.name));
  const [one, other] = [of(left), of(right)];
  const operator = parts[1]?.name ?? "";
  if (parts.some(({ name }) => name === "BoolModifier" || name === "Bool")) return NONE;
  switch (operator) {
    case "Mul":
      return one.value !== undefined && other.value !== undefined ? { unit: "", value: one.value * other.value } : multiplied(one, other);
    case "Div":
      return one.value !== undefined && other.value !== undefined ? { unit: "", value: one.value / other.value } : divided(one, other);
    case "Add":
    case "Sub":
    case "Mod":
      return { unit: one.value !== undefined ? other.unit : other.value !== undefined || one.unit === other.unit ? one.unit : "" };
    case "Or":
      return { unit: one.unit === other.unit ? one.unit : "" };
    case "Pow":
    case "Atan2":
      return NONE;
    default:
      // Comparisons, `and`, `unless`: some of the left side.
      return { unit: one.value !== undefined ? other.unit : one.unit };
  }
}

function multiplied(one: Quantity, other: Quantity): Quantity {
  const [measured, factor] = one.value === undefined ? [one, other.value] : [other, one.value];
  if (factor !== undefined) return { unit: factor === 1 ? measured.unit : (MULTIPLIED[measured.unit]?.[factor] ?? "") };
  const seconds = [one.unit, other.unit].includes("second");
  const rate = [one.unit, other.unit].find((unit) => unit.endsWith("/second"));
  return { unit: seconds && rate ? total(rate) : "" };
}

function divided(one: Quantity, other: Quantity): Quantity {
  if (other.value !== undefined) return { unit: other.value === 1 ? one.unit : (DIVIDED[one.unit]?.[other.value] ?? "") };
  if (one.unit && one.unit === other.unit) return { unit: "percentunit" };
  return { unit: one.unit && other.unit === "second" ? perSecond(one.unit) : "" };
}
