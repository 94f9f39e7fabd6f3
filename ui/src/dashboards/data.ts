// A panel's queries, and their answers as what its drawing needs.

import { keepPreviousData, useQueries } from "@tanstack/react-query";
import { useMemo, useRef } from "react";

import { queryInstant, queryRange, type Labels, type Result, type Series } from "../api";
import { laid, legend, moments, number } from "../series";
import type { Window } from "../time";
import { duration } from "../time";
import type { PanelModel, Target } from "./model";
import { reduced } from "./reduce";
import { builtIns, interpolated, inWords, promql, type Quoting, type Values } from "./variables";

export interface Frame {
  name: string;
  labels: Labels;
  target: Target;
  values: (number | null)[]; // over the window, or one of an instant query
  value: number | null; // reduced to one
}

export interface PanelData {
  frames: Frame[]; // the same ones at every render, until an answer changes or what is made of it
  histograms: boolean; // some answers are native histograms, which are no frames
  errors: Error[];
  warnings: string[];
  pending: boolean;
  window: Window;
}

const INSTANT_TYPES = ["table"];
const OVER_TIME = ["timeseries", "graph", "heatmap"];

export function isInstant(panel: PanelModel, target: Target): boolean {
  if (target.range) return false;
  return target.instant ?? INSTANT_TYPES.includes(panel.type);
}

/** The queries that a panel asks. */
export function asked(panel: PanelModel): Target[] {
  return (panel.targets ?? []).filter((target) => !target.hide && target.expr?.trim());
}

/** The list of before as long as nothing in it is another. */
function useSame<T>(list: T[]): T[] {
  const kept = useRef(list);
  if (list.length !== kept.current.length || list.some((item, index) => item !== kept.current[index]))
    kept.current = list;
  return kept.current;
}

export function usePanelData(
  panel: PanelModel,
  window: Window,
  values: Values,
  quoting: Record<string, Quoting>,
): PanelData {
  const targets = asked(panel);
  const own = useMemo(
    () => ({ ...window, step: Math.max(window.step, (panel.interval && duration(panel.interval)) || 0) }),
    [window, panel.interval],
  );
  const answers = useQueries({
    queries: targets.map((target) => {
      const instant = isInstant(panel, target);
      const step = Math.max(own.step, (target.interval && duration(target.interval)) || 0);
      const expr = interpolated(
        target.expr!,
        { ...values, ...builtIns({ ...own, step }, panel.interval) },
        promql(quoting),
      );
      return {
        queryKey: ["panel", instant, expr, window, step],
        queryFn: ({ signal }: { signal: AbortSignal }) =>
          instant ? queryInstant(expr, window.end, signal) : queryRange(expr, window.start, window.end, step, signal),
        placeholderData: keepPreviousData,
        staleTime: Infinity,
      };
    }),
  });
  const results = useSame(answers.map((answer) => answer.data));
  const frames = useMemo(
    () => results.flatMap((result, index) => (result ? framesOf(panel, targets[index]!, result, own, values) : [])),
    [results, panel, own, values],
  );
  return {
    frames,
    histograms: results.some((result) => result?.result.some(isHistogram)),
    errors: answers.flatMap((answer) => (answer.error ? [answer.error] : [])),
    warnings: [...new Set(answers.flatMap((answer) => answer.data?.warnings ?? []))],
    pending: answers.some((answer) => answer.isPending),
    window: own,
  };
}

const isHistogram = (series: Series) => !series.values && !series.value;

export function framesOf(panel: PanelModel, target: Target, result: Result, window: Window, values: Values): Frame[] {
  const calc = panel.options?.reduceOptions?.calcs?.[0] ?? "lastNotNull";
  const template = interpolated(target.legendFormat ?? "", values, inWords);
  return result.result
    .filter((series) => !isHistogram(series))
    .map((series) => {
      const found = series.value ? atLast(panel, number(series.value[1]), window) : laid(series, window);
      const name = legend(template, series.metric);
      return {
        name: name === "{}" ? (panel.title ?? target.refId ?? "") : name,
        labels: series.metric,
        target,
        values: found,
        value: reduced(found, calc),
      };
    });
}

/** The value of an instant query: the last moment's, where moments are drawn. */
function atLast(panel: PanelModel, value: number, window: Window): (number | null)[] {
  return OVER_TIME.includes(panel.type)
    ? moments(window).map((_, index, all) => (index === all.length - 1 ? value : null))
    : [value];
}

/** Keep names apart that a legend's template makes alike. */
export function distinct<T extends { name: string }>(items: T[]): T[] {
  const seen = new Map<string, number>();
  return items.map((item) => {
    const count = (seen.get(item.name) ?? 0) + 1;
    seen.set(item.name, count);
    return count > 1 ? { ...item, name: `${item.name} (${count})` } : item;
  });
}
