// Values that stand for something: the text and the colour that a panel's mappings give them.

import type { FieldDefaults } from "./model";
import { pattern } from "./pattern";

export type Mappable = number | string | null;

export interface Meaning {
  text?: string;
  color?: string;
}

export interface Mapping {
  type: string;
  options?: object;
}

interface Wanted {
  from?: number | null;
  to?: number | null;
  match?: string;
  pattern?: string;
  result?: Meaning;
}

const SPECIAL: Record<string, (value: Mappable) => boolean> = {
  null: (value) => value === null,
  nan: (value) => Number.isNaN(value),
  "null+nan": (value) => value === null || Number.isNaN(value),
  empty: (value) => value === "",
};

const within = (value: number, { from, to }: Wanted) => value >= (from ?? -Infinity) && value <= (to ?? Infinity);

const MAPPINGS: Record<string, (value: Mappable, options: Wanted) => Meaning | undefined> = {
  value: (value, options) => (value === null ? undefined : (options as Record<string, Meaning>)[String(value)]),
  range: (value, options) => (typeof value === "number" && within(value, options) ? options.result : undefined),
  regex: (value, options) =>
    typeof value === "string" && pattern(options.pattern ?? "")?.test(value) ? replaced(value, options) : undefined,
  special: (value, options) => (SPECIAL[options.match ?? ""]?.(value) ? options.result : undefined),
};

/** A regular expression's groups may stand in its text. */
function replaced(value: string, { pattern: text = "", result }: Wanted): Meaning {
  return { ...result, text: result?.text && value.replace(pattern(text)!, result.text) };
}

/** What is wrong with mappings: those that are of a type not known here. */
export function unknownMappings(mappings: Mapping[]): string[] {
  return [...new Set(mappings.map(({ type }) => type).filter((type) => !Object.hasOwn(MAPPINGS, type)))];
}

/** What a value stands for: the first mapping that it meets decides. */
export function meaning(value: Mappable, { mappings = [] }: FieldDefaults): Meaning {
  for (const { type, options } of mappings) {
    const found = MAPPINGS[type]?.(value, options ?? {});
    if (found) return found;
  }
  return {};
}
