// Grafana's transformations of tables: rows and columns in, rows and columns out.

import { pattern } from "./fields";
import type { Transformation } from "./model";
import { reduced } from "./reduce";

export type Cell = string | number | undefined;

export interface Tabular {
  columns: string[];
  rows: Record<string, Cell>[];
}

type Options = Record<string, unknown>;
type Transform = (table: Tabular, options: Options) => Tabular;

const numbers = (cells: Cell[]): (number | null)[] => cells.map((cell) => (typeof cell === "number" ? cell : null));

export function compared(one: Cell, other: Cell): number {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one ?? "").localeCompare(String(other ?? ""), undefined, { numeric: true });
}

function renamed(table: Tabular, name: (column: string) => string): Tabular {
  return {
    columns: table.columns.map(name),
    rows: table.rows.map((row) => Object.fromEntries(table.columns.map((column) => [name(column), row[column]]))),
  };
}

const kept = (table: Tabular, wanted: (column: string) => boolean): Tabular => ({ ...table, columns: table.columns.filter(wanted) });

function organize(table: Tabular, options: Options): Tabular {
  const { excludeByName = {}, indexByName = {}, renameByName = {} } = options as Record<string, Record<string, never>>;
  const left = kept(table, (column) => !excludeByName[column]);
  left.columns.sort((one, other) => (indexByName[one] ?? 999) - (indexByName[other] ?? 999));
  return renamed(left, (column) => renameByName[column] || column);
}

interface Names {
  names?: string[];
  pattern?: string;
}

function filterFieldsByName(table: Tabular, { include, exclude }: { include?: Names; exclude?: Names }): Tabular {
  const among = ({ names = [], pattern: text }: Names, column: string) => names.includes(column) || Boolean(text && pattern(text)?.test(column));
  return kept(table, (column) => (!include || among(include, column)) && !(exclude && among(exclude, column)));
}

function renameByRegex(table: Tabular, { regex = "", renamePattern = "" }: { regex?: string; renamePattern?: string }): Tabular {
  const found = pattern(regex);
  return found ? renamed(table, (column) => column.replace(found, renamePattern)) : table;
}

function sortBy(table: Tabular, { sort = [] }: { sort?: { field?: string; desc?: boolean }[] }): Tabular {
  const [first] = sort;
  if (!first?.field) return table;
  const rows = [...table.rows].sort((one, other) => compared(one[first.field!], other[first.field!]) * (first.desc ? -1 : 1));
  return { ...table, rows };
}

type Grouped = Record<string, { operation?: string; aggregations?: string[] }>;

