// Numbers with units: Datadog's unit names (`byte`, `percent`, `second`) and Grafana's unit ids (`bytes`, `percentunit`, `s`).

/** A value as text; with as many digits behind the point as are asked for, else as many as matter. */
export type Format = (value: number, decimals?: number) => string;

const DECIMAL = ["", " k", " M", " G", " T", " P"];
const BINARY = ["", " Ki", " Mi", " Gi", " Ti", " Pi"];

function plain(value: number, decimals?: number): string {
  if (decimals !== undefined) return value.toFixed(Math.max(0, Math.min(decimals, 20)));
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e17 || size < 1e-4) return value.toExponential(2);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(size)));
  return String(Number(value.toFixed(digits)));
}

function scaled(value: number, base: number, names: string[], decimals?: number): string {
  let power = 0;
  let left = value;
  while (Math.abs(left) >= base && power < names.length - 1) {
    left /= base;
    power += 1;
  }
  return plain(left, decimals) + names[power];
}

const special = (format: Format): Format => (value, decimals) => {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : "−∞";
  return format(value, decimals);
};

const short: Format = (value, decimals) => scaled(value, 1000, DECIMAL, decimals);
const after =
  (suffix: string): Format =>
  (value, decimals) =>
    `${short(value, decimals)}${suffix}`;
const bytes =
  (suffix: string): Format =>
  (value, decimals) =>
    Math.abs(value) < 1024 ? `${plain(value, decimals)} B${suffix}` : `${scaled(value, 1024, BINARY, decimals)}B${suffix}`;
const decimalBytes =
  (suffix: string): Format =>
  (value, decimals) =>
    Math.abs(value) < 1000 ? `${plain(value, decimals)} B${suffix}` : `${scaled(value, 1000, DECIMAL, decimals)}B${suffix}`;

function seconds(value: number, decimals?: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-6) return `${plain(value * 1e9, decimals)} ns`;
  if (size < 1e-3) return `${plain(value * 1e6, decimals)} µs`;
  if (size < 1) return `${plain(value * 1e3, decimals)} ms`;
  if (size < 120) return `${plain(value, decimals)} s`;
  if (size < 7200) return `${plain(value / 60, decimals)} min`;
  if (size < 172_800) return `${plain(value / 3600, decimals)} h`;
  return `${plain(value / 86_400, decimals)} d`;
}

const times =
  (factor: number, format: Format): Format =>
  (value, decimals) =>
    format(value * factor, decimals);

const FORMATS: Record<string, Format> = {
  "": short,
  none: plain,
  short,
  bytes: bytes(""),
  byte: bytes(""),
  decbytes: decimalBytes(""),
  kibibyte: times(1024, bytes("")),
  kbytes: times(1024, bytes("")),
  mbytes: times(1024 ** 2, bytes("")),
  gbytes: times(1024 ** 3, bytes("")),
  tbytes: times(1024 ** 4, bytes("")),
  deckbytes: times(1e3, decimalBytes("")),
  decmbytes: times(1e6, decimalBytes("")),
  decgbytes: times(1e9, decimalBytes("")),
  dectbytes: times(1e12, decimalBytes("")),
  mebibyte: times(1024 ** 2, bytes("")),
  gibibyte: times(1024 ** 3, bytes("")),
  Bps: decimalBytes("/s"),
  binBps: bytes("/s"),
  KBs: times(1e3, decimalBytes("/s")),
  MBs: times(1e6, decimalBytes("/s")),
  GBs: times(1e9, decimalBytes("/s")),
  KiBs: times(1024, bytes("/s")),
  MiBs: times(1024 ** 2, bytes("/s")),
  GiBs: times(1024 ** 3, bytes("/s")),
  bits: after(" b"),
  bps: after(" b/s"),
  Kbits: times(1e3, after(" b/s")),
  Mbits: times(1e6, after(" b/s")),
  Gbits: times(1e9, after(" b/s")),
  percent: (value, decimals) => `${plain(value, decimals)} %`,
  percentunit: (value, decimals) => `${plain(value * 100, decimals)} %`,
  fraction: (value, decimals) => `${plain(value * 100, decimals)} %`,
  s: seconds,
  second: seconds,
  seconds,
  dtdurations: seconds,
  dtdurationms: times(1e-3, seconds),
  ms: times(1e-3, seconds),
  millisecond: times(1e-3, seconds),
  µs: times(1e-6, seconds),
  microsecond: times(1e-6, seconds),
  ns: times(1e-9, seconds),
  nanosecond: times(1e-9, seconds),
  minute: times(60, seconds),
  m: times(60, seconds),
  hour: times(3600, seconds),
  h: times(3600, seconds),
  day: times(86_400, seconds),
  d: times(86_400, seconds),
  reqps: after(" req/s"),
  ops: after(" ops/s"),
  iops: after(" io/s"),
  cps: after("/s"),
  rps: after("/s"),
  wps: after(" writes/s"),
  pps: after(" packets/s"),
  hertz: after(" Hz"),
  celsius: (value, decimals) => `${plain(value, decimals)} °C`,
  bool_on_off: (value) => (value ? "on" : "off"),
};

/** The way to write values of a unit; what is not known stands behind the number. */
export function formatOf(unit: string): Format {
  if (unit.startsWith("suffix:")) return special(after(` ${unit.slice(7)}`));
  const known = FORMATS[unit];
  if (known) return special(known);
  const perSecond = unit.endsWith("/second") ? unit.slice(0, -7) : null;
  if (perSecond !== null) return special((value, decimals) => `${(FORMATS[perSecond] ?? after(` ${perSecond}`))(value, decimals)}/s`);
  return special(after(` ${unit}`));
}

const BINARY_UNITS = [
  "bytes",
  "byte",
  "kibibyte",
  "mebibyte",
  "gibibyte",
  "kbytes",
  "mbytes",
  "gbytes",
  "tbytes",
  "binBps",
  "KiBs",
  "MiBs",
  "GiBs",
];

/** The values of the ticks of an axis between two values, by powers of two for bytes. */
export function isBinary(unit: string): boolean {
  return BINARY_UNITS.includes(unit);
}

/** A number of things in words: `1 host`, `1,234 hosts`. */
export function counted(number: number, thing: string): string {
  return `${number.toLocaleString("en")} ${thing === "series" || number === 1 ? thing : `${thing}s`}`;
}
