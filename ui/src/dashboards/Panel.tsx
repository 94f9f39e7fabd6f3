// One panel of a dashboard: its title, what of it is not rendered here, and its drawing.

import { Badge, Group, Text, Tooltip } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { lazy, memo, Suspense, useEffect, useMemo, useState, type ComponentType } from "react";

import { chosen, Legend } from "../chart/Legend";
import { TimeChart, type Line, type Style } from "../chart/TimeChart";
import { colour, moments, NUMBERS_OF_HISTOGRAMS } from "../series";
import type { Window } from "../time";
import { Boundary, Trouble } from "../Trouble";
import { distinct, usePanelData, type Frame, type PanelData } from "./data";
import { Bars, Gauge, Heatmap, Pie, Stat, TablePanel } from "./drawings";
import { drawn } from "./fields";
import { FIGURES, fixedColour, named, RENDERED, unrendered, type PanelModel } from "./model";
import { builtIns, interpolated, inWords, quotingWithin, type Quoting, type Values } from "./variables";

const Markdown = lazy(() => import("react-markdown"));

interface Props {
  panel: PanelModel;
  window: Window;
  values: Values;
  quoting: Record<string, Quoting>; // how they stand in queries
  onZoom: (start: number, end: number) => void;
  hideEmpty?: boolean; // leave the panel out when it has no data
}

export interface DrawingProps extends Omit<Props, "quoting" | "hideEmpty"> {
  data: PanelData;
  width: number;
  height: number;
}

const DRAWINGS: Record<string, ComponentType<DrawingProps>> = {
  timeseries: TimeSeries,
  graph: TimeSeries,
  stat: Stat,
  singlestat: Stat,
  gauge: Gauge,
  bargauge: Bars,
  table: TablePanel,
  heatmap: Heatmap,
  piechart: Pie,
};

export const Panel = memo(function Panel(props: Props) {
  const { panel, hideEmpty } = props;
  const values = useMemo(() => ({ ...props.values, ...panel.scope }), [props.values, panel.scope]);
  const missing = unrendered(panel);
  const quoting = useMemo(() => quotingWithin(props.quoting, panel.scope), [props.quoting, panel.scope]);
  const title = interpolated(panel.title ?? "", { ...values, ...builtIns(props.window, panel.interval) }, inWords);
  const { ref, width, height } = useElementSize();
  const [empty, setEmpty] = useState(false);
  return (
    <section className="panel" hidden={hideEmpty && empty} style={placed(panel)} aria-label={title || panel.type} data-panel={panel.type}>
      <Group gap="xs" wrap="nowrap" justify="space-between">
        <Tooltip label={panel.description} disabled={!panel.description} multiline maw={400}>
          <h3 className="panel-title">{title}</h3>
        </Tooltip>
        {missing.length > 0 && (
          <Tooltip label={missing.join("; ")} multiline maw={400}>
            <Badge variant="light" color="orange" size="xs" tt="none" tabIndex={0} aria-label={`Not rendered here: ${missing.join("; ")}`} role="note">
              not rendered: {missing.length === 1 ? missing[0] : `${missing.length} things`}
            </Badge>
          </Tooltip>
        )}
      </Group>
      <div className="panel-body" ref={ref}>
        <Boundary what="This panel could not be drawn">
          {RENDERED.includes(panel.type) ? (
            panel.type === "text" ? (
              <Words {...props} values={values} />
            ) : (
              <Drawn {...props} values={values} quoting={quoting} width={width} height={height} onEmpty={setEmpty} />
            )
          ) : (
            <Text c="dimmed" size="sm">
              Panels of type {panel.type} are not rendered here; Grafana shows them.
            </Text>
          )}
        </Boundary>
      </div>
    </section>
  );
});

function placed({ gridPos }: PanelModel): React.CSSProperties {
  if (!gridPos) return { gridColumn: "span 12", gridRow: "span 8" };
  return { gridColumn: `${gridPos.x + 1} / span ${gridPos.w}`, gridRow: `${gridPos.y + 1} / span ${gridPos.h}` };
}

function Words({ panel, window, values }: Props) {
  const content = interpolated(
    panel.options?.content ?? "",
    { ...values, ...builtIns(window, panel.interval) },
    inWords,
  );
  if (panel.options?.mode !== "markdown" && panel.options?.mode !== undefined)
    return <pre className="snippet">{content}</pre>;
  return (
    <Suspense>
      <div className="words">
        <Markdown>{content}</Markdown>
      </div>
    </Suspense>
  );
}

