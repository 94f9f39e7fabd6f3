// Everything a panel can be but lines over time: numbers, bars, tables, heat maps, pies.

import { Table } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useMemo, useRef, useState, type CSSProperties } from "react";

import { formatOf } from "../format";
import { colour, moments } from "../series";
import { clock } from "../time";
import { asked, distinct, type Frame } from "./data";
import { called, drawn, settingsOf } from "./fields";
import { fitted, type Layout } from "./layout";
import { meaning, type Mappable } from "./mappings";
import { ownColour, valueColour, type FieldDefaults, type PanelModel } from "./model";
import type { DrawingProps } from "./Panel";
import { compared, transformed, type Cell, type Tabular } from "./transformations";

const defaultsOf = (panel: PanelModel): FieldDefaults => panel.fieldConfig?.defaults ?? {};

function shown(value: Mappable, settings: FieldDefaults): string {
  const { text } = meaning(value, settings);
  if (text) return text;
  if (value === null) return settings.noValue ?? "–";
  return typeof value === "string" ? value : formatOf(settings.unit ?? "")(value, settings.decimals ?? undefined);
}

const CUT: CSSProperties = { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", maxWidth: "100%" };

function More({ left }: { left: number }) {
  if (left <= 0) return null;
  return (
    <p className="note" title="They do not fit here." style={CUT}>
      … and {left} more
    </p>
  );
}

const celled = ({ columns, height }: Layout): CSSProperties => ({
  display: "grid",
  gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
  gridAutoRows: height,
  gap: 0,
  height: "auto",
});

const STAT = { ratio: 0.5, least: { width: 70, height: 34 } };
const DIGIT = 0.68; // its width to its height, in bold

export function Stat({ panel, values, data, width, height }: DrawingProps) {
  const fields = drawn(panel, data.frames, values);
  const layout = fitted(fields.length, width, height, STAT);
  const texts = fields.slice(0, layout.shown).map((field) => ({
    ...field,
    text: `${panel.prefix ?? ""}${shown(field.frame.value, field.settings)}${panel.postfix ?? ""}`,
  }));
  const longest = Math.max(...texts.map(({ text }) => text.length), 1);
  const size = Math.max(11, Math.min(46, layout.height / 2.6, (layout.width - 8) / (longest * DIGIT)));
  const withSpark = panel.options?.graphMode !== "none" && layout.height > 90;
  return (
    <>
      <div className="stat" style={celled(layout)}>
        {texts.map(({ frame, index, name, settings, text }) => (
          <div key={index} className="stat-one" style={{ minWidth: 0, padding: "0 4px" }}>
            <div
              className="stat-value"
              title={text}
              style={{ ...CUT, fontSize: size, color: valueColour(frame.value, settings, "var(--mantine-color-text)") }}
            >
              {text}
            </div>
            {fields.length > 1 && (
              <div className="stat-name" title={name} style={CUT}>
                {name}
              </div>
            )}
            {withSpark && frame.values.length > 2 && <Spark values={frame.values} stroke={colour(index)} />}
          </div>
        ))}
      </div>
      <More left={fields.length - layout.shown} />
    </>
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

const GAUGE = { ratio: 0.66, least: { width: 70, height: 50 } };
const LEAST_ARC = 0.002; // less is no line but a blot
const GAUGE_TEXT = 72; // room between the ends of the arc

export function Gauge({ panel, values, data, width, height }: DrawingProps) {
  const arc = (part: number) => {
    const angle = Math.PI * (1 - part);
    return `${50 + 42 * Math.cos(angle)} ${50 - 42 * Math.sin(angle)}`;
  };
  const fields = drawn(panel, data.frames, values);
  const layout = fitted(fields.length, width, height, GAUGE);
  return (
    <>
      <div className="stat" style={celled(layout)}>
        {fields.slice(0, layout.shown).map(({ frame, index, name, settings }) => {
          const part = share(frame.value, extent(settings, data.frames));
          const text = shown(frame.value, settings);
          return (
            <svg
              key={index}
              viewBox="0 0 100 66"
              width={layout.width}
              height={Math.min(layout.height - 4, 220)}
              role="img"
              aria-label={`${name}: ${text}`}
            >
              <path d={`M${arc(0)} A42 42 0 0 1 ${arc(1)}`} className="gauge-track" />
              {part > LEAST_ARC && (
                <path
                  d={`M${arc(0)} A42 42 0 0 1 ${arc(part)}`}
                  className="gauge-arc"
                  stroke={valueColour(frame.value, settings, colour(0))}
                />
              )}
              <text
                x="50"
                y="48"
                className="gauge-value"
                style={{ fontSize: Math.min(13, GAUGE_TEXT / (text.length * DIGIT)) }}
              >
                {text}
              </text>
              <text x="50" y="63" className="gauge-name">
                {fields.length > 1 ? name.slice(0, 28) : ""}
              </text>
            </svg>
          );
        })}
      </div>
      <More left={fields.length - layout.shown} />
    </>
  );
}

const MOST_BARS = 200;

export function Bars({ panel, values, data, height }: DrawingProps) {
  const fields = drawn(panel, data.frames, values);
  return (
    <div className="bars" style={{ maxHeight: height }} tabIndex={0} role="group" aria-label={panel.title ?? "Bars"}>
      {fields.slice(0, MOST_BARS).map(({ frame, index, name, settings }) => (
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
      <More left={fields.length - MOST_BARS} />
    </div>
  );
}

export function Pie({ panel, values, data, height }: DrawingProps) {
  const fields = drawn(panel, distinct(data.frames), values).filter(({ frame }) => (frame.value ?? 0) > 0);
  const total = fields.reduce((sum, { frame }) => sum + frame.value!, 0);
  let at = 0;
  const slices = fields.map(({ frame, index, name, settings }) => {
    const [from, to] = [at / total, (at + frame.value!) / total];
    at += frame.value!;
    return {
      key: frame.name,
      text: `${name}: ${shown(frame.value, settings)}`,
      from,
      to,
      fill: ownColour(frame.value, settings) ?? colour(index),
    };
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

const MOST_ROWS = 500;

/** Queries side by side: a table each, a row a label set; then the transformations. */
export function TablePanel({ panel, values, data, height }: DrawingProps) {
  const several = asked(panel).length > 1;
  const { columns, rows } = useMemo(
    () => transformed(tabled(data.frames, several), panel.transformations ?? []),
    [data.frames, panel],
  );
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
                  {called(fields.get(name)!, { name, labels: {} }, values)}
                </button>
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sorted.slice(0, MOST_ROWS).map((row, index) => (
            <Table.Tr key={index}>
              {columns.map((name) => (
                <Table.Td key={name}>{celltext(row[name], fields.get(name)!)}</Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <More left={sorted.length - MOST_ROWS} />
    </Table.ScrollContainer>
  );
}

const celltext = (cell: Cell, settings: FieldDefaults) =>
  cell === undefined ? (meaning(null, settings).text ?? "") : shown(cell, settings);

/** The answers of each query as a table. */
function tabled(frames: Frame[], several: boolean): Tabular[] {
  return [...new Set(frames.map(({ target }) => target))].map((target) => {
    const column = several ? `Value #${target.refId ?? "A"}` : "Value";
    const own = frames.filter((frame) => frame.target === target);
    const rows = own.map(({ labels: { __name__: _, ...labels }, value }) => ({
      ...labels,
      [column]: value ?? undefined,
    }));
    return { columns: [...new Set(rows.flatMap((row) => Object.keys(row)))], rows };
  });
}

const MARGIN = { left: 64, bottom: 20 };

/** Buckets of a classic histogram (`le`) over time: the darker, the more fell into one. */
export function Heatmap({ panel, data, height, onZoom }: DrawingProps) {
  const { ref, width } = useElementSize();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [tip, setTip] = useState<string>("");
  const [from, setFrom] = useState<number | null>(null);
  const times = moments(data.window);
  const { bounds, cells } = useMemo(() => bucketed(data.frames, times.length), [data.frames, times.length]);
  const format = formatOf(panel.options?.yAxis?.unit ?? defaultsOf(panel).unit ?? "s");
  const most = Math.max(...cells.map((row) => Math.max(...row)), 0);
  const [plotWidth, plotHeight] = [width - MARGIN.left, height - MARGIN.bottom];

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
  }, [width, height, bounds, cells, data.window, panel]);

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
