// Lines over time, drawn by uPlot on a canvas. Dragging zooms, hovering names the nearest line and its value.

import { useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { formatOf, isBinary } from "../format";
import { clock } from "../time";

export interface Line {
  name: string;
  colour: string;
  values: (number | null)[];
  shown: boolean;
  // Of this line alone, where they differ from the chart's.
  unit?: string;
  decimals?: number;
  width?: number;
  fill?: number; // 0 to 1
}

export type Style = "lines" | "stacked" | "points" | "bars";

export interface Zones {
  min?: number;
  max?: number;
  thresholds?: { value: number; colour: string }[];
}

interface Props extends Zones {
  times: number[];
  lines: Line[];
  style: Style;
  unit: string;
  height: number;
  fill?: number; // 0 to 1
  width?: number;
  syncKey?: string;
  logarithmic?: boolean;
  onZoom?: (start: number, end: number) => void;
  label: string;
}

const INKS = { light: { text: "#495057", grid: "#e9ecef" }, dark: { text: "#adb5bd", grid: "#2e3238" } };
const MOST_FADING = 50_000; // points; fading the other lines draws all of them again at every move of the mouse
const GAP_STEPS = 4; // holes of so many steps are drawn through: senders that send less often than the step

export function TimeChart(props: Props) {
  const scheme = useComputedColorScheme("light");
  const { ref, width } = useElementSize();
  const host = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const zoom = useRef(props.onZoom);
  zoom.current = props.onZoom;

  const data = useMemo(() => aligned(props.times, props.lines, props.style), [props.times, props.lines, props.style]);
  const looks = props.lines.map(({ name, colour, shown, width: thick, fill }) => [name, colour, shown, thick, fill]);
  const identity = JSON.stringify([looks, props.width, props.thresholds]);

  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ data, lines: props.lines, times: props.times });
  latest.current = { data, lines: props.lines, times: props.times };

  useEffect(() => {
    if (!host.current || width < 40) return;
    const element = host.current;
    const made = new uPlot(
      options(props, scheme, width, {
        zoom: (start, end) => zoom.current?.(start, end),
        point: (chart) => point(chart, tip.current, latest.current.lines, latest.current.times, props.unit),
      }),
      latest.current.data,
      element,
    );
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
    };
    // The data alone does not make a new chart: it is handed over below.
  }, [width, scheme, identity, props.style, props.unit, props.height, props.fill, props.min, props.max, props.logarithmic]);

  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);

  return (
    <div ref={ref} className="chart" role="img" aria-label={props.label}>
      <div ref={host} />
      <div ref={tip} className="chart-tip" hidden />
    </div>
  );
}

/** uPlot's columns: times first. Stacked lines are drawn as their running totals. */
function aligned(times: number[], lines: Line[], style: Style): uPlot.AlignedData {
  if (style !== "stacked") return [times, ...lines.map((line) => finite(line.values))] as uPlot.AlignedData;
  const total = new Array<number>(times.length).fill(0);
  const there = times.map((_, i) => lines.some((line) => line.shown && line.values[i] != null));
  const stacked = lines.map((line) =>
    line.values.map((value, i) => {
      if (!line.shown || !there[i]) return null;
      return (total[i] = total[i]! + (value !== null && Number.isFinite(value) ? value : 0));
    }),
  );
  return [times, ...stacked] as uPlot.AlignedData;
}

function finite(values: (number | null)[]): (number | null)[] {
  return values.map((value) => (value !== null && Number.isFinite(value) ? value : null));
}

interface Hooks {
  zoom: (start: number, end: number) => void;
  point: (chart: uPlot) => void;
}

function options(props: Props, scheme: "light" | "dark", width: number, hooks: Hooks): uPlot.Options {
  const ink = INKS[scheme];
  const format = formatOf(props.unit);
  const axis = { stroke: ink.text, grid: { stroke: ink.grid, width: 1 }, ticks: { stroke: ink.grid, width: 1 }, font: "12px system-ui, sans-serif" };
  const stacked = props.style === "stacked";
  const fading = props.lines.length * props.times.length <= MOST_FADING;
  const visible = props.lines.map((line, index) => (line.shown ? index + 1 : 0)).filter(Boolean);
  return {
    width,
    height: props.height,
    padding: [10, 28, 0, 0], // room for the half of a label that stands below the last moment
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      focus: { prox: fading ? 24 : -1 },
      points: { size: 7, show: fading },
      sync: props.syncKey ? { key: props.syncKey } : undefined,
    },
    focus: { alpha: fading ? 0.35 : 1 },
    scales: {
      x: { time: true },
      y: { distr: props.logarithmic ? 3 : 1, range: (_, low, high) => bounds(low, high, props, stacked) },
    },
    axes: [
      { ...axis, size: 30, space: 70, values: (_, ticks, __, ___, step) => ticks.map((tick) => tickTime(tick, step)) },
      {
        ...axis,
        size: (_, values) => Math.max(44, ...(values ?? []).map((value) => 20 + 7 * (value?.length ?? 0))),
        values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : format(tick))),
        incrs: isBinary(props.unit) ? BINARY_STEPS : undefined,
      },
    ],
    series: [{}, ...props.lines.map((line) => drawn(line, props))],
    bands: stacked ? visible.slice(1).map((index, i) => ({ series: [index, visible[i]!] as [number, number] })) : undefined,
    hooks: {
      setCursor: [hooks.point],
      setSelect: [
        (chart) => {
          if (chart.select.width < 4) return;
          hooks.zoom(chart.posToVal(chart.select.left, "x"), chart.posToVal(chart.select.left + chart.select.width, "x"));
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      draw: props.thresholds?.length ? [(chart) => limits(chart, props.thresholds!)] : [],
    },
  };
}

