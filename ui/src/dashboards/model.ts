// Grafana's JSON model of a dashboard, as far as it is rendered here, and what of a panel is not.

import type { Figure } from "../chart/Legend";
import { duration } from "../time";
import { unknownOverrides, type Override } from "./fields";
import { modern, unrenderedOld, type LegacyPanel } from "./legacy";
import { meaning, unknownMappings, type Mapping } from "./mappings";
import { isCalculation } from "./reduce";
import { unknownIn } from "./transformations";

export interface Dashboard {
  uid?: string;
  title: string;
  description?: string;
  tags?: string[];
  time?: { from?: string; to?: string };
  refresh?: string | boolean;
  templating?: { list?: VariableModel[] };
  panels?: PanelModel[];
}

export interface VariableModel {
  name: string;
  label?: string | null;
  type: string;
  hide?: number; // 0 shown, 1 without label, 2 not at all
  query?: string | { query?: string };
  definition?: string;
  regex?: string;
  sort?: number;
  multi?: boolean;
  includeAll?: boolean;
  allValue?: string | null;
  options?: { text?: string; value?: string }[];
  current?: { value?: string | string[]; text?: string | string[] };
  auto?: boolean;
  auto_count?: number;
  auto_min?: string;
}

export interface Target {
  refId?: string;
  expr?: string;
  legendFormat?: string;
  instant?: boolean;
  range?: boolean;
  format?: string;
  hide?: boolean;
  interval?: string;
}

export interface Threshold {
  value?: number | null;
  color: string;
}

export interface FieldDefaults {
  unit?: string;
  min?: number;
  max?: number;
  decimals?: number;
  noValue?: string;
  displayName?: string;
  color?: { mode?: string; fixedColor?: string };
  thresholds?: { mode?: string; steps?: Threshold[] };
  mappings?: Mapping[];
  custom?: {
    drawStyle?: string;
    lineWidth?: number;
    fillOpacity?: number;
    stacking?: { mode?: string };
    scaleDistribution?: { type?: string };
    thresholdsStyle?: { mode?: string };
    hideFrom?: { viz?: boolean; legend?: boolean; tooltip?: boolean };
  };
}

export interface Transformation {
  id: string;
  disabled?: boolean;
  options?: object;
}

export interface PanelModel extends LegacyPanel {
  id?: number;
  type: string;
  title?: string;
  description?: string;
  gridPos?: { x: number; y: number; w: number; h: number };
  datasource?: { type?: string; uid?: string } | string | null;
  targets?: Target[];
  fieldConfig?: { defaults?: FieldDefaults; overrides?: Override[] };
  options?: {
    content?: string;
    mode?: string;
    legend?: { displayMode?: string; showLegend?: boolean; calcs?: string[]; placement?: string };
    reduceOptions?: { calcs?: string[]; values?: boolean };
    graphMode?: string;
    colorMode?: string;
    orientation?: string;
    pieType?: string;
    calculate?: boolean;
    sortBy?: { displayName?: string; desc?: boolean }[];
    yAxis?: { unit?: string };
  };
  transformations?: Transformation[];
  interval?: string;
  repeat?: string;
  repeatDirection?: string;
  maxPerRow?: number;
  scope?: Record<string, string[]>; // values of variables that hold in this panel alone: it is one of several
  collapsed?: boolean;
  panels?: PanelModel[];
  libraryPanel?: unknown;
  links?: unknown[];
  timeFrom?: string;
  timeShift?: string;
}

export const RENDERED = ["timeseries", "graph", "stat", "singlestat", "gauge", "bargauge", "table", "heatmap", "piechart", "text"];

// What a legend can say of a line.
export const FIGURES: Record<string, Figure> = {
  min: "min",
  max: "max",
  mean: "mean",
  lastNotNull: "last",
  last: "last",
  sum: "sum",
  total: "sum",
};

