// The catalogue: every metric by both of its names, and what it costs.

import { Anchor, Group, Select, Stack, Table, Text, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "wouter";

import { useAddress } from "../address";
import { addressed, get } from "../api";
import { Breakable } from "../Breakable";
import { counted } from "../format";
import { PageTitle } from "../PageTitle";
import { clickable } from "../rows";
import { named } from "../series";
import { ago } from "../time";
import { hasWords, Search } from "../Search";
import { Trouble } from "../Trouble";

interface Entry {
  name: string;
  datadog_name: string;
  type: string;
  unit: string;
  interval_s: number;
  source: string;
  series: number;
  hosts: number;
  last_day_s: number;
}

interface Detail {
  labels: { label: string; values: number; series: number; examples: string[] }[];
  last_seen_s: number | null;
}

const MOST_ROWS = 300;
const DAY_S = 86_400;
const DAYS = [
  { value: "1", label: "Last 24 hours" },
  { value: "7", label: "Last 7 days" },
  { value: "30", label: "Last 30 days" },
];

type Order = "series" | "name" | "hosts" | "seen";
const ORDERS: Record<Order, (one: Entry, other: Entry) => number> = {
  series: (one, other) => other.series - one.series,
  hosts: (one, other) => other.hosts - one.hosts,
  name: (one, other) => one.name.localeCompare(other.name),
  seen: (one, other) => other.last_day_s - one.last_day_s || other.series - one.series,
};

export default function Metrics() {
  const address = useAddress();
  const [search, days, open] = [address.one("search"), address.one("days", "1"), address.one("metric")];
  const order = address.one("sort", "series") as Order;
  const { data, error, isPending } = useQuery({
    queryKey: ["catalogue", days],
    queryFn: () => get<{ metrics: Entry[]; more: boolean }>("/admin/metrics", { days }),
    staleTime: 30_000,
  });
  const found = useMemo(() => {
    const matches = (entry: Entry) => hasWords(`${entry.name} ${entry.datadog_name} ${entry.type} ${entry.unit} ${entry.source}`, search);
    return (data?.metrics ?? []).filter(matches).sort(ORDERS[order] ?? ORDERS.series);
  }, [data, search, order]);
  const series = found.reduce((sum, entry) => sum + entry.series, 0);

  const head = (name: Order, label: string, right = false) => (
    <Table.Th ta={right ? "right" : undefined} aria-sort={order === name ? (name === "name" ? "ascending" : "descending") : undefined}>
      <UnstyledButton fw={700} fz="inherit" onClick={() => address.change({ sort: name === "series" ? null : name }, true)}>
        {label}
        {order === name && " ↓"}
      </UnstyledButton>
    </Table.Th>
  );

  return (
    <Stack gap="sm">
      <PageTitle>Metrics</PageTitle>
      <Group>
        <Search what="metrics" hint="Search: name, type, unit …" />
        <Select
          aria-label="Days"
          data={DAYS}
          value={days}
          allowDeselect={false}
          onChange={(value) => address.change({ days: value === "1" ? null : value }, true)}
        />
        <Text size="sm" c="dimmed" role="status">
          {isPending ? "…" : `${counted(found.length, "metric")}, ${counted(series, "series")}`}
          {data?.more && "; there are more metrics than are listed"}
        </Text>
      </Group>
      {error && <Trouble error={error} />}
      {data && !data.metrics.length && <Text c="dimmed">Nothing has been sent in this time.</Text>}
      {found.length > 0 && (
        <Table.ScrollContainer minWidth={700} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Metrics" } }}>
          <Table striped highlightOnHover fz="sm" verticalSpacing={4} className="catalogue">
            <Table.Thead>
              <Table.Tr>
                {head("name", "PromQL name")}
                <Table.Th>Datadog name</Table.Th>
                <Table.Th>type</Table.Th>
                <Table.Th>unit</Table.Th>
                <Table.Th ta="right">interval</Table.Th>
                {head("hosts", "hosts", true)}
                {head("series", "series", true)}
                {head("seen", "last seen", true)}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.slice(0, MOST_ROWS).map((entry) => (
                <Row key={entry.name} entry={entry} days={days} open={open === entry.name} onToggle={() => address.change({ metric: open === entry.name ? null : entry.name }, true)} />
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {found.length > MOST_ROWS && <Text c="dimmed">The first {MOST_ROWS}; search for the others.</Text>}
    </Stack>
  );
}

/** The last day (UTC) with a point, in words; the moment itself is among a metric's details. */
export function lastDay(day_s: number, now_s: number): string {
  const days = Math.floor(now_s / DAY_S) - Math.floor(day_s / DAY_S);
  return days <= 0 ? "today" : days === 1 ? "yesterday" : `${days} days ago`;
}

function Row({ entry, days, open, onToggle }: { entry: Entry; days: string; open: boolean; onToggle: () => void }) {
  return (
    <>
      <Table.Tr {...clickable(onToggle)}>
        <Table.Td>
          <UnstyledButton className="mono" aria-expanded={open} onClick={onToggle}>
            {open ? "▾" : "▸"}&nbsp;
            <Breakable name={entry.name} />
          </UnstyledButton>
        </Table.Td>
        <Table.Td className="mono">{entry.datadog_name !== entry.name && <Breakable name={entry.datadog_name} />}</Table.Td>
        <Table.Td>{entry.type || "–"}</Table.Td>
        <Table.Td>{entry.unit || "–"}</Table.Td>
        <Table.Td ta="right">{entry.interval_s ? `${entry.interval_s} s` : "–"}</Table.Td>
        <Table.Td ta="right">{entry.hosts.toLocaleString()}</Table.Td>
        <Table.Td ta="right">{entry.series.toLocaleString()}</Table.Td>
        <Table.Td ta="right">{lastDay(entry.last_day_s, Date.now() / 1000)}</Table.Td>
      </Table.Tr>
      {open && (
        <Table.Tr>
          <Table.Td colSpan={8}>
            <Costs entry={entry} days={days} />
          </Table.Td>
        </Table.Tr>
      )}
    </>
  );
}

function Costs({ entry, days }: { entry: Entry; days: string }) {
  const { data, error } = useQuery({
    queryKey: ["catalogue", entry.name, days],
    queryFn: () => get<Detail>(`/admin/metrics/${encodeURIComponent(entry.name)}`, { days }),
  });
  if (error) return <Trouble error={error} />;
  if (!data) return <Text c="dimmed">…</Text>;
  return (
    <Stack gap="xs" p="xs" maw={900}>
      <Group>
        <Anchor component={Link} href={addressed("/ui/explore", { q: named(entry.name) })} underline="always">
          Explore
        </Anchor>
        <Text size="sm">Last point: {data.last_seen_s === null ? "none in this time" : ago(data.last_seen_s, Date.now() / 1000)}</Text>
        <Text size="sm">Source: {entry.source || "–"}</Text>
      </Group>
      <Table fz="sm" withRowBorders={false} verticalSpacing={2}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>label</Table.Th>
            <Table.Th ta="right">values</Table.Th>
            <Table.Th ta="right">in series</Table.Th>
            <Table.Th>such as</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {data.labels.map((label) => (
            <Table.Tr key={label.label}>
              <Table.Td className="mono">{label.label}</Table.Td>
              <Table.Td ta="right">{label.values.toLocaleString()}</Table.Td>
              <Table.Td ta="right">{label.series.toLocaleString()}</Table.Td>
              <Table.Td className="mono">{label.examples.join(", ")}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Text size="xs" c="dimmed">
        Tags of hosts are labels, too, when you ask; they cost no series.
      </Text>
    </Stack>
  );
}
