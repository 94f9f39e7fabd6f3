// From nothing to data: what to tell an Agent, and what has arrived so far.

import { Anchor, Badge, Button, Code, CopyButton, Group, List, Stack, Switch, Table, Tabs, Text, ThemeIcon, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { addressed, get, labelValues } from "../api";
import { PageTitle } from "../PageTitle";
import { named } from "../series";
import { useVisit } from "../session";
import { Trouble } from "../Trouble";
import { DOGSTATSD } from "./dogstatsd";

interface AgentSettings {
  url: string;
  plain_url: string | null;
  loopback: boolean;
  trust_anchor: boolean;
  key_place: string;
  dogstatsd: string[];
  notations: Record<string, string>;
}

interface Entry {
  tenant: string;
  host: string;
  version: string;
  unit: string;
  outcome: string;
  reason: string;
  total: number;
}

const NAMES: Record<string, string> = {
  docker: "Docker",
  yaml: "datadog.yaml",
  conf: "datadog.conf (Agent 5)",
  env: "Environment",
  helm: "Kubernetes (Helm)",
};
const POLL_MS = 3000;
const DAY_S = 86_400;

export default function GetStarted() {
  const visit = useVisit();
  const [withKey, setWithKey] = useState(false);
  const settings = useQuery({ queryKey: ["agent-settings"], queryFn: () => get<AgentSettings>("/admin/agent-settings"), staleTime: Infinity });
  const filled = (text: string) =>
    withKey && visit.key && settings.data ? text.replaceAll(settings.data.key_place, visit.key) : text;
  return (
    <Stack maw={1100}>
      <PageTitle tab="Get started">Point your Agents here</PageTitle>
      <Checklist />
      {settings.error && <Trouble error={settings.error} />}
      {settings.data && (
        <>
          <Group justify="space-between" mt="md">
            <Title order={2} size="h4">
              Settings of an Agent of tenant {visit.tenant}
            </Title>
            {visit.key && (
              <Switch
                label="Put my key into the texts below"
                checked={withKey}
                onChange={(event) => setWithKey(event.currentTarget.checked)}
              />
            )}
          </Group>
          <Text size="sm">
            Agents send to <b>{settings.data.url}</b>
            {settings.data.plain_url && <>, on this machine also to {settings.data.plain_url}</>}.
            {settings.data.loopback && (
              <>
                {" "}
                Both are reachable from this machine only; <Code>listen</Code> and <Code>domain</Code> of the config open it to others.
              </>
            )}
          </Text>
          {settings.data.trust_anchor && (
            <Text size="sm">
              They must trust{" "}
              <Anchor href="/trust-anchor.pem" download="opstrace-ca.pem" inherit underline="always">
                this server's certificate authority (opstrace-ca.pem)
              </Anchor>
              .
            </Text>
          )}
          <Snippets
            texts={Object.fromEntries(
              Object.entries(settings.data.notations).map(([name, text]) => [NAMES[name] ?? name, filled(text)]),
            )}
            first="Docker"
          />
          <Title order={2} size="h4" mt="md">
            Your own metrics, by DogStatsD
          </Title>
          <Text size="sm">
            Any program on a machine with an Agent sends to it on port 8125.
            {settings.data.dogstatsd.length > 0 && ` Where there is none, this server listens itself, on ${settings.data.dogstatsd.join(" and ")}.`}
          </Text>
          <Snippets texts={DOGSTATSD} first="Python" />
        </>
      )}
    </Stack>
  );
}

function Snippets({ texts, first }: { texts: Record<string, string>; first: string }) {
  return (
    <Tabs defaultValue={first} keepMounted={false}>
      <Tabs.List>
        {Object.keys(texts).map((name) => (
          <Tabs.Tab key={name} value={name}>
            {name}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {Object.entries(texts).map(([name, text]) => (
        <Tabs.Panel key={name} value={name} pt="xs">
          <Stack gap="xs">
            <pre className="snippet" tabIndex={0} aria-label={name}>
              {text}
            </pre>
            <CopyButton value={text}>
              {({ copied, copy }) => (
                <Button variant="default" size="xs" onClick={copy} w={110}>
                  {copied ? "Copied" : "Copy"}
                </Button>
              )}
            </CopyButton>
          </Stack>
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}

/** What came in the last day, looked at again every few seconds. */
function Checklist() {
  const { operator, tenant } = useVisit();
  const { data, error } = useQuery({
    queryKey: ["checklist"],
    refetchInterval: POLL_MS,
    queryFn: async () => {
      const now = Math.ceil(Date.now() / 1000);
      const agents = '{job="ddagent"}';
      const [books, metrics, hosts] = await Promise.all([
        get<{ entries: Entry[] }>("/admin/losses", { from: now - DAY_S, to: now }),
        labelValues("__name__", "", now - DAY_S, now),
        labelValues("instance", agents, now - DAY_S, now),
      ]);
      return { entries: books.entries.filter((entry) => entry.tenant === tenant), metrics, hosts };
    },
  });
  if (error && !data) return <Trouble error={error} />;
  if (!data) return <Text c="dimmed">…</Text>;
  const total = (unit: string, outcome: string) =>
    data.entries.filter((entry) => entry.unit === unit && entry.outcome === outcome).reduce((sum, entry) => sum + entry.total, 0);
  const payloads = total("payloads", "received");
  const senders = [...new Set(data.entries.filter((entry) => entry.host).map((entry) => `${entry.host}${entry.version && ` (${entry.version})`}`))];
  const refused = data.entries.filter((entry) => entry.outcome === "refused" || entry.outcome === "dropped");
  // The operator's tenant is sent to by the server alone, unless somebody pointed an Agent at it.
  const own = operator && !payloads && !refused.length;
  return (
    <section aria-label="Checklist" data-testid="checklist">
      {own && (
        <Text size="sm" mb="xs">
          Tenant {tenant} holds what the server measures of itself; no Agent needs to send to it. Log in with the key of another tenant for
          the settings of its Agents.{" "}
          <Anchor component={Link} href="/ui/tenants" inherit underline="always">
            Tenants
          </Anchor>{" "}
          shows what each sent.
        </Text>
      )}
      <List spacing="xs" listStyleType="none" center>
        {!own && (
          <>
            <Step done={payloads > 0} name="First payload">
              {payloads > 0 ? `${payloads.toLocaleString()} payloads with ${total("points", "stored").toLocaleString()} points in the last day` : "Waiting for one …"}
              {senders.length > 0 && `, from ${few(senders)}`}
            </Step>
            <Step done={data.hosts.length > 0} name="Hosts">
              {data.hosts.length ? `${data.hosts.length.toLocaleString()}: ${few(data.hosts)}` : "none yet"}
            </Step>
          </>
        )}
        <Step done={data.metrics.length > 0} name="Metrics">
          <Metrics names={data.metrics} />
        </Step>
        {!own && (
          <Step done={!refused.length} warn={refused.length > 0} name={refused.length ? "Refused" : "Nothing refused"}>
            {refused.length ? "Some of what came, as listed here:" : "All that came was stored or kept."}
          </Step>
        )}
      </List>
      {refused.length > 0 && <Refusals entries={refused} />}
    </section>
  );
}

function Metrics({ names }: { names: string[] }) {
  if (!names.length) return "none yet";
  return (
    <>
      {names.length.toLocaleString()}:{" "}
      {names.slice(0, 4).map((name, index) => (
        <span key={name}>
          {index > 0 && ", "}
          <Anchor component={Link} href={addressed("/ui/explore", { q: named(name) })} inherit underline="always">
            {name}
          </Anchor>
        </span>
      ))}{" "}
      · <Anchor component={Link} href="/ui/metrics" inherit underline="always">all of them</Anchor>
    </>
  );
}

function few(names: string[]): string {
  return names.slice(0, 5).join(", ") + (names.length > 5 ? ` and ${names.length - 5} more` : "");
}

function Step({ done, warn, name, children }: { done: boolean; warn?: boolean; name: string; children: React.ReactNode }) {
  const mark = done ? "✓" : warn ? "!" : "…";
  return (
    <List.Item
      data-done={done}
      icon={
        <ThemeIcon variant="light" color={done ? "green" : warn ? "orange" : "gray"} size={24} radius="xl">
          {mark}
        </ThemeIcon>
      }
    >
      <b>{name}</b> <Text span>{children}</Text>
    </List.Item>
  );
}

function Refusals({ entries }: { entries: Entry[] }) {
  return (
    <Table.ScrollContainer
      minWidth={420}
      maw={800}
      ml={36}
      mt="xs"
      scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Refusals" } }}
    >
      <Table fz="sm">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>sender</Table.Th>
            <Table.Th>what</Table.Th>
            <Table.Th>why</Table.Th>
            <Table.Th ta="right">how many</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {entries.slice(0, 20).map((entry, index) => (
            <Table.Tr key={index}>
              <Table.Td>{entry.host || "unknown"}</Table.Td>
              <Table.Td>
                {entry.unit} {entry.outcome}
              </Table.Td>
              <Table.Td>
                <Badge variant="light" color="orange" tt="none" autoContrast>
                  {entry.reason || entry.outcome}
                </Badge>
              </Table.Td>
              <Table.Td ta="right">{entry.total.toLocaleString()}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
