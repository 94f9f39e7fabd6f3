// Ask by PromQL and see the answer: a chart, a table, or the values of this moment.

import { ActionIcon, Button, Checkbox, CopyButton, Group, SegmentedControl, Stack, Tabs, Text, TextInput, Tooltip } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { useQueries, useQuery, type Query } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";

import { rangeOf, useAddress } from "../address";
import { labelValues, metadata, queryInstant, queryRange, type Metadata, type Result } from "../api";
import { chosen, Legend } from "../chart/Legend";
import { TimeChart, type Line, type Style } from "../chart/TimeChart";
import { PageTitle } from "../PageTitle";
import { colour, columnsOf, csv, moments, named, NUMBERS_OF_HISTOGRAMS, type Column } from "../series";
import { useVisit } from "../session";
import { duration, windowOf, written, type Window } from "../time";
import { between, shifted, TimeControls, widened } from "../TimeControls";
import { Trouble } from "../Trouble";
import { Editor } from "./Editor";
import { hintOf, metricsOf } from "./hints";
import { unitOf } from "./units";
import { InstantTable, RangeTable } from "./tables";

const POINTS = 400;
const STYLES: Style[] = ["lines", "stacked", "points"];
const NOTHING: Record<string, Metadata[]> = {};

export default function Explore() {
  const address = useAddress();
  const range = rangeOf(address);
  const queries = address.all("q");
  const [drafts, setDrafts] = useState(queries.length ? queries : [""]);
  const [added, setAdded] = useState<number | null>(null); // the query that is to be typed next
  const [now, setNow] = useState(() => Date.now() / 1000);
  const asked = queries.join("\n");
  useEffect(() => {
    if (asked) setDrafts(asked === "" ? [""] : address.all("q"));
    // What is in the address wins: by a link, or by going back.
  }, [asked]);

  const tab = address.one("tab", "graph");
  const style = address.one("style", "lines") as Style;
  const step = address.one("step");
  const window = useMemo(() => windowOf(range, now, POINTS, step), [range.from, range.to, now, step]);

  const run = useCallback(() => {
    setNow(Date.now() / 1000);
    address.change({ q: drafts.filter((draft) => draft.trim()), hide: null, show: null });
  }, [address.change, drafts]);
  const setRange = (next: { from: string; to: string }) => {
    setNow(Date.now() / 1000);
    address.change({ from: next.from, to: next.to });
  };

  useHotkeys([
    ["r", () => setNow(Date.now() / 1000)],
    ["[", () => setRange(shifted(range, -1, now))],
    ["]", () => setRange(shifted(range, 1, now))],
    ["-", () => setRange(widened(range, now))],
  ]);

  const known = useQuery({ queryKey: ["metadata"], queryFn: metadata, staleTime: 60_000 }).data ?? NOTHING;
  const answers = useAnswers(queries, tab, window);
  const busy = answers.some((answer) => answer.isFetching);
  const results = answers.map((answer) => answer.data);
  const columns = useMemo(() => (window ? columnsOf(results, queries, window) : []), [...results, window, asked]);
  const units = new Set(queries.map((query) => unitOf(query, known)));
  const unit = units.size === 1 ? [...units][0]! : "";

  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <PageTitle>Explore</PageTitle>
        <TimeControls
          range={range}
          onRange={setRange}
          refresh={address.one("refresh")}
          onRefresh={(refresh) => address.change({ refresh }, true)}
          onNow={() => setNow(Date.now() / 1000)}
          busy={busy}
        />
      </Group>
      {drafts.map((draft, index) => (
        <QueryRow
          key={index}
          index={index}
          draft={draft}
          known={known}
          focused={index === added}
          onChange={(text) => setDrafts(drafts.map((other, i) => (i === index ? text : other)))}
          onRun={run}
          onRemove={drafts.length > 1 ? () => removed(index) : undefined}
        />
      ))}
      <Group>
        <Button onClick={run} loading={busy}>
          Run
        </Button>
        <Button variant="default" onClick={add}>
          Add a query
        </Button>
        <StepInput value={step} window={window} onChange={(text) => address.change({ step: text })} />
        <SegmentedControl
          aria-label="Style"
          data={STYLES}
          value={style}
          onChange={(value) => address.change({ style: value === "lines" ? null : value }, true)}
        />
        <CopyCurl queries={queries} window={window} instant={tab === "instant"} />
        <Button variant="default" disabled={!results.some(Boolean) || !window || tab === "instant"} onClick={download}>
          CSV
        </Button>
      </Group>
      {!window && <Trouble error="The range of time cannot be read." />}
      {answers.map((answer, index) =>
        answer.error ? <Trouble key={index} error={answer.error} what={queries[index]} /> : <Remarks key={index} result={answer.data} />,
      )}
      <Tabs value={tab} onChange={(value) => address.change({ tab: value === "graph" ? null : value }, true)} keepMounted={false}>
        <Tabs.List>
          <Tabs.Tab value="graph">Graph</Tabs.Tab>
          <Tabs.Tab value="table">Table</Tabs.Tab>
          <Tabs.Tab value="instant">Values now</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="graph" pt="sm">
          {window && columns.length > 0 && <Graph columns={columns} window={window} style={style} unit={unit} />}
          <Missing results={results} columns={columns} busy={busy} />
        </Tabs.Panel>
        <Tabs.Panel value="table" pt="sm">
          {window && columns.length > 0 && <RangeTable times={moments(window)} columns={columns} unit={unit} />}
          <Missing results={results} columns={columns} busy={busy} />
        </Tabs.Panel>
        <Tabs.Panel value="instant" pt="sm">
          <InstantTable results={results} queries={queries} unit={unit} busy={busy} />
        </Tabs.Panel>
      </Tabs>
      {!queries.length && <Suggestions known={known} />}
    </Stack>
  );

  function add() {
    setDrafts([...drafts, ""]);
    setAdded(drafts.length);
  }

  function removed(index: number) {
    setAdded(null);
    const left = drafts.filter((_, i) => i !== index);
    setDrafts(left);
    address.change({ q: left.filter((draft) => draft.trim()), hide: null, show: null });
  }

  function download() {
    const text = csv(moments(window!), columns);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "opstrace.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

function useAnswers(queries: string[], tab: string, window: Window | null) {
  const instant = tab === "instant";
  return useQueries({
    queries: queries.map((query) => ({
      queryKey: ["query", instant, query, window],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        instant ? queryInstant(query, window!.end, signal) : queryRange(query, window!.start, window!.end, window!.step, signal),
      enabled: window !== null,
      // Until the answer is here the one before is shown, if it is of the same kind.
      placeholderData: (before: Result | undefined, of: Query | undefined) => (of?.queryKey[1] === instant ? before : undefined),
      staleTime: Infinity,
    })),
  });
}

interface RowProps {
  index: number;
  draft: string;
  known: Record<string, Metadata[]>;
  focused: boolean;
  onChange: (text: string) => void;
  onRun: () => void;
  onRemove?: () => void;
}

function QueryRow({ index, draft, known, focused, onChange, onRun, onRemove }: RowProps) {
  const names = metricsOf(draft, known);
  const { data: types = [] } = useQuery({
    queryKey: ["types", names],
    queryFn: async () => {
      const now = Date.now() / 1000;
      const found = await Promise.all(names.map((name) => labelValues("type", named(name), now - 86_400, now)));
      return [...new Set(found.flat())];
    },
    enabled: names.length > 0 && names.length < 10,
    staleTime: 60_000,
  });
  const hint = hintOf(draft, types);
  const told = names.map((name) => [known[name]?.[0]?.help, known[name]?.[0]?.unit].filter(Boolean).join(", in ")).filter(Boolean);
  return (
    <div>
      <Group gap="xs" wrap="nowrap" align="stretch">
        <Editor value={draft} label={`Query ${index + 1}`} focused={focused} onChange={onChange} onRun={onRun} />
        {onRemove && (
          <ActionIcon variant="default" size="lg" aria-label={`Remove query ${index + 1}`} onClick={onRemove}>
            ×
          </ActionIcon>
        )}
      </Group>
      {(hint || told.length > 0) && (
        <Text size="xs" mt={2} role="status">
          {told.length > 0 && (
            <Text span inherit c="dimmed">
              {told.join(" · ")}{" "}
            </Text>
          )}
          {hint && (
            <Text span inherit fw={hint.wrong ? 700 : 400} className={hint.wrong ? "hint-wrong" : "hint"}>
              {hint.text}
            </Text>
          )}
        </Text>
      )}
    </div>
  );
}

function StepInput({ value, window, onChange }: { value: string; window: Window | null; onChange: (text: string) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const wrong = text.trim() !== "" && !duration(text);
  const submit = () => !wrong && onChange(text.trim());
  return (
    <TextInput
      aria-label="Step"
      placeholder={window ? `step: ${written(window.step)}` : "step"}
      value={text}
      error={wrong && "such as 15s"}
      w={120}
      onChange={(event) => setText(event.currentTarget.value)}
      onBlur={submit}
      onKeyDown={(event) => event.key === "Enter" && submit()}
    />
  );
}

function CopyCurl({ queries, window, instant }: { queries: string[]; window: Window | null; instant: boolean }) {
  const { tenant } = useVisit();
  if (!queries.length || !window) return null;
  const times = instant ? `-d time=${window.end}` : `-d start=${window.start} -d end=${window.end} -d step=${window.step}`;
  const quoted = (text: string) => `'${text.replace(/'/g, `'\\''`)}'`;
  const commands = queries.map((query) =>
    [
      `curl -sS --cacert opstrace-ca.pem -H "DD-API-KEY: $(cat tenant-api-token-${tenant})"`,
      `${location.origin}/prometheus/api/v1/${instant ? "query" : "query_range"} ${times}`,
      `--data-urlencode ${quoted(`query=${query}`)}`,
    ].join(" \\\n  "),
  );
  return (
    <CopyButton value={commands.join("\n")}>
      {({ copied, copy }) => (
        <Tooltip label="The same question for a terminal">
          <Button variant="default" onClick={copy}>
            {copied ? "Copied" : "curl"}
          </Button>
        </Tooltip>
      )}
    </CopyButton>
  );
}

function Remarks({ result }: { result?: Result }) {
  if (!result?.warnings.length) return null;
  return (
    <Text size="sm" c="dimmed" role="status">
      {result.warnings.join("; ")}
    </Text>
  );
}

interface GraphProps {
  columns: Column[];
  window: Window;
  style: Style;
  unit: string;
}

function Graph({ columns, window, style, unit }: GraphProps) {
  const address = useAddress();
  const times = useMemo(() => moments(window), [window]);
  const [hide, show] = [address.all("hide"), address.all("show")];
  const [logarithmic, setLogarithmic] = useState(false);
  const key = [...hide, "|", ...show].join("\n");
  const lines = useMemo<Line[]>(
    () =>
      columns.map((column, index) => ({
        name: column.name,
        colour: colour(index),
        values: column.values,
        shown: show.length ? show.includes(column.name) : !hide.includes(column.name),
      })),
    [columns, key],
  );
  const onZoom = useCallback((start: number, end: number) => address.change({ ...between(start, end) }), [address.change]);

  const choose = (name: string, add: boolean) => {
    const hidden = [...chosen(lines, name, add)];
    const left = lines.map((line) => line.name).filter((other) => !hidden.includes(other));
    const few = hidden.length > left.length;
    address.change({ hide: few ? null : hidden, show: few ? left : null }, true);
  };
  return (
    <Stack gap="xs">
      <TimeChart
        times={times}
        lines={lines}
        style={style}
        unit={unit}
        height={360}
        logarithmic={logarithmic}
        onZoom={onZoom}
        label={`${lines.length} series from ${times.length} moments; the table has the same values`}
      />
      <Group justify="space-between">
        <Text size="xs" c="dimmed" data-testid="series-count">
          {lines.length} series, a value every {written(window.step)}
          {unit && `, in ${unit}`}
        </Text>
        <Checkbox size="xs" label="logarithmic" checked={logarithmic} onChange={(event) => setLogarithmic(event.currentTarget.checked)} />
      </Group>
      <Legend lines={lines} unit={unit} figures={["min", "max", "last"]} height={320} onChoose={choose} />
    </Stack>
  );
}

/** Says why there is nothing, or not all, to be drawn. */
function Missing({ results, columns, busy }: { results: (Result | undefined)[]; columns: Column[]; busy: boolean }) {
  const histograms = results.some((result) => result?.result.some((series) => series.histograms));
  if (!results.length || (columns.length && !histograms)) return null;
  if (results.some((result) => !result)) return busy ? <Text c="dimmed">…</Text> : null;
  return (
    <Text c="dimmed" role="status">
      {histograms
        ? `${columns.length ? "The others" : "These"} are histograms; draw a number of them: ${NUMBERS_OF_HISTOGRAMS}.`
        : "No series in this range of time."}
    </Text>
  );
}

function Suggestions({ known }: { known: Record<string, Metadata[]> }) {
  const address = useAddress();
  const names = Object.keys(known).slice(0, 12);
  if (!names.length) return <Text c="dimmed">Nothing has been sent yet.</Text>;
  return (
    <Group gap="xs">
      <Text size="sm" c="dimmed">
        Begin with
      </Text>
      {names.map((name) => (
        <Button key={name} size="compact-xs" variant="default" onClick={() => address.change({ q: [named(name)] })}>
          {name}
        </Button>
      ))}
    </Group>
  );
}
