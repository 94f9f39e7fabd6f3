// One dashboard: its variables, its range of time, its panels; and its JSON to edit.

import { ActionIcon, Button, Group, Loader, Modal, MultiSelect, Select, Stack, Text, Textarea, TextInput, UnstyledButton } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import { useLocation, useParams, useSearchParams } from "wouter";

import { rangeOf, useAddress } from "../address";
import { get, send } from "../api";
import { PageTitle } from "../PageTitle";
import { windowOf, type Window } from "../time";
import { between, shifted, TimeControls, widened } from "../TimeControls";
import { Trouble } from "../Trouble";
import type { Entry } from "./List";
import { refreshOf, sections, type Dashboard, type PanelModel, type VariableModel } from "./model";
import { Panel } from "./Panel";
import { repeated } from "./repeats";
import { freeUid, takenUids, uidOf } from "./uid";
import {
  ALL,
  askedChoices,
  builtIns,
  fixedChoices,
  interpolated,
  inWords,
  isAsked,
  ordered,
  promql,
  queryText,
  quotingOf,
  references,
  substituted,
  valuesOf,
  type Choice,
  type Quoting,
  type Values,
} from "./variables";

const POINTS = 240;
const OFF = "off"; // in the address: not even what the file says
const KNOWN_VARIABLES = ["query", "custom", "interval", "datasource", "constant", "textbox"];

export default function View() {
  const { uid = "" } = useParams();
  const { data, error } = useQuery({ queryKey: ["dashboard", uid], queryFn: () => get<Dashboard>(`/admin/dashboards/${uid}`) });
  if (error) return <Trouble error={error} what="This dashboard could not be read" />;
  if (!data) return <Loader />;
  return <Loaded key={uid} uid={uid} dashboard={data} />;
}

function Loaded({ uid, dashboard }: { uid: string; dashboard: Dashboard }) {
  const address = useAddress();
  const own = dashboard.time ?? {};
  const range = { ...rangeOf(address, own.from ?? "now-1h"), to: address.one("to", own.to ?? "now") };
  const [now, setNow] = useState(() => Date.now() / 1000);
  const window = useMemo(() => windowOf(range, now, POINTS), [range.from, range.to, now]);
  const [editing, setEditing] = useState(false);
  const setRange = useCallback(
    (next: { from: string; to: string }) => {
      setNow(Date.now() / 1000);
      address.change({ from: next.from, to: next.to });
    },
    [address.change],
  );
  const onZoom = useCallback((start: number, end: number) => setRange(between(start, end)), [setRange]);
  useHotkeys([
    ["r", () => setNow(Date.now() / 1000)],
    ["[", () => setRange(shifted(range, -1, now))],
    ["]", () => setRange(shifted(range, 1, now))],
    ["-", () => setRange(widened(range, now))],
  ]);
  const refresh = address.one("refresh", refreshOf(dashboard));
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Group gap="xs">
          <PageTitle>{dashboard.title}</PageTitle>
          <Star uid={uid} />
          <Button variant="default" size="compact-sm" onClick={() => setEditing(true)}>
            JSON
          </Button>
        </Group>
        <TimeControls
          range={range}
          onRange={setRange}
          refresh={refresh === OFF ? "" : refresh}
          onRefresh={(value) => address.change({ refresh: value === refreshOf(dashboard) ? null : value || OFF }, true)}
          onNow={() => setNow(Date.now() / 1000)}
          busy={false}
        />
      </Group>
      {window ? <Body dashboard={dashboard} window={window} onZoom={onZoom} /> : <Trouble error="The range of time cannot be read." />}
      {editing && <Editor uid={uid} dashboard={dashboard} onClose={() => setEditing(false)} />}
    </Stack>
  );
}

function Star({ uid }: { uid: string }) {
  const client = useQueryClient();
  const { data } = useQuery({ queryKey: ["dashboards"], queryFn: () => get<{ dashboards: Entry[] }>("/admin/dashboards") });
  const entry = data?.dashboards.find((other) => other.uid === uid);
  const toggle = useMutation({
    mutationFn: () => send(entry?.starred ? "DELETE" : "PUT", `/admin/dashboards/${uid}/star`),
    onSettled: () => client.invalidateQueries({ queryKey: ["dashboards"] }),
  });
  return (
    <ActionIcon variant="subtle" color={entry?.starred ? "yellow" : "gray"} aria-label="Favourite" aria-pressed={entry?.starred ?? false} onClick={() => toggle.mutate()}>
      {entry?.starred ? "★" : "☆"}
    </ActionIcon>
  );
}

interface Resolved {
  values: Values;
  quoting: Record<string, Quoting>;
  choices: Record<string, Choice[]>;
  chosen: Record<string, string[]>;
  errors: { name: string; error: Error }[];
}