const HISTOGRAMS = `These are histograms; make a number of them: ${NUMBERS_OF_HISTOGRAMS}.`;

interface DrawnProps extends Props {
  width: number;
  height: number;
  onEmpty: (empty: boolean) => void;
}

function Drawn({ panel, window, values, quoting, onZoom, width, height, onEmpty }: DrawnProps) {
  const data = usePanelData(panel, window, values, quoting);
  const empty = !data.pending && !data.frames.length && !data.errors.length && !data.histograms;
  useEffect(() => onEmpty(empty), [empty]);
  const Drawing = DRAWINGS[panel.type]!;
  if (data.errors.length && !data.frames.length) return <Trouble error={data.errors[0]} what="This query failed" />;
  if (!data.frames.length && data.histograms) return <Text c="dimmed">{HISTOGRAMS}</Text>;
  if (!data.frames.length) return <Text c="dimmed">{data.pending ? "…" : (panel.fieldConfig?.defaults?.noValue ?? "No data")}</Text>;
  return (
    <>
      {data.errors.map((error, index) => (
        <Trouble key={index} error={error} what="One query failed" />
      ))}
      {height > 20 && (
        <Drawing
          panel={panel}
          window={window}
          values={values}
          data={data}
          width={width}
          height={height}
          onZoom={onZoom}
        />
      )}
    </>
  );
}

const LEGEND_PX = 84;

function linesOf(panel: PanelModel, frames: Frame[], values: Values, hidden: Set<string>): Line[] {
  return distinct(drawn(panel, distinct(frames), values)).map(({ frame, index, settings, name }) => ({
    name,
    colour: fixedColour(settings) ?? colour(index),
    values: frame.values,
    shown: !hidden.has(name),
    unit: settings.unit,
    decimals: settings.decimals,
    width: settings.custom?.lineWidth,
    fill: settings.custom?.fillOpacity === undefined ? undefined : settings.custom.fillOpacity / 100,
  }));
}

function TimeSeries({ panel, values, data, height, onZoom }: DrawingProps) {
  const [hidden, setHidden] = useState<Set<string>>(new Set());
  const defaults = panel.fieldConfig?.defaults ?? {};
  const custom = defaults.custom ?? {};
  const lines = useMemo(() => linesOf(panel, data.frames, values, hidden), [panel, data.frames, values, hidden]);
  const times = useMemo(() => moments(data.window), [data.window.start, data.window.end, data.window.step]);
  const options = panel.options?.legend;
  const withLegend = options?.showLegend !== false && options?.displayMode !== "hidden";
  const legendHeight = withLegend ? Math.min(LEGEND_PX, 22 * (lines.length + 1), height / 2.5) : 0;
  const thresholds = custom.thresholdsStyle?.mode && custom.thresholdsStyle.mode !== "off" ? (defaults.thresholds?.steps ?? []) : [];
  return (
    <>
      <TimeChart
        times={times}
        lines={lines}
        style={styleOf(panel)}
        unit={defaults.unit ?? ""}
        min={defaults.min}
        max={defaults.max}
        fill={(custom.fillOpacity ?? 0) / 100}
        width={custom.lineWidth}
        height={Math.max(80, height - legendHeight)}
        logarithmic={custom.scaleDistribution?.type === "log"}
        thresholds={thresholds.flatMap((step) =>
          step.value == null ? [] : [{ value: step.value, colour: named(step.color) }],
        )}
        onZoom={onZoom}
        label={`${panel.title ?? "Chart"}: ${lines.map((line) => line.name).slice(0, 10).join(", ")}`}
      />
      {withLegend && (
        <Legend
          lines={lines}
          unit={defaults.unit ?? ""}
          figures={[...new Set((options?.calcs ?? []).flatMap((calc) => FIGURES[calc] ?? []))]}
          height={legendHeight}
          onChoose={(name, add) => setHidden(chosen(lines, name, add))}
        />
      )}
    </>
  );
}

function styleOf(panel: PanelModel): Style {
  const custom = panel.fieldConfig?.defaults?.custom ?? {};
  if (custom.stacking?.mode && custom.stacking.mode !== "none") return "stacked";
  return custom.drawStyle === "points" || custom.drawStyle === "bars" ? custom.drawStyle : "lines";
}
