// Panels as Grafana wrote them before version 8, as the panels that took their place.

import type { FieldDefaults, PanelModel, Threshold } from "./model";
import type { Meaning } from "./mappings";

interface Axis {
  format?: string;
  min?: number | string | null;
  max?: number | string | null;
  logBase?: number;
}

/** What such panels have, and those of today do not. */
export interface LegacyPanel {
  // graph
  yaxes?: Axis[];
  stack?: boolean;
  fill?: number;
  linewidth?: number;
  lines?: boolean;
  bars?: boolean;
  points?: boolean;
  legend?: Record<string, unknown>;
  seriesOverrides?: unknown[];
  percentage?: boolean;
  // singlestat
  format?: string;
  decimals?: number | null;
  prefix?: string;
  postfix?: string;
  valueName?: string;
  nullText?: string | null;
  thresholds?: string | unknown[];
  colors?: string[];
  colorValue?: boolean;
  colorBackground?: boolean;
  sparkline?: { show?: boolean };
  valueMaps?: { op?: string; value?: string; text?: string }[];
  // heatmap
  yAxis?: { format?: string };
  // text
  content?: string;
  mode?: string;
  // table
  styles?: unknown[];
}

const FIGURES: Record<string, string> = { min: "min", max: "max", avg: "mean", current: "lastNotNull", total: "sum" };
const VALUES: Record<string, string> = {
  ...FIGURES,
  first: "firstNotNull",
  delta: "delta",
  diff: "diff",
  range: "range",
};

const limit = (text: number | string | null | undefined) =>
  text === null || text === undefined || text === "" || Number.isNaN(Number(text)) ? undefined : Number(text);

/** A panel with what is new in it for what is old; what it has in the way of today stays. */
function renewed(panel: PanelModel, defaults: FieldDefaults, options: PanelModel["options"] = {}): PanelModel {
  return {
    ...panel,
    fieldConfig: {
      ...panel.fieldConfig,
      defaults: {
        ...defaults,
        ...panel.fieldConfig?.defaults,
        custom: { ...defaults.custom, ...panel.fieldConfig?.defaults?.custom },
      },
    },
    options: { ...options, ...panel.options },
  };
}

function graph(panel: PanelModel): PanelModel {
  const [left] = panel.yaxes ?? [];
  const calcs = Object.keys(FIGURES).filter((name) => panel.legend?.[name]);
  return renewed(
    panel,
    {
      unit: left?.format,
      decimals: panel.decimals ?? undefined,
      min: limit(left?.min),
      max: limit(left?.max),
      custom: {
        drawStyle: panel.bars ? "bars" : panel.points && panel.lines === false ? "points" : "line",
        lineWidth: panel.linewidth,
        fillOpacity: panel.fill === undefined ? undefined : panel.fill * 10,
        stacking: { mode: panel.stack ? "normal" : "none" },
        scaleDistribution: { type: (left?.logBase ?? 1) > 1 ? "log" : "linear" },
      },
    },
    {
      legend: {
        showLegend: panel.legend?.["show"] !== false,
        calcs: panel.legend?.["values"] ? calcs.map((name) => FIGURES[name]!) : [],
      },
    },
  );
}

function singlestat(panel: PanelModel): PanelModel {
  const limits = String(panel.thresholds ?? "")
    .split(",")
    .filter(Boolean)
    .map(Number);
  const steps: Threshold[] = (panel.colors ?? [])
    .slice(0, limits.length + 1)
    .map((color, index) => ({ value: limits[index - 1], color }));
  const coloured = (panel.colorValue || panel.colorBackground) && limits.length > 0;
  const meanings = (panel.valueMaps ?? [])
    .filter(({ op }) => op === "=")
    .map(({ value = "", text }): [string, Meaning] => [value, { text }]);
  const ofNull = meanings
    .filter(([value]) => value === "null")
    .map(([, result]) => ({ type: "special", options: { match: "null", result } }));
  return renewed(
    panel,
    {
      unit: panel.format,
      decimals: panel.decimals ?? undefined,
      noValue: panel.nullText ?? undefined,
      thresholds: coloured ? { mode: "absolute", steps } : undefined,
      mappings: [{ type: "value", options: Object.fromEntries(meanings) }, ...ofNull],
    },
    {
      graphMode: panel.sparkline?.show ? "area" : "none",
      reduceOptions: { calcs: [VALUES[panel.valueName ?? "avg"] ?? panel.valueName!] },
    },
  );
}

const text = (panel: PanelModel): PanelModel => ({
  ...panel,
  options: { content: panel.content, mode: panel.mode, ...panel.options },
});

const heatmap = (panel: PanelModel): PanelModel =>
  panel.yAxis ? { ...panel, options: { yAxis: { unit: panel.yAxis.format }, ...panel.options } } : panel;

const OLD: Record<string, (panel: PanelModel) => PanelModel> = { graph, singlestat, text, heatmap };

export function modern(panel: PanelModel): PanelModel {
  return OLD[panel.type]?.(panel) ?? panel;
}

/** What of an old panel is not rendered here. */
export function unrenderedOld({
  type,
  seriesOverrides = [],
  thresholds,
  percentage,
  styles = [],
}: PanelModel): string[] {
  const asked: [boolean, string][] = [
    [type === "graph" && seriesOverrides.length > 0, "overrides of series"],
    [type === "graph" && Boolean(percentage), "shares of a stack"],
    [type === "graph" && Array.isArray(thresholds) && thresholds.length > 0, "thresholds of a graph"],
    [type === "table" && styles.length > 0, "styles of columns"],
  ];
  return asked.filter(([is]) => is).map(([, name]) => name);
}