/** The values of all variables; one may ask by others. */
async function resolve(
  variables: VariableModel[],
  window: Window,
  chosen: (name: string) => string[],
  fixed: Values,
): Promise<Resolved> {
  const resolved: Resolved = { values: {}, quoting: {}, choices: {}, chosen: {}, errors: [] };
  for (const variable of ordered(variables)) {
    let choices: Choice[] = [];
    try {
      const known = { ...resolved.values, ...builtIns(window, undefined) };
      choices = isAsked(variable)
        ? await askedChoices(interpolated(queryText(variable), known, promql(resolved.quoting)), variable, window)
        : fixedChoices(variable, window);
    } catch (error) {
      resolved.errors.push({ name: variable.name, error: error as Error });
    }
    const values = fixed[variable.name] ?? valuesOf(variable, choices, chosen(variable.name));
    resolved.choices[variable.name] = choices;
    resolved.chosen[variable.name] = values;
    resolved.values[variable.name] = substituted(variable, choices, values);
    resolved.quoting[variable.name] = quotingOf(variable, choices, values);
  }
  return resolved;
}

/** The values a panel is repeated for: those chosen, or with All every one there is. */
function eachOf({ chosen, choices }: Resolved): Values {
  const all = (name: string) => (choices[name] ?? []).map(({ value }) => value);
  return Object.fromEntries(Object.entries(chosen).map(([name, values]) => [name, values.includes(ALL) ? all(name) : values]));
}

interface BodyProps {
  dashboard: Dashboard;
  window: Window;
  onZoom: (start: number, end: number) => void;
  fixed?: Record<string, string[]>; // variables that cannot be chosen
  hideEmpty?: boolean; // panels without data are left out
}

export function Body({ dashboard, window, onZoom, fixed = {}, hideEmpty = false }: BodyProps) {
  const address = useAddress();
  const variables = (dashboard.templating?.list ?? []).filter((variable) => KNOWN_VARIABLES.includes(variable.type));
  const unknown = (dashboard.templating?.list ?? []).filter((variable) => !KNOWN_VARIABLES.includes(variable.type));
  const [, setParameters] = useSearchParams();
  const chosen = (name: string) => fixed[name] ?? address.all(`var-${name}`);
  // Unlike with `address.change` an empty text stays, as it is not what the file says.
  const choose = (name: string, values: string[]) =>
    setParameters((before) => {
      const others = [...before].filter(([other]) => other !== name);
      return new URLSearchParams([...others, ...values.map((value) => [name, value])]);
    });
  const precise = variables.some((variable) => references(queryText(variable)).some((name) => name.startsWith("__")));
  const span = [window.start, window.end].map((moment) => (precise ? moment : Math.floor(moment / 3600)));
  const { data: resolved } = useQuery({
    queryKey: [
      "variables",
      dashboard.uid,
      dashboard.templating,
      variables.map((variable) => chosen(variable.name)),
      span,
    ],
    queryFn: () => resolve(variables, window, chosen, fixed),
    placeholderData: (before) => before,
  });
  const shown = useMemo(
    () => (resolved ? repeated(sections(dashboard.panels ?? []), eachOf(resolved)) : []),
    [dashboard.panels, resolved],
  );
  if (!resolved) return <Loader />;
  return (
    <>
      <Group gap="sm" align="flex-end">
        {variables
          .filter((variable) => variable.hide !== 2 && !fixed[variable.name] && variable.type !== "constant" && variable.type !== "datasource")
          .map((variable) => (
            <Choose
              key={variable.name}
              variable={variable}
              resolved={resolved}
              onChange={(values) => choose(`var-${variable.name}`, values)}
            />
          ))}
      </Group>
      {resolved.errors.map(({ name, error }) => (
        <Trouble key={name} error={error} what={`The choices of ${name} could not be had`} />
      ))}
      {unknown.length > 0 && (
        <Text size="sm" c="dimmed" role="note">
          Not rendered here: variables of type {[...new Set(unknown.map((variable) => variable.type))].join(", ")}.
        </Text>
      )}
      {shown.map(({ row, panels }, index) => (
        <Row
          key={index}
          row={row}
          panels={panels}
          window={window}
          values={resolved.values}
          quoting={resolved.quoting}
          onZoom={onZoom}
          hideEmpty={hideEmpty}
        />
      ))}
    </>
  );
}