const BINARY_STEPS = Array.from({ length: 60 }, (_, power) => 2 ** power);

export function bounds(
  low: number | null,
  high: number | null,
  zones: Zones & { logarithmic?: boolean },
  fromZero: boolean,
): [number, number] {
  if (zones.logarithmic) return decades(low, high, zones);
  if (low === null || high === null) return [zones.min ?? 0, zones.max ?? 1];
  const bottom = fromZero ? Math.min(0, low) : low;
  const span = high - bottom || Math.abs(high) || 1;
  const padded = bottom >= 0 && bottom < span ? 0 : bottom - span * 0.08;
  return [zones.min ?? padded, zones.max ?? high + span * 0.08];
}

const isPositive = (value: number | null | undefined): value is number =>
  value != null && value > 0 && Number.isFinite(value);

/** The ends of a logarithmic axis: whole powers of ten around what is above nought, one decade at least. */
function decades(low: number | null, high: number | null, zones: Zones): [number, number] {
  const top = isPositive(zones.max) ? zones.max : 10 ** Math.ceil(Math.log10(isPositive(high) ? high : 10));
  const bottom = isPositive(zones.min) ? zones.min : 10 ** Math.floor(Math.log10(isPositive(low) ? low : top / 10));
  return bottom < top ? [bottom, top] : [top / 10, top];
}

function drawn(line: Line, props: Props): uPlot.Series {
  const alpha = props.style === "stacked" ? 0.45 : (line.fill ?? props.fill ?? 0);
  const points = props.style === "points";
  const steps = props.times.length > 1 ? props.times[1]! - props.times[0]! : 1;
  return {
    label: line.name,
    show: line.shown,
    stroke: line.colour,
    width: points ? 0 : (line.width ?? props.width ?? 1.5),
    fill: alpha > 0 ? line.colour + hex(alpha) : undefined,
    paths: points ? () => null : props.style === "bars" ? uPlot.paths.bars!({ size: [0.8, 40] }) : undefined,
    points: {
      show: points ? true : undefined,
      size: points ? 4 : 5,
      fill: line.colour,
      filter: (chart, index, show) => (show ? null : single(chart.data[index]!)),
    },
    gaps: (_, __, from, to, gaps) => gaps.filter(([left, right]) => right - left > (GAP_STEPS * steps * gapScale(props, to - from))),
  };
}

/** Where the only value of a line is, which no line shows. */
function single(values: ArrayLike<number | null | undefined>): number[] | null {
  const there = Array.from(values, (value, index) => (value == null ? -1 : index)).filter((index) => index >= 0);
  return there.length === 1 ? there : null;
}

/** How many pixels a second takes, near enough to tell a hole from a sender that sends less often. */
function gapScale(props: Props, points: number): number {
  const span = props.times.length > 1 ? props.times[props.times.length - 1]! - props.times[0]! : 1;
  return (Math.min(points, 2000) * devicePixelRatio) / Math.max(span, 1) / 2;
}

const hex = (alpha: number) =>
  Math.round(alpha * 255)
    .toString(16)
    .padStart(2, "0");

function tickTime(tick: number, step: number): string {
  const text = clock(tick);
  if (step >= 86_400) return text.slice(5, 10);
  const midnight = text.endsWith("00:00:00");
  return midnight ? text.slice(5, 10) : step < 60 ? text.slice(11) : text.slice(11, 16);
}

function limits(chart: uPlot, thresholds: { value: number; colour: string }[]): void {
  for (const { value, colour } of thresholds) {
    const y = chart.valToPos(value, "y", true);
    if (!(y >= chart.bbox.top && y <= chart.bbox.top + chart.bbox.height)) continue;
    chart.ctx.save();
    chart.ctx.strokeStyle = colour;
    chart.ctx.setLineDash([6, 6]);
    chart.ctx.beginPath();
    chart.ctx.moveTo(chart.bbox.left, y);
    chart.ctx.lineTo(chart.bbox.left + chart.bbox.width, y);
    chart.ctx.stroke();
    chart.ctx.restore();
  }
}

/** Say what the cursor is near: the time, the line and its own value (not the stack's). */
function point(chart: uPlot, tip: HTMLDivElement | null, lines: Line[], times: number[], unit: string): void {
  const { idx, left, top } = chart.cursor;
  if (!tip) return;
  const near = nearest(chart, idx, top);
  const value = near === null ? null : lines[near]?.values[idx!];
  if (idx == null || near === null || value == null || left == null || left < 0) {
    tip.hidden = true;
    return;
  }
  tip.replaceChildren(
    text("div", clock(times[idx]!), "chart-tip-time"),
    text("span", formatOf(lines[near]!.unit ?? unit)(value, lines[near]!.decimals), "chart-tip-value"),
    text("span", lines[near]!.name, ""),
  );
  tip.hidden = false;
  tip.style.borderLeftColor = lines[near]!.colour;
  const x = left + chart.over.offsetLeft;
  const y = (top ?? 0) + chart.over.offsetTop;
  tip.style.left = `${Math.max(0, Math.min(x + 14, chart.width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(0, y - tip.offsetHeight - 12)}px`;
}

function nearest(chart: uPlot, index: number | null | undefined, top: number | undefined): number | null {
  if (index == null || top == null) return null;
  let [best, distance] = [null as number | null, Infinity];
  for (let i = 1; i < chart.series.length; i += 1) {
    const value = chart.data[i]?.[index];
    if (value == null || !chart.series[i]!.show) continue;
    const away = Math.abs(chart.valToPos(value, "y") - top);
    if (away < distance) [best, distance] = [i - 1, away];
  }
  return best;
}

function text(tag: string, content: string, className: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = content;
  element.className = className;
  return element;
}
