// Grafana's transformations of tables: rows and columns in, rows and columns out.

import type { Transformation } from "./model";
import { pattern } from "./pattern";
import { calculated, isCalculation, reduced } from "./reduce";

export type Cell = string | number | undefined;
type Row = Record<string, Cell>;

export interface Tabular {
  columns: string[];
  rows: Row[];
}

type Options = Record<string, unknown>;
type Change = (table: Tabular, options: Options) => Tabular;
type Transform = (tables: Tabular[], options: Options) => Tabular[];

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

function grouped<T>(items: T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}

const keyOf = (row: Row, columns: string[]) => JSON.stringify(columns.map((column) => row[column] ?? null));

type Grouped = Record<string, { operation?: string; aggregations?: string[] }>;

function groupBy(table: Tabular, { fields = {} }: { fields?: Grouped }): Tabular {
  const keys = table.columns.filter((column) => fields[column]?.operation === "groupby");
  if (!keys.length) return table;
  const sums = table.columns
    .filter((column) => fields[column]?.operation === "aggregate")
    .flatMap((column) => (fields[column]!.aggregations ?? []).map((calc) => ({ column, calc, name: `${column} (${calc})` })));
  const rows = [...grouped(table.rows, (row) => keyOf(row, keys)).values()].map((members) => ({
    ...Object.fromEntries(keys.map((column) => [column, members[0]![column]])),
    ...Object.fromEntries(
      sums.map(({ column, calc, name }) => [
        name,
        calculated(
          members.map((row) => row[column]),
          calc,
        ) ?? undefined,
      ]),
    ),
  }));
  return { columns: [...keys, ...sums.map(({ name }) => name)], rows };
}

