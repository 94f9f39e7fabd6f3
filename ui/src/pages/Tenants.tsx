// For the operator: what each tenant uses, what bounds it, and how tenants come and go.

import { Anchor, Button, Group, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { addressed, queryInstant } from "../api";
import { formatOf } from "../format";
import { PageTitle } from "../PageTitle";
import { number } from "../series";
import { useVisit } from "../session";
import { Trouble } from "../Trouble";
import { LimitsForm } from "./LimitsForm";
import { AddDialog, TenantDialog } from "./TenantDialog";
import { grown, limitsOfAll, listed } from "./tenancy";

interface Usage {
  head: string;
  query: string;
  unit: string;
}

// Of the last day, from the server's own metrics: of Datadog's API, and of remote writes and OpenTelemetry.
const USAGE: Usage[] = [
  {
    head: "requests",
    query: grown('dd_api_request_duration_seconds_count{method="POST"}', "opstrace_write_duration_seconds_count"),
    unit: "",
  },
  { head: "points stored", query: grown("dd_api_stored_points_total", "opstrace_write_stored_total"), unit: "" },
  {
    head: "points refused",
    query: grown("dd_api_refused_points_total", 'opstrace_write_refused_total{kind!="exemplars"}'),
    unit: "",
  },
  {
    head: "bodies refused",
    query: grown("dd_api_refused_bodies_total", "opstrace_write_refused_bodies_total"),
    unit: "",
  },
  { head: "logs stored", query: grown("dd_api_stored_logs_total"), unit: "" },
  { head: "queries", query: grown("opstrace_query_duration_seconds_count"), unit: "" },
  { head: "kept as it came", query: "sum by (tenant) (dd_api_kept_bytes)", unit: "bytes" },
];

type Row = Record<string, number>;

async function usage(): Promise<Record<string, Row>> {
  const now = Date.now() / 1000;
  const answers = await Promise.all(USAGE.map(({ query }) => queryInstant(query, now)));
  const rows: Record<string, Row> = {};
  answers.forEach(({ result }, index) => {
    for (const series of result) {
      const tenant = series.metric["tenant"] ?? "";
      rows[tenant] = { ...rows[tenant], [USAGE[index]!.head]: number(series.value?.[1] ?? "0") };
    }
  });
  return rows;
}

export default function Tenants() {
  const { operator } = useVisit();
  const [adding, setAdding] = useState(false);
  const [shown, setShown] = useState<string | null>(null);
  // Again while data of a removed tenant is still there.
  const tenants = useQuery({ queryKey: ["tenants"], queryFn: listed, enabled: operator, refetchInterval: ({ state }) => (state.data?.leaving.length ? 2000 : 30_000) });
  const used = useQuery({ queryKey: ["usage"], queryFn: usage, enabled: operator, refetchInterval: 30_000 });
  const settings = useQuery({ queryKey: ["settings"], queryFn: limitsOfAll, enabled: operator });
  if (!operator) return <Text c="dimmed">This page is for whoever logs in with the key of tenant system.</Text>;
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <PageTitle>Tenants</PageTitle>
        <Button size="xs" onClick={() => setAdding(true)}>
          Add a tenant
        </Button>
      </Group>
      <Text size="sm" c="dimmed">
        What each used in the last day. Who sent what, and what was lost: <Anchor component={Link} href="/ui/losses" inherit underline="always">losses</Anchor>.
      </Text>
      {tenants.error && <Trouble error={tenants.error} />}
      {used.error && <Trouble error={used.error} />}
      <Table.ScrollContainer minWidth={800} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Tenants" } }}>
        <Table striped fz="sm" verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>tenant</Table.Th>
              {USAGE.map(({ head }) => (
                <Table.Th key={head} ta="right">
                  {head}
                </Table.Th>
              ))}
              <Table.Th>keys and limits</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {tenants.data?.tenants.map(({ name: tenant }) => (
              <Table.Tr key={tenant}>
                <Table.Td>
                  <Anchor component={Link} href={addressed("/ui/dashboards/opstrace-dd-api-overview", { "var-tenant": tenant })} inherit>
                    {tenant}
                  </Anchor>
                </Table.Td>
                {USAGE.map(({ head, unit }) => (
                  <Table.Td key={head} ta="right" className="figure">
                    {formatOf(unit)(Math.round(used.data?.[tenant]?.[head] ?? 0))}
                  </Table.Td>
                ))}
                <Table.Td>
                  <Button size="compact-xs" variant="default" aria-label={`Manage ${tenant}`} onClick={() => setShown(tenant)}>
                    Manage
                  </Button>
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {tenants.data && tenants.data.leaving.length > 0 && (
        <Text size="sm" role="status">
          Being removed: {tenants.data.leaving.join(", ")}. The data is gone once the name is no longer here.
        </Text>
      )}
      <Title order={2} size="h4">
        Retention and limits
      </Title>
      <Text size="sm" c="dimmed">
        Of each tenant that has none of its own, and of the server. An empty field: the default, which it shows.
      </Text>
      {settings.error && <Trouble error={settings.error} />}
      {settings.data && <LimitsForm tenant={null} limits={settings.data.limits} waiting={settings.data.at_restart} onSaved={() => settings.refetch()} />}
      {adding && <AddDialog onClose={() => setAdding(false)} />}
      {shown !== null && <TenantDialog tenant={shown} onClose={() => setShown(null)} />}
    </Stack>
  );
}
