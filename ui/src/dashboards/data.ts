// A panel's queries, and their answers as what its drawing needs.

import { keepPreviousData, useQueries } from "@tanstack/react-query";

import { queryInstant, queryRange, type Labels, type Result } from "../api";
import { laid, legend, number } from "../series";
import type { Window } from "../time";
import { duration } from "../time";
import type { PanelModel, Target } from "./model";
import { reduced } from "./reduce";
import { builtIns, interpolated, type Values } from "./variables";

export interface Frame {
  name: string;
  labels: Labels;
  target: Target;
  values: (number | null)[]; // over the window, or one of an instant query
  value: number | null; // reduced to one
}

export interface PanelData {
  frames: Frame[];
  errors: Error[];
  warnings: string[];
  pending: boolean;
  window: Window;
}

const INSTANT_TYPES = ["table"];

export function isInstant(panel: PanelModel, target: Target): boolean {
  if (target.range) return false;
  return target.instant ?? INSTANT_TYPES.includes(panel.type);
}

export function usePanelData(panel: PanelModel, window: Window, values: Values): PanelData {
  const targets = (panel.targets ?? []).filter((target) => !target.hide && target.expr?.trim());
  const own = { ...window, step: Math.max(window.step, (panel.interval && duration(panel.interval)) || 0) };
  const answers = useQueries({
    queries: targets.map((target) => {
      const instant = isInstant(panel, target);
      const step = Math.max(own.step, (target.interval && duration(target.interval)) || 0);
      const expr = interpolated(target.expr!, { ...values, ...builtIns({ ...own, step }, panel.interval) });
      return {
        queryKey: ["panel", instant, expr, window, step],
        queryFn: ({ signal }: { signal: AbortSignal }) =>
          instant ? queryInstant(expr, window.end, signal) : queryRange(expr, window.start, window.end, step, signal),
        placeholderData: keepPreviousData,
        staleTime: Infinity,
      };
    }),
  });
  const frames = answers.flatMap((answer, index) => (answer.data ? framesOf(panel, targets[index]!, answer.data, own, values) : []));
  return {
    frames,
    errors: answers.flatMap((answer) => (answer.error ? [answer.error] : [])),
    warnings: [...new Set(answers.flatMap((answer) => answer.data?.warnings ?? []))],
    pending: answers.some((answer) => answer.isPending),
    window: own,
  };
}

function framesOf(panel: PanelModel, target: Target, result: Result, window: Window, values: Values): Frame[] {
  const calc = panel.options?.reduceOptions?.calcs?.[0] ?? "lastNotNull";
  return result.result.map((series) => {
    const found = series.value ? [number(series.value[1])] : laid(series, window);
    const template = interpolated(target.legendFormat ?? "", values, (all) => all.join(" + "));
    const name = legend(template, series.metric);
    return { name: name === "{}" ? (panel.title ?? target.refId ?? "") : name, labels: series.metric, target, values: found, value: reduced(found, calc) };
  });
}

/** Keep names apart that a legend's template makes alike. */
export function distinct(frames: Frame[]): Frame[] {
  const seen = new Map<string, number>();
  return frames.map((frame) => {
    const count = (seen.get(frame.name) ?? 0) + 1;
    seen.set(frame.name, count);
    return count > 1 ? { ...frame, name: `${frame.name} (${count})` } : frame;
  });
}
