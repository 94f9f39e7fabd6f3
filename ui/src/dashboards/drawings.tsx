// Everything a panel can be but lines over time: numbers, bars, tables, heat maps, pies.

import { Table } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useRef, useState } from "react";

import { formatOf } from "../format";
import { colour, moments } from "../series";
import { clock } from "../time";
import { distinct, type Frame } from "./data";
import { fieldOf, hidden, settingsOf } from "./fields";
import { fixedColour, mapped, thresholdColour, type FieldDefaults, type PanelModel } from "./model";
import type { DrawingProps } from "./Panel";
import { compared, transformed, type Cell, type Tabular } from "./transformations";

const defaultsOf = (panel: PanelModel): FieldDefaults => panel.fieldConfig?.defaults ?? {};

function shown(value: number | null, settings: FieldDefaults): string {
  if (value === null) return settings.noValue ?? "–";
  return mapped(value, settings) ?? formatOf(settings.unit ?? "")(value, settings.decimals ?? undefined);
}

interface Drawn {
  frame: Frame;
  name: string;
  settings: FieldDefaults;
}

/** The frames of a panel with what holds for each, without those that are hidden. */
function drawn(panel: PanelModel, frames: Frame[]): Drawn[] {
  return frames
    .map((frame) => ({ frame, settings: settingsOf(panel, fieldOf(frame)) }))
    .filter(({ settings }) => !hidden(settings))
    .map(({ frame, settings }) => ({ frame, settings, name: settings.displayName || frame.name }));
}

const valueColour = (value: number | null, settings: FieldDefaults, otherwise: string) => fixedColour(settings) ?? thresholdColour(value, settings, otherwise);

const MOST_VALUES = 50;

export function Stat({ panel, data, height }: DrawingProps) {
  const frames = drawn(panel, data.frames).slice(0, MOST_VALUES);
  const size = Math.max(14, Math.min(46, height / Math.ceil(frames.length / 4) / 2.6));
  return (
    <div className="stat">
      {frames.map(({ frame, name, settings }, index) => (
        <div key={index} className="stat-one">
          <div className="stat-value" style={{ fontSize: size, color: valueColour(frame.value, settings, "var(--mantine-color-text)") }}>
            {shown(frame.value, settings)}
          </div>
          {frames.length > 1 && <div className="stat-name">{name}</div>}
          {panel.options?.graphMode !== "none" && frame.values.length > 2 && height > 90 && <Spark values={frame.values} stroke={colour(index)} />}
        </div>
      ))}
    </div>
  );
}

