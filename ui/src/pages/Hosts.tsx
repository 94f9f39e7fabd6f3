// Every host that has told of itself, and one of them in detail.

import { Anchor, Badge, Group, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo } from "react";
import { Link, useParams } from "wouter";

import { rangeOf, useAddress } from "../address";
import { get, labelValues } from "../api";
import type { Dashboard } from "../dashboards/model";
import { counted, formatOf } from "../format";
import { selector } from "../series";
import { PageTitle } from "../PageTitle";
import { ago, windowOf } from "../time";
import { between } from "../TimeControls";
import { hasWords, Search } from "../Search";
import { Trouble } from "../Trouble";
import { CheckTable, useChecks } from "./Checks";

const Panels = lazy(() => import("../dashboards/View").then((module) => ({ default: module.Body })));

interface Host {
  name: string;
  aliases: string[];
  last_seen_s: number;
  agent_version: string;
  os: string;
  platform: string;
  cpu_cores: number | null;
  memory_bytes: number | null;
  tags: Record<string, string[]>;
  metrics: number;
}

const MOST_ROWS = 500;
const memory = formatOf("bytes");

function useHosts() {
  return useQuery({ queryKey: ["hosts"], queryFn: () => get<{ hosts: Host[] }>("/admin/hosts"), refetchInterval: 30_000 });
}

export default function Hosts() {
  const address = useAddress();
  const { data, error, isPending } = useHosts();
  const search = address.one("search");
  const found = useMemo(() => {
    const text = (host: Host) => [host.name, ...host.aliases, host.agent_version, host.os, host.platform, ...Object.values(host.tags).flat()].join(" ");
    return (data?.hosts ?? []).filter((host) => hasWords(text(host), search));
  }, [data, search]);
  const now = Date.now() / 1000;
  return (
    <Stack gap="sm">
      <PageTitle>Hosts</PageTitle>
      <Group>
        <Search what="hosts" hint="Search: name, tag, version …" />
        <Text size="sm" c="dimmed" role="status">
          {isPending ? "…" : counted(found.length, "host")}
        </Text>
      </Group>
      {error && <Trouble error={error} />}
      {data && !data.hosts.length && <Text c="dimmed">No host has told of itself yet.</Text>}
      {found.length > 0 && (
        <Table.ScrollContainer minWidth={800} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Hosts" } }}>
          <Table striped highlightOnHover fz="sm" verticalSpacing={4}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>host</Table.Th>
                <Table.Th>Agent</Table.Th>
                <Table.Th>system</Table.Th>
                <Table.Th ta="right">cores</Table.Th>
                <Table.Th ta="right">memory</Table.Th>
                <Table.Th ta="right">metrics</Table.Th>
                <Table.Th>tags</Table.Th>
                <Table.Th>last seen</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.slice(0, MOST_ROWS).map((host) => (
                <Table.Tr key={host.name}>
                  <Table.Td>
                    <Anchor component={Link} href={`/ui/hosts/${encodeURIComponent(host.name)}`} inherit>
                      {host.name}
                    </Anchor>
                  </Table.Td>
                  <Table.Td>{host.agent_version || "–"}</Table.Td>
                  <Table.Td>{host.platform || host.os || "–"}</Table.Td>
                  <Table.Td ta="right">{host.cpu_cores || "–"}</Table.Td>
                  <Table.Td ta="right">{host.memory_bytes ? memory(host.memory_bytes) : "–"}</Table.Td>
                  <Table.Td ta="right">{host.metrics.toLocaleString()}</Table.Td>
                  <Table.Td>{Object.values(host.tags).flat().slice(0, 4).join(", ")}</Table.Td>
                  <Table.Td>{ago(host.last_seen_s, now)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {found.length > MOST_ROWS && <Text c="dimmed">The first {MOST_ROWS}; search for the others.</Text>}
    </Stack>
  );
}

export function HostDetail() {
  const { name = "" } = useParams();
  const host = decodeURIComponent(name);
  const { data, error } = useHosts();
  const checks = useChecks();
  const found = data?.hosts.find((other) => other.name === host || other.aliases.includes(host));
  const own = (checks.data?.checks ?? []).filter((check) => check.host === host);
  const metrics = useQuery({
    queryKey: ["metrics of", host],
    queryFn: () => labelValues("__name__", selector({ instance: host }), 0, Math.ceil(Date.now() / 1000)),
    enabled: data !== undefined && !found,
  }).data;
  const unheardOf = checks.data && !own.length && metrics?.length === 0;
  return (
    <Stack gap="sm">
      <PageTitle>{host}</PageTitle>
      {error && <Trouble error={error} />}
      {data && !found && metrics && (
        <Text c="dimmed">{unheardOf ? "No host of this name was heard of." : "This host has not told of itself; what it sends is below."}</Text>
      )}
      {found && <Facts host={found} />}
      {own.length > 0 && (
        <>
          <Title order={2} size="h4">
            Service checks
          </Title>
          <CheckTable checks={own} />
        </>
      )}
      <Suspense>
        <Charts host={host} />
      </Suspense>
    </Stack>
  );
}

function Facts({ host }: { host: Host }) {
  const facts: [string, string][] = [
    ["Agent", host.agent_version],
    ["System", [host.os, host.platform].filter(Boolean).join(", ")],
    ["Cores", host.cpu_cores ? String(host.cpu_cores) : ""],
    ["Memory", host.memory_bytes ? memory(host.memory_bytes) : ""],
    ["Metrics", host.metrics.toLocaleString()],
    ["Also known as", host.aliases.join(", ")],
    ["Last seen", ago(host.last_seen_s, Date.now() / 1000)],
  ];
  return (
    <>
      <Group gap="xl">
        {facts
          .filter(([, value]) => value)
          .map(([fact, value]) => (
            <div key={fact}>
              <Text size="xs" c="dimmed">
                {fact}
              </Text>
              <Text size="sm">{value}</Text>
            </div>
          ))}
      </Group>
      {Object.entries(host.tags).map(([source, tags]) => (
        <Group key={source} gap={4}>
          <Text size="xs" c="dimmed">
            {source || "tags"}
          </Text>
          {tags.map((tag) => (
            <Badge key={tag} variant="outline" color="gray" tt="none">
              {tag}
            </Badge>
          ))}
        </Group>
      ))}
    </>
  );
}

/** The panels of the dashboard "Host detail" whose metrics this host has. */
function Charts({ host }: { host: string }) {
  const address = useAddress();
  const range = rangeOf(address);
  const window = useMemo(() => windowOf(range, Date.now() / 1000, 240), [range.from, range.to]);
  const { data } = useQuery({ queryKey: ["dashboard", "opstrace-host"], queryFn: () => get<Dashboard>("/admin/dashboards/opstrace-host") });
  if (!data || !window) return null;
  return <Panels dashboard={data} window={window} onZoom={(start, end) => address.change({ ...between(start, end) })} fixed={{ instance: [host] }} hideEmpty />;
}
