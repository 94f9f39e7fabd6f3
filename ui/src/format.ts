// Numbers with units: Datadog's unit names (`byte`, `percent`, `second`) and Grafana's unit ids (`bytes`, `percentunit`, `s`).

export type Format = (value: number) => string;

const DECIMAL = ["", " k", " M", " G", " T", " P"];
const BINARY = ["", " Ki", " Mi", " Gi", " Ti", " Pi"];

function plain(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e17 || size < 1e-4) return value.toExponential(2);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(size)));
  return String(Number(value.toFixed(digits)));
}

function scaled(value: number, base: number, names: string[]): string {
  let power = 0;
  let left = value;
  while (Math.abs(left) >= base && power < names.length - 1) {
    left /= base;
    power += 1;
  }
  return plain(left) + names[power];
}

const special = (format: Format): Format => (value) => {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : "−∞";
  return format(value);
};

const short: Format = (value) => scaled(value, 1000, DECIMAL);
const after =
  (suffix: string): Format =>
  (value) =>
    `${short(value)}${suffix}`;
const bytes =
  (suffix: string): Format =>
  (value) =>
    Math.abs(value) < 1024 ? `${plain(value)} B${suffix}` : `${scaled(value, 1024, BINARY)}B${suffix}`;
const decimalBytes =
  (suffix: string): Format =>
  (value) =>
    Math.abs(value) < 1000 ? `${plain(value)} B${suffix}` : `${scaled(value, 1000, DECIMAL)}B${suffix}`;

function seconds(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-6) return `${plain(value * 1e9)} ns`;
  if (size < 1e-3) return `${plain(value * 1e6)} µs`;
  if (size < 1) return `${plain(value * 1e3)} ms`;
  if (size < 120) return `${plain(value)} s`;
  if (size < 7200) return `${plain(value / 60)} min`;
  if (size < 172_800) return `${plain(value / 3600)} h`;
  return `${plain(value / 86_400)} d`;
}

const times =
  (factor: number, format: Format): Format =>
  (value) =>
    format(value * factor);

const FORMATS: Record<string, Format> = {
  "": short,
  none: plain,
  short,
  bytes: bytes(""),
  byte: bytes(""),
  decbytes: decimalBytes(""),
  kibibyte: times(1024, bytes("")),
  mebibyte: times(1024 ** 2, bytes("")),
  gibibyte: times(1024 ** 3, bytes("")),
  Bps: decimalBytes("/s"),
  binBps: bytes("/s"),
  bits: after(" b"),
  bps: after(" b/s"),
  percent: (value) => `${plain(value)} %`,
  percentunit: (value) => `${plain(value * 100)} %`,
  fraction: (value) => `${plain(value * 100)} %`,
  s: seconds,
  second: seconds,
  ms: times(1e-3, seconds),
  millisecond: times(1e-3, seconds),
  µs: times(1e-6, seconds),
  microsecond: times(1e-6, seconds),
  ns: times(1e-9, seconds),
  nanosecond: times(1e-9, seconds),
  minute: times(60, seconds),
  hour: times(3600, seconds),
  day: times(86_400, seconds),
  reqps: after(" req/s"),
  ops: after(" ops/s"),
  cps: after("/s"),
  rps: after("/s"),
  wps: after(" writes/s"),
  pps: after(" packets/s"),
  hertz: after(" Hz"),
  celsius: (value) => `${plain(value)} °C`,
  bool_on_off: (value) => (value ? "on" : "off"),
};

/** The way to write values of a unit; what is not known stands behind the number. */
export function formatOf(unit: string): Format {
  if (unit.startsWith("suffix:")) return special(after(` ${unit.slice(7)}`));
  const known = FORMATS[unit];
  if (known) return special(known);
  const perSecond = unit.endsWith("/second") ? unit.slice(0, -7) : null;
  if (perSecond !== null) return special((value) => `${(FORMATS[perSecond] ?? after(` ${perSecond}`))(value)}/s`);
  return special(after(` ${unit}`));
}

/** The values of the ticks of an axis between two values, by powers of two for bytes. */
export function isBinary(unit: string): boolean {
  return ["bytes", "byte", "kibibyte", "mebibyte", "gibibyte", "binBps"].includes(unit);
}

/** A number of things in words: `1 host`, `1,234 hosts`. */
export function counted(number: number, thing: string): string {
  return `${number.toLocaleString("en")} ${thing === "series" || number === 1 ? thing : `${thing}s`}`;
}
