// The books: what each sender sent, what became of it, and what is kept until a version understands it.

import { Button, Group, SegmentedControl, Stack, Table, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { useAddress } from "../address";
import { get, send } from "../api";
import { formatOf } from "../format";
import { PageTitle } from "../PageTitle";
import { useVisit } from "../session";
import { Trouble } from "../Trouble";

interface Entry {
  tenant: string;
  host: string;
  version: string;
  unit: string;
  outcome: string;
  reason: string;
  total: number;
}

interface Books {
  entries: Entry[];
  kept: { tenant: string; route: string; requests: number; bytes: number }[];
}

const HOURS = [
  { value: "1", label: "1 h" },
  { value: "24", label: "24 h" },
  { value: "168", label: "7 days" },
];
const OUTCOMES = ["received", "stored", "duplicate", "kept", "refused", "dropped"];
const bytes = formatOf("bytes");

interface Line {
  key: string;
  who: string[];
  unit: string;
  totals: Record<string, number>;
  reasons: string[];
}

/** A line a sender and unit: what was received, and what became of it. */
export function lined(entries: Entry[]): Line[] {
  const lines = new Map<string, Line>();
  for (const entry of entries) {
    const key = JSON.stringify([entry.tenant, entry.host, entry.version, entry.unit]);
    const line = lines.get(key) ?? { key, who: [entry.tenant, entry.host, entry.version], unit: entry.unit, totals: {}, reasons: [] };
    line.totals[entry.outcome] = (line.totals[entry.outcome] ?? 0) + entry.total;
    if (entry.reason) line.reasons.push(`${entry.reason}: ${entry.total.toLocaleString()}`);
    lines.set(key, line);
  }
  const lost = (line: Line) => (line.totals["refused"] ?? 0) + (line.totals["dropped"] ?? 0);
  return [...lines.values()].sort((one, other) => lost(other) - lost(one) || one.key.localeCompare(other.key));
}

export default function Losses() {
  const address = useAddress();
  const { operator } = useVisit();
  const client = useQueryClient();
  const hours = address.one("hours", "24");
  const { data, error } = useQuery({
    queryKey: ["losses", hours],
    queryFn: () => {
      const now = Math.ceil(Date.now() / 1000);
      return get<Books>("/admin/losses", { from: now - Number(hours) * 3600, to: now });
    },
    refetchInterval: 10_000,
  });
  const replay = useMutation({
    mutationFn: () => send("POST", "/admin/replay"),
    onSettled: () => client.invalidateQueries({ queryKey: ["losses"] }),
  });
  const lines = lined(data?.entries ?? []);
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <PageTitle>Losses</PageTitle>
        <SegmentedControl aria-label="How far back" data={HOURS} value={hours} onChange={(value) => address.change({ hours: value === "24" ? null : value }, true)} />
      </Group>
      <Text size="sm" c="dimmed">
        What every sender sent{operator ? ", of all tenants," : ""} and what became of it; where something was lost first.
      </Text>
      {error && <Trouble error={error} />}
      {data && !lines.length && <Text c="dimmed">Nothing came in this time.</Text>}
      {lines.length > 0 && (
        <Table.ScrollContainer minWidth={800} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Losses" } }}>
          <Table striped fz="sm" verticalSpacing={4}>
            <Table.Thead>
              <Table.Tr>
                {operator && <Table.Th>tenant</Table.Th>}
                <Table.Th>sender</Table.Th>
                <Table.Th>Agent</Table.Th>
                <Table.Th>what</Table.Th>
                {OUTCOMES.map((outcome) => (
                  <Table.Th key={outcome} ta="right">
                    {outcome}
                  </Table.Th>
                ))}
                <Table.Th>why</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {lines.slice(0, 500).map(({ key, who, unit, totals, reasons }) => (
                <Table.Tr key={key}>
                  {operator && <Table.Td>{who[0]}</Table.Td>}
                  <Table.Td>{who[1] || "unknown"}</Table.Td>
                  <Table.Td>{who[2] || "–"}</Table.Td>
                  <Table.Td>{unit}</Table.Td>
                  {OUTCOMES.map((outcome) => (
                    <Table.Td key={outcome} ta="right" className="figure">
                      {totals[outcome] === undefined ? "" : unit === "bytes" ? bytes(totals[outcome]) : totals[outcome].toLocaleString()}
                    </Table.Td>
                  ))}
                  <Table.Td>{reasons.join(", ")}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Title order={2} size="h4">
        Kept as it came
      </Title>
      <Text size="sm" c="dimmed">
        What no decoder of this version understands. After an upgrade, feed it to the new ones.
      </Text>
      {data && !data.kept.length && <Text c="dimmed">Nothing is kept.</Text>}
      {data && data.kept.length > 0 && (
        <>
          <Table maw={700} fz="sm" verticalSpacing={4}>
            <Table.Thead>
              <Table.Tr>
                {operator && <Table.Th>tenant</Table.Th>}
                <Table.Th>route</Table.Th>
                <Table.Th ta="right">requests</Table.Th>
                <Table.Th ta="right">on disk</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {data.kept.map((kept) => (
                <Table.Tr key={`${kept.tenant} ${kept.route}`}>
                  {operator && <Table.Td>{kept.tenant}</Table.Td>}
                  <Table.Td className="mono">{kept.route}</Table.Td>
                  <Table.Td ta="right">{kept.requests.toLocaleString()}</Table.Td>
                  <Table.Td ta="right">{bytes(kept.bytes)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
          <Button w={160} variant="default" onClick={() => replay.mutate()} loading={replay.isPending}>
            Replay
          </Button>
        </>
      )}
      {replay.error && <Trouble error={replay.error} what="The replay did not come to its end" />}
    </Stack>
  );
}
