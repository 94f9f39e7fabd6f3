// Ranges of time as people write them: `now-1h`, a date, or milliseconds since 1970. Everything computed is in seconds.

const UNITS_S: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, M: 2_592_000, y: 31_536_000 };

export interface Range {
  from: string;
  to: string;
}

export interface Window {
  start: number;
  end: number;
  step: number;
  asked: number; // when; asking again asks the server again, also for the same moments
}

/** Seconds of a duration such as `15s`, `1h30m` or `90`; null if it is none. */
export function duration(text: string): number | null {
  const trimmed = text.trim();
  if (/^[0-9]+(\.[0-9]+)?$/.test(trimmed)) return Number(trimmed);
  if (!/^([0-9]+(ms|[smhdwMy]))+$/.test(trimmed)) return null;
  const parts = [...trimmed.matchAll(/([0-9]+)(ms|[smhdwMy])/g)];
  return parts.reduce((total, [, count, unit]) => total + Number(count) * UNITS_S[unit!]!, 0);
}

/** A duration as PromQL writes it. */
export function written(seconds: number): string {
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))}ms`;
  let left = Math.round(seconds);
  let text = "";
  for (const unit of ["d", "h", "m", "s"]) {
    const count = Math.floor(left / UNITS_S[unit]!);
    if (count) text += `${count}${unit}`;
    left -= count * UNITS_S[unit]!;
  }
  return text || "1s";
}

const MOVE = /([+-])([0-9a-zA-Z]+)|\/([smhdwMy])/g;

/** The moment that a text stands for, in seconds; null if it stands for none. `round` says which end of `now/d` is meant. */
export function moment(text: string, now: number, round: "down" | "up" = "down"): number | null {
  const trimmed = text.trim();
  if (/^now([+-][0-9a-zA-Z]+|\/[smhdwMy])*$/.test(trimmed)) {
    let at: number | null = now;
    for (const [, sign, length, unit] of trimmed.matchAll(MOVE))
      at = at === null ? null : unit ? rounded(at, unit, round) : moved(at, length!, sign === "-" ? -1 : 1);
    return at;
  }
  if (/^[0-9]{9,}$/.test(trimmed)) return trimmed.length > 11 ? Number(trimmed) / 1000 : Number(trimmed);
  const parsed = Date.parse(trimmed);
  return Number.isNaN(parsed) ? null : parsed / 1000;
}

// Days and what is longer are those of the calendar where the reader is: not every day has 24 hours.
const CALENDAR: Record<string, { months?: number; days?: number }> = {
  d: { days: 1 },
  w: { days: 7 },
  M: { months: 1 },
  y: { months: 12 },
};

function moved(seconds: number, length: string, sign: 1 | -1): number | null {
  const total = duration(length);
  if (total === null) return null;
  const parts = [...length.matchAll(/([0-9]+)([dwMy])/g)];
  const exact = total - parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS_S[unit!]!, 0);
  const date = new Date(seconds * 1000);
  for (const [, count, unit] of parts) shift(date, unit!, sign * Number(count));
  return date.getTime() / 1000 + sign * exact;
}

function shift(date: Date, unit: string, count: number): void {
  const { months = 0, days = 0 } = CALENDAR[unit]!;
  const day = date.getDate();
  date.setMonth(date.getMonth() + months * count);
  if (months && date.getDate() !== day) date.setDate(0); // there is no 31st: the last day there is
  date.setDate(date.getDate() + days * count);
}

const BEGINNINGS: Record<string, (date: Date) => void> = {
  d: () => {},
  w: (date) => date.setDate(date.getDate() - ((date.getDay() + 6) % 7)),
  M: (date) => date.setDate(1),
  y: (date) => date.setMonth(0, 1),
};

function rounded(seconds: number, unit: string, round: "down" | "up"): number {
  const begin = BEGINNINGS[unit];
  const date = new Date(seconds * 1000);
  if (!begin) {
    const length = UNITS_S[unit]!;
    const offset = date.getTimezoneOffset() * 60; // some places are half an hour off
    return Math.floor((seconds - offset) / length) * length + offset + (round === "up" ? length : 0);
  }
  date.setHours(0, 0, 0, 0);
  begin(date);
  if (round === "up") shift(date, unit, 1);
  return date.getTime() / 1000;
}

const STEPS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
const FINEST_S = 10; // the Agent's DogStatsD flushes every 10 s, its checks every 15 s
export const MOST_POINTS = 5000;

/** The step that draws about `points` points; never finer than senders send. */
export function autoStep(seconds: number, points: number, finest = FINEST_S): number {
  const wanted = Math.max(seconds / points, finest);
  return STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted / 86_400) * 86_400;
}

/** What to ask for: moments at multiples of the step, so that the same moment is asked for again and again. */
export function windowOf(range: Range, now: number, points: number, stepText = "", finest = FINEST_S): Window | null {
  const start = moment(range.from, now);
  const end = moment(range.to, now, "up");
  if (start === null || end === null || !(end > start)) return null;
  const given = stepText ? duration(stepText) : null;
  const step = Math.max(given || autoStep(end - start, points, finest), (end - start) / MOST_POINTS);
  const whole = step >= 1 ? Math.ceil(step) : step;
  return { start: Math.floor(start / whole) * whole, end: Math.floor(end / whole) * whole, step: whole, asked: now };
}

const two = (number: number) => String(number).padStart(2, "0");

export function clock(seconds: number, withDate = true): string {
  const date = new Date(seconds * 1000);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return withDate ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}` : time;
}

/** How long ago something was, in words. */
export function ago(seconds: number, now: number): string {
  const passed = Math.max(0, now - seconds);
  if (passed < 5) return "now";
  if (passed < 120) return `${Math.round(passed)} s ago`;
  if (passed < 7200) return `${Math.round(passed / 60)} min ago`;
  if (passed < 172_800) return `${Math.round(passed / 3600)} h ago`;
  return `${Math.round(passed / 86_400)} days ago`;
}

export const QUICK: [string, string][] = [
  ["now-5m", "Last 5 minutes"],
  ["now-15m", "Last 15 minutes"],
  ["now-30m", "Last 30 minutes"],
  ["now-1h", "Last hour"],
  ["now-3h", "Last 3 hours"],
  ["now-6h", "Last 6 hours"],
  ["now-12h", "Last 12 hours"],
  ["now-24h", "Last 24 hours"],
  ["now-2d", "Last 2 days"],
  ["now-7d", "Last 7 days"],
  ["now-30d", "Last 30 days"],
];

export function named(range: Range): string {
  const quick = range.to === "now" && QUICK.find(([from]) => from === range.from);
  if (quick) return quick[1];
  const back = range.to === "now" && /^now-([0-9a-zA-Z]+)$/.exec(range.from)?.[1];
  if (back) return `Last ${back}`;
  const shown = (text: string) => (/^[0-9]{9,}$/.test(text) ? clock(moment(text, 0) ?? 0) : text);
  return `${shown(range.from)} – ${shown(range.to)}`;
}