function Choose({ variable, resolved, onChange }: { variable: VariableModel; resolved: Resolved; onChange: (values: string[]) => void }) {
  const label = variable.label || variable.name;
  const chosen = resolved.chosen[variable.name] ?? [];
  const known = resolved.choices[variable.name] ?? [];
  const all = variable.includeAll ? [{ text: "All", value: ALL }] : [];
  const listed = [...all, ...known, ...chosen.filter((value) => value !== ALL && !known.some((choice) => choice.value === value)).map((value) => ({ text: value, value }))];
  const data = listed.filter((choice, i) => listed.findIndex((other) => other.value === choice.value) === i).map(({ text, value }) => ({ label: text || value, value }));
  if (variable.type === "textbox") {
    const before = chosen[0] ?? "";
    const left = (text: string) => text !== before && onChange([text]);
    return (
      <TextInput key={before} label={label} defaultValue={before} onBlur={(event) => left(event.currentTarget.value)} />
    );
  }
  if (variable.multi) {
    const changed = (values: string[]) => onChange(values.at(-1) === ALL || !values.length ? [ALL] : values.filter((value) => value !== ALL));
    return <MultiSelect label={label} data={data} value={chosen} onChange={changed} searchable maw={480} limit={200} />;
  }
  return <Select label={label} data={data} value={chosen[0] ?? null} onChange={(value) => onChange(value === null ? [] : [value])} searchable allowDeselect={false} limit={200} />;
}

interface RowProps {
  row: PanelModel | null;
  panels: PanelModel[];
  window: Window;
  values: Values;
  quoting: Record<string, Quoting>;
  onZoom: (start: number, end: number) => void;
  hideEmpty: boolean;
}

function Row({ row, panels, window, values, quoting, onZoom, hideEmpty }: RowProps) {
  const [open, setOpen] = useState(!row?.collapsed);
  const top = Math.min(...panels.map((panel) => panel.gridPos?.y ?? 0));
  const lifted = useMemo(
    () => panels.map((panel) => ({ ...panel, gridPos: panel.gridPos && { ...panel.gridPos, y: panel.gridPos.y - top } })),
    [panels, top],
  );
  return (
    <>
      {row && (
        <UnstyledButton fw={600} aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "▾" : "▸"} {interpolated(row.title ?? "", { ...values, ...row.scope }, inWords)}
        </UnstyledButton>
      )}
      {open && panels.length > 0 && (
        <div className="grid">
          {lifted.map((panel, index) => (
            <Panel
              key={`${panel.id ?? index} ${JSON.stringify(panel.scope)}`}
              panel={panel}
              window={window}
              values={values}
              quoting={quoting}
              onZoom={onZoom}
              hideEmpty={hideEmpty}
            />
          ))}
        </div>
      )}
    </>
  );
}

function Editor({ uid, dashboard, onClose }: { uid: string; dashboard: Dashboard; onClose: () => void }) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const [text, setText] = useState(() => JSON.stringify(dashboard, null, 2));
  const entry = client.getQueryData<{ dashboards: Entry[] }>(["dashboards"])?.dashboards.find((other) => other.uid === uid);
  const done = async (to: string) => {
    await client.invalidateQueries({ queryKey: ["dashboards"] });
    await client.invalidateQueries({ queryKey: ["dashboard"] });
    onClose();
    if (to !== location.pathname) navigate(to);
  };
  const keep = useMutation({
    mutationFn: (under: string) => send<Entry>("PUT", `/admin/dashboards/${under}`, text),
    onSuccess: (kept) => done(`/ui/dashboards/${kept!.uid}`),
  });
  const copy = useMutation({
    mutationFn: async () => {
      const wanted = uidOf(text).uid;
      const under = freeUid(wanted === uid ? `${uid.slice(0, 35)}-copy` : wanted, await takenUids(client));
      return send<Entry>("PUT", `/admin/dashboards/${under}`, text);
    },
    onSuccess: (kept) => done(`/ui/dashboards/${kept!.uid}`),
  });
  const remove = useMutation({
    mutationFn: () => send("DELETE", `/admin/dashboards/${uid}`),
    onSuccess: () => done("/ui/dashboards"),
  });
  const trouble = keep.error ?? copy.error ?? remove.error;
  return (
    <Modal opened onClose={onClose} title={`${dashboard.title}: Grafana's JSON`} size="xl" lockScroll={false}>
      <Stack>
        <Textarea
          aria-label="JSON"
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          rows={24}
          spellCheck={false}
          classNames={{ input: "mono" }}
        />
        {trouble && <Trouble error={trouble} what="Nothing was changed" />}
        <Group>
          <Button onClick={() => keep.mutate(uid)} loading={keep.isPending}>
            Save
          </Button>
          <Button variant="default" onClick={() => copy.mutate()} loading={copy.isPending}>
            Save as a copy
          </Button>
          <Button variant="default" onClick={() => download(text, `${uid}.json`)}>
            Download
          </Button>
          {entry && !entry.bundled && (
            <Button variant="light" color="red" onClick={() => remove.mutate()} loading={remove.isPending}>
              Delete
            </Button>
          )}
        </Group>
      </Stack>
    </Modal>
  );
}

function download(text: string, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