function groupBy(table: Tabular, { fields = {} }: { fields?: Grouped }): Tabular {
  const keys = table.columns.filter((column) => fields[column]?.operation === "groupby");
  if (!keys.length) return table;
  const sums = table.columns
    .filter((column) => fields[column]?.operation === "aggregate")
    .flatMap((column) => (fields[column]!.aggregations ?? []).map((calc) => ({ column, calc, name: `${column} (${calc})` })));
  const groups = new Map<string, Record<string, Cell>[]>();
  for (const row of table.rows) {
    const key = JSON.stringify(keys.map((column) => row[column] ?? null));
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  const rows = [...groups.values()].map((members) => ({
    ...Object.fromEntries(keys.map((column) => [column, members[0]![column]])),
    ...Object.fromEntries(sums.map(({ column, calc, name }) => [name, reduced(numbers(members.map((row) => row[column])), calc) ?? undefined])),
  }));
  return { columns: [...keys, ...sums.map(({ name }) => name)], rows };
}

/** One row a column of numbers, a column a calculation. */
function reduce(table: Tabular, { reducers = ["max"], mode }: { reducers?: string[]; mode?: string }): Tabular {
  const numeric = table.columns.filter((column) => table.rows.some((row) => typeof row[column] === "number"));
  const calculated = (column: string, calc: string) => reduced(numbers(table.rows.map((row) => row[column])), calc) ?? undefined;
  if (mode === "reduceFields") {
    const names = numeric.flatMap((column) => reducers.map((calc) => ({ column, calc, name: reducers.length > 1 ? `${column} ${calc}` : column })));
    return { columns: names.map(({ name }) => name), rows: [Object.fromEntries(names.map(({ column, calc, name }) => [name, calculated(column, calc)]))] };
  }
  const rows = numeric.map((column) => ({ Field: column, ...Object.fromEntries(reducers.map((calc) => [calc, calculated(column, calc)])) }));
  return { columns: ["Field", ...reducers], rows };
}

const OPERATORS: Record<string, (left: number, right: number) => number> = {
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => left / right,
  "%": (left, right) => left % right,
};

interface Calculation {
  mode?: string;
  alias?: string;
  replaceFields?: boolean;
  binary?: { left?: unknown; operator?: string; right?: unknown };
  reduce?: { reducer?: string; include?: string[] };
}

function calculateField(table: Tabular, { mode, alias, replaceFields, binary, reduce: over }: Calculation): Tabular {
  const operand = (side: unknown): unknown => (typeof side === "object" && side ? ((side as Options)["fixed"] ?? ((side as { matcher?: Options }).matcher?.["options"] as unknown)) : side);
  const [left, right] = [operand(binary?.left), operand(binary?.right)];
  const worth = (row: Record<string, Cell>, side: unknown): Cell => row[String(side)] ?? (Number.isNaN(Number(side)) ? undefined : Number(side));
  const calculated = (row: Record<string, Cell>): number | undefined => {
    if (mode === "binary") {
      const [one, other] = [worth(row, left), worth(row, right)];
      const operator = OPERATORS[binary?.operator ?? "+"];
      return operator && typeof one === "number" && typeof other === "number" ? operator(one, other) : undefined;
    }
    const columns = over?.include?.length ? over.include : table.columns;
    return reduced(numbers(columns.map((column) => row[column]).filter((cell) => typeof cell === "number")), over?.reducer ?? "sum") ?? undefined;
  };
  const name = alias || (mode === "binary" ? `${String(left)} ${binary?.operator ?? "+"} ${String(right)}` : (over?.reducer ?? "sum"));
  const texts = table.columns.filter((column) => table.rows.every((row) => typeof row[column] !== "number"));
  const columns = [...(replaceFields ? texts : table.columns.filter((column) => column !== name)), name];
  return { columns, rows: table.rows.map((row) => ({ ...row, [name]: calculated(row) })) };
}

interface Condition {
  fieldName?: string;
  config?: { id?: string; options?: { value?: unknown; from?: unknown; to?: unknown } };
}

const CONDITIONS: Record<string, (cell: Cell, options: { value?: unknown; from?: unknown; to?: unknown }) => boolean> = {
  isNull: (cell) => cell === undefined,
  isNotNull: (cell) => cell !== undefined,
  equal: (cell, { value }) => String(cell ?? "") === String(value),
  notEqual: (cell, { value }) => String(cell ?? "") !== String(value),
  greater: (cell, { value }) => Number(cell) > Number(value),
  greaterOrEqual: (cell, { value }) => Number(cell) >= Number(value),
  lower: (cell, { value }) => Number(cell) < Number(value),
  lowerOrEqual: (cell, { value }) => Number(cell) <= Number(value),
  range: (cell, { from, to }) => Number(cell) >= Number(from) && Number(cell) <= Number(to),
  regex: (cell, { value }) => pattern(String(value))?.test(String(cell ?? "")) ?? false,
  substring: (cell, { value }) => String(cell ?? "").toLowerCase().includes(String(value).toLowerCase()),
  notSubstring: (cell, { value }) => !String(cell ?? "").toLowerCase().includes(String(value).toLowerCase()),
};

function filterByValue(table: Tabular, { filters = [], type = "include", match = "all" }: { filters?: Condition[]; type?: string; match?: string }): Tabular {
  const known = filters.filter(({ config }) => Object.hasOwn(CONDITIONS, config?.id ?? ""));
  if (!known.length) return table;
  const holds = (row: Record<string, Cell>, { fieldName = "", config }: Condition) => CONDITIONS[config!.id!]!(row[fieldName], config!.options ?? {});
  const found = (row: Record<string, Cell>) => (match === "any" ? known.some((one) => holds(row, one)) : known.every((one) => holds(row, one)));
  return { ...table, rows: table.rows.filter((row) => found(row) === (type === "include")) };
}

const unchanged: Transform = (table) => table;

// The answers of instant queries are one table already, a row a label set: what merges or joins them has nothing left to do.
const TRANSFORMS: Record<string, Transform> = {
  merge: unchanged,
  labelsToFields: unchanged,
  joinByField: unchanged,
  seriesToColumns: unchanged,
  organize,
  filterFieldsByName: filterFieldsByName as Transform,
  renameByRegex: renameByRegex as Transform,
  sortBy: sortBy as Transform,
  limit: (table, { limitField = 10 }) => ({ ...table, rows: table.rows.slice(0, Number(limitField)) }),
  groupBy: groupBy as Transform,
  reduce: reduce as Transform,
  calculateField: calculateField as Transform,
  filterByValue: filterByValue as Transform,
};

export const isKnown = (id: string): boolean => Object.hasOwn(TRANSFORMS, id);

/** A table after a panel's transformations, one after the other; those that are switched off or not known change nothing. */
export function transformed(table: Tabular, transformations: Transformation[]): Tabular {
  return transformations.reduce((before, { id, disabled, options }) => (disabled ? before : (TRANSFORMS[id] ?? unchanged)(before, (options ?? {}) as Options)), table);
}
