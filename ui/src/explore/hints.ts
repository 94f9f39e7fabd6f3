// What a query's text tells before it is run: its metrics, and where a function does harm.

const GROUPING = /\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/gi;
const STRING = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g;
const QUOTED = /(?<=[{,]\s*)"([^"\\]+)"(?=\s*[,}])/g; // a metric by its name alone, among matchers
const WRAPPED = /\b(rate|irate|increase)\s*\(/;

/** The metrics a query names, among those that are known. */
export function metricsOf(query: string, known: Record<string, unknown>): string[] {
  const bare = query.replace(STRING, " ").replace(/\{[^}]*\}/g, " ").replace(GROUPING, " ").replace(/\[[^\]]*\]/g, " ");
  const names = [...bare.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*/g)].map(([name]) => name);
  const inside = [...query.matchAll(/__name__\s*=\s*"([^"]+)"/g), ...query.matchAll(QUOTED)].map(([, name]) => name!);
  return [...new Set([...names, ...inside])].filter((name) => Object.hasOwn(known, name));
}

export interface Hint {
  text: string;
  wrong: boolean;
}

/** What to say of a query over metrics of these types (Datadog's: the label `type`). */
export function hintOf(query: string, types: string[]): Hint | null {
  const wrapped = WRAPPED.exec(query.replace(STRING, '""'))?.[1];
  if (types.includes("rate")) {
    return wrapped
      ? { wrong: true, text: `Already per second (type="rate"): ${wrapped}() around it is the change of a rate. Leave it out.` }
      : { wrong: false, text: 'Already per second (type="rate"): no rate() needed.' };
  }
  if (types.includes("count") && wrapped) {
    return {
      wrong: true,
      text: `Each sample is an increase since the one before (type="count"): sum_over_time(…[5m]) adds them up; ${wrapped}() does not.`,
    };
  }
  return null;
}