function Spark({ values, stroke }: { values: (number | null)[]; stroke: string }) {
  const there = values.filter((value): value is number => value !== null && Number.isFinite(value));
  const [low, high] = [Math.min(...there), Math.max(...there)];
  const path = values
    .map((value, index) => (value === null ? "" : `${index ? "L" : "M"}${(index / (values.length - 1)) * 100} ${28 - ((value - low) / (high - low || 1)) * 26}`))
    .join("")
    .replace(/^L/, "M");
  return (
    <svg className="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden>
      <path d={path} fill="none" stroke={stroke} strokeWidth="1.5" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}

function extent(defaults: FieldDefaults, frames: Frame[]): [number, number] {
  const highest = Math.max(...frames.map((frame) => frame.value ?? 0), 0);
  return [defaults.min ?? 0, defaults.max ?? (["percent"].includes(defaults.unit ?? "") ? 100 : defaults.unit === "percentunit" ? 1 : highest || 1)];
}

const share = (value: number | null, [low, high]: [number, number]) => Math.max(0, Math.min(1, ((value ?? low) - low) / (high - low || 1)));

export function Gauge({ panel, data, height }: DrawingProps) {
  const arc = (part: number) => {
    const angle = Math.PI * (1 - part);
    return `${50 + 42 * Math.cos(angle)} ${50 - 42 * Math.sin(angle)}`;
  };
  return (
    <div className="stat">
      {drawn(panel, data.frames).slice(0, MOST_VALUES).map(({ frame, name, settings }, index) => {
        const part = share(frame.value, extent(settings, data.frames));
        return (
          <svg key={index} viewBox="0 0 100 66" height={Math.min(height - 4, 220)} role="img" aria-label={`${name}: ${shown(frame.value, settings)}`}>
            <path d={`M${arc(0)} A42 42 0 0 1 ${arc(1)}`} className="gauge-track" />
            {part > 0 && <path d={`M${arc(0)} A42 42 0 0 1 ${arc(part)}`} className="gauge-arc" stroke={valueColour(frame.value, settings, colour(0))} />}
            <text x="50" y="48" className="gauge-value">
              {shown(frame.value, settings)}
            </text>
            <text x="50" y="63" className="gauge-name">
              {data.frames.length > 1 ? name.slice(0, 28) : ""}
            </text>
          </svg>
        );
      })}
    </div>
  );
}

export function Bars({ panel, data, height }: DrawingProps) {
  return (
    <div className="bars" style={{ maxHeight: height }} tabIndex={0} role="group" aria-label={panel.title ?? "Bars"}>
      {drawn(panel, data.frames).slice(0, 200).map(({ frame, name, settings }, index) => (
        <div key={index} className="bar">
          <span className="bar-name" title={name}>
            {name}
          </span>
          <span className="bar-track">
            <span className="bar-fill" style={{ width: `${share(frame.value, extent(settings, data.frames)) * 100}%`, background: valueColour(frame.value, settings, colour(0)) }} />
          </span>
          <span className="figure">{shown(frame.value, settings)}</span>
        </div>
      ))}
    </div>
  );
}

export function Pie({ panel, data, height }: DrawingProps) {
  const fields = drawn(panel, distinct(data.frames)).filter(({ frame }) => (frame.value ?? 0) > 0);
  const total = fields.reduce((sum, { frame }) => sum + frame.value!, 0);
  let at = 0;
  const slices = fields.map(({ frame, name, settings }, index) => {
    const [from, to] = [at / total, (at + frame.value!) / total];
    at += frame.value!;
    return { key: frame.name, text: `${name}: ${shown(frame.value, settings)}`, from, to, fill: fixedColour(settings) ?? colour(index) };
  });
  const point = (part: number) => `${50 + 48 * Math.sin(2 * Math.PI * part)} ${50 - 48 * Math.cos(2 * Math.PI * part)}`;
  return (
    <div className="pie">
      <svg viewBox="0 0 100 100" height={height - 4} role="img" aria-label={slices.map(({ text }) => text).join("; ")}>
        {slices.map(({ key, from, to, fill }) =>
          to - from > 0.9999 ? (
            <circle key={key} cx="50" cy="50" r="48" fill={fill} />
          ) : (
            <path key={key} d={`M50 50 L${point(from)} A48 48 0 ${to - from > 0.5 ? 1 : 0} 1 ${point(to)} Z`} fill={fill} />
          ),
        )}
        {panel.options?.pieType === "donut" && <circle cx="50" cy="50" r="26" className="pie-hole" />}
      </svg>
      <ul>
        {slices.map(({ key, text, fill }) => (
          <li key={key}>
            <span className="swatch" style={{ background: fill }} /> {text}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Instant queries side by side: a row a label set, a column a query, as Grafana's `merge` makes it; then the transformations. */
export function TablePanel({ panel, data, height }: DrawingProps) {
  const { columns, rows } = transformed(tabled(data.frames), panel.transformations ?? []);
  const fields = new Map(
    columns.map((name) => {
      const numeric = rows.some((row) => typeof row[name] === "number");
      return [name, settingsOf(panel, { name, refId: /^Value #(.+)$/.exec(name)?.[1], numeric })] as const;
    }),
  );
  const [sort, setSort] = useState<{ name: string; desc: boolean } | null>(null);
  const first = panel.options?.sortBy?.[0];
  const order = sort ?? (first?.displayName ? { name: first.displayName, desc: first.desc ?? false } : null);
  const sorted = order ? [...rows].sort((one, other) => compared(one[order.name], other[order.name]) * (order.desc ? -1 : 1)) : rows;
  return (
    <Table.ScrollContainer minWidth={200} maxHeight={height} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": panel.title ?? "Table" } }}>
      <Table striped stickyHeader fz="xs" verticalSpacing={3}>
        <Table.Thead>
          <Table.Tr>
            {columns.map((name) => (
              <Table.Th key={name} aria-sort={order?.name === name ? (order.desc ? "descending" : "ascending") : undefined}>
                <button type="button" className="bare" onClick={() => setSort({ name, desc: order?.name === name ? !order.desc : false })}>
                  {fields.get(name)!.displayName || name}
                </button>
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sorted.slice(0, 500).map((row, index) => (
            <Table.Tr key={index}>
              {columns.map((name) => (
                <Table.Td key={name}>{typeof row[name] === "number" ? shown(row[name], fields.get(name)!) : (row[name] ?? "")}</Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function tabled(frames: Frame[]): Tabular {
  const several = new Set(frames.map((frame) => frame.target)).size > 1;
  const rows = new Map<string, Record<string, Cell>>();
  for (const frame of frames) {
    const labels = Object.fromEntries(Object.entries(frame.labels).filter(([name]) => name !== "__name__"));
    const key = JSON.stringify(Object.entries(labels).sort());
    const column = several ? `Value #${frame.target.refId ?? "A"}` : "Value";
    rows.set(key, { ...labels, ...rows.get(key), [column]: frame.value ?? undefined });
  }
  return { columns: [...new Set([...rows.values()].flatMap((row) => Object.keys(row)))], rows: [...rows.values()] };
}

const MARGIN = { left: 64, bottom: 20 };

/** Buckets of a classic histogram (`le`) over time: the darker, the more fell into one. */
export function Heatmap({ panel, data, height, onZoom }: DrawingProps) {
  const { ref, width } = useElementSize();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [tip, setTip] = useState<string>("");
  const [from, setFrom] = useState<number | null>(null);
  const times = moments(data.window);
  const { bounds, cells } = bucketed(data.frames, times.length);
  const format = formatOf(defaultsOf(panel).unit ?? "s");
  const most = Math.max(...cells.map((row) => Math.max(...row)), 0);
  const [plotWidth, plotHeight] = [width - MARGIN.left, height - MARGIN.bottom];
  const identity = JSON.stringify([bounds, most, data.window, cells.map((row) => row.at(-1))]);

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || plotWidth < 10) return;
    const [w, h] = [plotWidth / times.length, plotHeight / Math.max(bounds.length, 1)];
    context.clearRect(0, 0, width * devicePixelRatio, height * devicePixelRatio);
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    cells.forEach((row, bucket) =>
      row.forEach((count, index) => {
        if (count <= 0) return;
        context.fillStyle = heat(count / most);
        context.fillRect(MARGIN.left + index * w, plotHeight - (bucket + 1) * h, Math.ceil(w), Math.max(1, h - 1));
      }),
    );
    context.fillStyle = getComputedStyle(canvas.current!).color;
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    const every = Math.ceil(14 / h);
    bounds.forEach((bound, bucket) => {
      if (bucket % every === 0) context.fillText(bound === Infinity ? "+∞" : format(bound), MARGIN.left - 4, plotHeight - bucket * h - h + 9);
    });
    context.textAlign = "center";
    const precise = data.window.end - data.window.start < 600;
    for (let i = 1; i < 6; i += 1) context.fillText(clock(times[Math.floor((times.length * i) / 6)]!).slice(11, precise ? 19 : 16), MARGIN.left + (plotWidth * i) / 6, height - 5);
  }, [width, height, identity]);

  const cellAt = (event: React.PointerEvent<HTMLCanvasElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const index = Math.floor(((event.clientX - box.left - MARGIN.left) / plotWidth) * times.length);
    return [index, Math.floor(((plotHeight - (event.clientY - box.top)) / plotHeight) * bounds.length)] as const;
  };
  const move = (event: React.PointerEvent<HTMLCanvasElement>) => {
    const [index, bucket] = cellAt(event);
    const count = cells[bucket]?.[index];
    const name = (bound: number) => (bound === Infinity ? "+∞" : format(bound));
    setTip(count === undefined ? "" : `${clock(times[index]!)} · ${bucket ? name(bounds[bucket - 1]!) : "0"} to ${name(bounds[bucket]!)}: ${formatOf("short")(count)}`);
  };
  return (
    <div ref={ref} className="heatmap" title={tip}>
      <canvas
        ref={canvas}
        width={width * devicePixelRatio}
        height={height * devicePixelRatio}
        style={{ width, height }}
        role="img"
        aria-label={`${panel.title ?? "Heat map"}: ${bounds.length} buckets over time`}
        onPointerMove={move}
        onPointerDown={(event) => setFrom(cellAt(event)[0])}
        onPointerUp={(event) => {
          const to = cellAt(event)[0];
          if (from !== null && Math.abs(to - from) > 1) onZoom(times[Math.max(0, Math.min(from, to))]!, times[Math.min(times.length - 1, Math.max(from, to))]!);
          setFrom(null);
        }}
      />
    </div>
  );
}

/** From running totals over buckets (`le`) to what fell into each. */
function bucketed(frames: Frame[], length: number): { bounds: number[]; cells: number[][] } {
  const sums = new Map<number, number[]>();
  for (const frame of frames) {
    const le = frame.labels["le"] ?? frame.name;
    const bound = le === "+Inf" ? Infinity : Number(le);
    if (Number.isNaN(bound)) continue;
    const row = sums.get(bound) ?? new Array<number>(length).fill(0);
    frame.values.forEach((value, index) => (row[index] = (row[index] ?? 0) + (value !== null && Number.isFinite(value) ? value : 0)));
    sums.set(bound, row);
  }
  const bounds = [...sums.keys()].sort((one, other) => one - other);
  const cells = bounds.map((bound, index) => {
    const below = index ? sums.get(bounds[index - 1]!)! : null;
    return sums.get(bound)!.map((value, i) => Math.max(0, value - (below?.[i] ?? 0)));
  });
  return { bounds, cells };
}

/** Yellow over red to violet, which tells apart without colour too. */
function heat(part: number): string {
  const share = Math.sqrt(part);
  return `hsl(${50 - 110 * share + (share > 0.45 ? 360 : 0)} 85% ${72 - 38 * share}%)`;
}