/** What a panel asks for and does not get here: a few words each. */
export function unrendered(panel: PanelModel): string[] {
  const missing: string[] = [];
  if (panel.libraryPanel) missing.push("library panels");
  if (!RENDERED.includes(panel.type)) missing.push(`panels of type ${panel.type}`);
  const source = typeof panel.datasource === "object" ? panel.datasource?.type : undefined;
  if (source && source !== "prometheus" && !source.startsWith("$") && panel.type !== "text") missing.push(`the data source ${source}`);
  for (const one of (panel.transformations ?? []).filter(({ disabled }) => !disabled))
    missing.push(...(panel.type === "table" ? unknownIn(one) : [`the transformation ${one.id}`]));
  missing.push(...unknownOverrides(panel.fieldConfig?.overrides ?? []));
  for (const type of unknownMappings(panel.fieldConfig?.defaults?.mappings ?? [])) missing.push(`mappings by ${type}`);
  for (const calc of unknownCalculations(panel)) missing.push(`the calculation ${calc}`);
  if (panel.options?.reduceOptions?.values) missing.push("every value on its own");
  if (panel.timeFrom || panel.timeShift) missing.push("a range of its own");
  if (panel.options?.calculate && panel.type === "heatmap") missing.push("calculating a heat map from values");
  missing.push(...unrenderedOld(panel));
  if (panel.options?.mode === "html") missing.push("HTML, shown as text");
  return [...new Set(missing)];
}

function unknownCalculations({ type, options }: PanelModel): string[] {
  const used = (options?.reduceOptions?.calcs ?? []).slice(0, 1);
  const figures = (options?.legend?.calcs ?? []).filter(
    (calc) => ["timeseries", "graph"].includes(type) && !Object.hasOwn(FIGURES, calc),
  );
  return [...used.filter((calc) => !isCalculation(calc)), ...figures.map((calc) => `${calc} in the legend`)];
}

export interface Section {
  row: PanelModel | null;
  panels: PanelModel[];
}

/** Panels below the rows they belong to, in reading order. */
export function sections(panels: PanelModel[]): Section[] {
  const at = (panel: PanelModel) => (panel.gridPos?.y ?? 0) * 100 + (panel.gridPos?.x ?? 0);
  const found: Section[] = [{ row: null, panels: [] }];
  for (const panel of [...panels].sort((one, other) => at(one) - at(other))) {
    if (panel.type === "row") found.push({ row: panel, panels: (panel.panels ?? []).map(modern) });
    else found[found.length - 1]!.panels.push(modern(panel));
  }
  return found.filter(({ row, panels: own }) => row || own.length);
}

const NAMED: Record<string, string> = {
  green: "#2f9e44", red: "#e03131", orange: "#e8590c", yellow: "#f2a104", blue: "#1c7ed6", purple: "#9c6ade", text: "var(--mantine-color-text)",
  transparent: "transparent",
};

/** A colour of Grafana's palette by its name, such as `dark-red`. */
export function named(colour: string): string {
  const hue = /(?:super-light-|light-|semi-dark-|dark-)?([a-z]+)$/.exec(colour)?.[1];
  return (hue && NAMED[hue]) || colour;
}

/** The one colour of a field, if it has one. */
export function fixedColour({ color }: FieldDefaults): string | null {
  return color?.mode === "fixed" && color.fixedColor ? named(color.fixedColor) : null;
}

/** The colour that a value has by its mapping, else by its field; null if neither gives one. */
export function ownColour(value: number | null, defaults: FieldDefaults): string | null {
  const { color } = meaning(value, defaults);
  return color ? named(color) : fixedColour(defaults);
}

export function valueColour(value: number | null, defaults: FieldDefaults, otherwise: string): string {
  return ownColour(value, defaults) ?? thresholdColour(value, defaults, otherwise);
}

/** The colour of a value by its thresholds; the first step has none below it. */
export function thresholdColour(value: number | null, defaults: FieldDefaults, otherwise: string): string {
  const steps = defaults.thresholds?.steps ?? [];
  if (value === null || !steps.length) return otherwise;
  const [min, max] = [defaults.min ?? 0, defaults.max ?? 100];
  const measured = defaults.thresholds?.mode === "percentage" ? ((value - min) / (max - min || 1)) * 100 : value;
  const reached = steps.filter((step) => step.value == null || measured >= step.value);
  return reached.length ? named(reached[reached.length - 1]!.color) : otherwise;
}

/** How often a dashboard asks anew, in seconds as text; empty if it does not by itself. */
export function refreshOf({ refresh }: Pick<Dashboard, "refresh">): string {
  const seconds = typeof refresh === "string" ? duration(refresh) : null;
  return seconds ? String(seconds) : "";
}