/** One row a column of numbers, a column a calculation. */
function reduce(table: Tabular, { reducers = ["max"], mode }: { reducers?: string[]; mode?: string }): Tabular {
  const numeric = table.columns.filter((column) => table.rows.some((row) => typeof row[column] === "number"));
  const over = (column: string, calc: string) =>
    reduced(numbers(table.rows.map((row) => row[column])), calc) ?? undefined;
  if (mode === "reduceFields") {
    const names = numeric.flatMap((column) =>
      reducers.map((calc) => ({ column, calc, name: reducers.length > 1 ? `${column} ${calc}` : column })),
    );
    return {
      columns: names.map(({ name }) => name),
      rows: [Object.fromEntries(names.map(({ column, calc, name }) => [name, over(column, calc)]))],
    };
  }
  const rows = numeric.map((column) => ({
    Field: column,
    ...Object.fromEntries(reducers.map((calc) => [calc, over(column, calc)])),
  }));
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

const MODES = [undefined, "binary", "reduceRow"];

function calculateField(table: Tabular, { mode, alias, replaceFields, binary, reduce: over }: Calculation): Tabular {
  if (!MODES.includes(mode)) return table;
  const operand = (side: unknown): unknown => (typeof side === "object" && side ? ((side as Options)["fixed"] ?? ((side as { matcher?: Options }).matcher?.["options"] as unknown)) : side);
  const [left, right] = [operand(binary?.left), operand(binary?.right)];
  const worth = (row: Row, side: unknown): Cell =>
    row[String(side)] ?? (Number.isNaN(Number(side)) ? undefined : Number(side));
  const result = (row: Row): number | undefined => {
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
  return { columns, rows: table.rows.map((row) => ({ ...row, [name]: result(row) })) };
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
  regex: (cell, { value }) => pattern(`/${String(value)}/`)?.test(String(cell ?? "")) ?? false,
  substring: (cell, { value }) => String(cell ?? "").toLowerCase().includes(String(value).toLowerCase()),
  notSubstring: (cell, { value }) => !String(cell ?? "").toLowerCase().includes(String(value).toLowerCase()),
};

function filterByValue(table: Tabular, { filters = [], type = "include", match = "all" }: { filters?: Condition[]; type?: string; match?: string }): Tabular {
  const known = filters.filter(({ config }) => Object.hasOwn(CONDITIONS, config?.id ?? ""));
  if (!known.length) return table;
  const holds = (row: Row, { fieldName = "", config }: Condition) =>
    CONDITIONS[config!.id!]!(row[fieldName], config!.options ?? {});
  const found = (row: Row) =>
    match === "any" ? known.some((one) => holds(row, one)) : known.every((one) => holds(row, one));
  return { ...table, rows: table.rows.filter((row) => found(row) === (type === "include")) };
}

/** A row's cells of some columns, those without a value left out. */
function filled(row: Row, columns: string[]): Row {
  return Object.fromEntries(
    columns.filter((column) => row[column] !== undefined).map((column) => [column, row[column]]),
  );
}

const agree = (one: Row, other: Row) =>
  Object.keys(other).every((column) => one[column] === undefined || one[column] === other[column]);

/** All tables in one: a row becomes part of those before it that have the same keys and another value nowhere. */
function united(tables: Tabular[], keys: string[]): Tabular {
  const groups = new Map<string, Row[]>();
  const rows: Row[] = [];
  for (const { columns, rows: own } of tables)
    for (const row of own.map((one) => filled(one, columns))) {
      const key = keyOf(row, keys);
      const group = groups.get(key) ?? [];
      const alike = group.filter((other) => agree(other, row));
      for (const other of alike) Object.assign(other, row);
      if (alike.length) continue;
      groups.set(key, [...group, row]);
      rows.push(row);
    }
  return { columns: [...new Set(tables.flatMap(({ columns }) => columns))], rows };
}

function merge(tables: Tabular[]): Tabular[] {
  if (tables.length < 2) return tables;
  return [
    united(
      tables,
      tables[0]!.columns.filter((column) => tables.every(({ columns }) => columns.includes(column))),
    ),
  ];
}

/** Columns that several tables have get a number behind their name, except the one by which they are joined. */
function numbered(tables: Tabular[], key: string): Tabular[] {
  const having = (column: string, among: Tabular[]) => among.filter(({ columns }) => columns.includes(column)).length;
  return tables.map((table, index) =>
    renamed(table, (column) =>
      column === key || having(column, tables) < 2 ? column : `${column} ${having(column, tables.slice(0, index + 1))}`,
    ),
  );
}

function joined(left: Tabular, right: Tabular, key: string, outer: boolean): Tabular {
  const [here, there] = [left, right].map(({ rows }) => grouped(rows, (row) => keyOf(row, [key])));
  const rows = left.rows.flatMap((row) => {
    const others = there!.get(keyOf(row, [key]));
    return others?.map((other) => ({ ...row, ...other })) ?? (outer ? [row] : []);
  });
  const rest = outer ? right.rows.filter((row) => !here!.has(keyOf(row, [key]))) : [];
  return { columns: [...new Set([...left.columns, ...right.columns])], rows: [...rows, ...rest] };
}

function joinByField(tables: Tabular[], { byField = "", mode }: { byField?: string; mode?: string }): Tabular[] {
  const having = tables.filter(({ columns }) => columns.includes(byField));
  if (having.length < 2) return tables;
  return [numbered(having, byField).reduce((left, right) => joined(left, right, byField, mode !== "inner"))];
}

const each =
  (change: Change): Transform =>
  (tables, options) =>
    tables.map((table) => change(table, options));

const TRANSFORMS: Record<string, Transform> = {
  merge,
  labelsToFields: (tables) => tables, // labels are columns already
  joinByField: joinByField as Transform,
  seriesToColumns: joinByField as Transform,
  organize: each(organize),
  filterFieldsByName: each(filterFieldsByName as Change),
  renameByRegex: each(renameByRegex as Change),
  sortBy: each(sortBy as Change),
  limit: each((table, { limitField = 10 }) => ({ ...table, rows: table.rows.slice(0, Number(limitField)) })),
  groupBy: each(groupBy as Change),
  reduce: each(reduce as Change),
  calculateField: each(calculateField as Change),
  filterByValue: each(filterByValue as Change),
};

// What of a transformation's options names something that may not be known here: calculations, modes, conditions.
const ASKED: Record<string, (options: Options) => { calculations?: string[]; modes?: string[] }> = {
  groupBy: ({ fields }) => ({
    calculations: Object.values((fields ?? {}) as Grouped).flatMap(({ aggregations }) => aggregations ?? []),
  }),
  reduce: ({ reducers }) => ({ calculations: (reducers ?? []) as string[] }),
  calculateField: (options) => {
    const { mode, reduce: over, binary } = options as Calculation;
    if (!MODES.includes(mode)) return { modes: [mode!] };
    const operator = mode === "binary" ? (binary?.operator ?? "+") : "+";
    return {
      calculations: mode === "binary" ? [] : [over?.reducer ?? "sum"],
      modes: Object.hasOwn(OPERATORS, operator) ? [] : [operator],
    };
  },
  filterByValue: ({ filters }) => ({
    modes: ((filters ?? []) as Condition[])
      .map(({ config }) => config?.id ?? "nothing")
      .filter((id) => !Object.hasOwn(CONDITIONS, id)),
  }),
};

/** What of a table's transformation is not rendered here. */
export function unknownIn({ id, options }: Transformation): string[] {
  if (!Object.hasOwn(TRANSFORMS, id)) return [`the transformation ${id}`];
  const { calculations = [], modes = [] } = ASKED[id]?.((options ?? {}) as Options) ?? {};
  return [
    ...calculations.filter((calc) => !isCalculation(calc)).map((calc) => `the calculation ${calc}`),
    ...modes.map((mode) => `${id} by ${mode}`),
  ];
}

/** A query's table each after a panel's transformations, one after the other; those that are switched off or not known
 * change nothing. Where several are left, rows of the same texts are one. */
export function transformed(tables: Tabular[], transformations: Transformation[]): Tabular {
  const wanted = transformations.filter(({ id, disabled }) => !disabled && Object.hasOwn(TRANSFORMS, id));
  const left = wanted.reduce((before, { id, options }) => TRANSFORMS[id]!(before, (options ?? {}) as Options), tables);
  if (left.length === 1) return left[0]!;
  const texts = left.flatMap(({ columns, rows }) =>
    columns.filter((column) => rows.some((row) => typeof row[column] === "string")),
  );
  return united(left, [...new Set(texts)]);
}
