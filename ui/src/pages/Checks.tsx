// The latest run of every service check, the worst first.

import { Anchor, Badge, Group, Modal, SegmentedControl, Stack, Table, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { useAddress } from "../address";
import { get } from "../api";
import { counted } from "../format";
import { PageTitle } from "../PageTitle";
import { clickable } from "../rows";
import { ago, clock } from "../time";
import { Trouble } from "../Trouble";

export interface Check {
  check: string;
  host: string;
  tags: string[];
  status: number;
  message: string;
  time_s: number;
}

const STATUSES = [
  { name: "OK", colour: "green" },
  { name: "warning", colour: "orange" },
  { name: "critical", colour: "red" },
  { name: "unknown", colour: "gray" },
];
const WORST_FIRST = [2, 1, 3, 0];
const MOST_ROWS = 500;

export function useChecks() {
  return useQuery({ queryKey: ["checks"], queryFn: () => get<{ checks: Check[]; more: boolean }>("/admin/checks", { limit: 10_000 }), refetchInterval: 15_000 });
}

export default function Checks() {
  const address = useAddress();
  const { data, error, isPending } = useChecks();
  const [search, status] = [address.one("search").toLowerCase(), address.one("status", "all")];
  const found = (data?.checks ?? []).filter(
    (check) =>
      (status === "all" || STATUSES[check.status]?.name === status) &&
      `${check.check} ${check.host} ${check.message} ${check.tags.join(" ")}`.toLowerCase().includes(search),
  );
  return (
    <Stack gap="sm">
      <PageTitle>Service checks</PageTitle>
      <Group>
        <TextInput
          type="search"
          aria-label="Search checks"
          placeholder="Search: check, host, tag …"
          w={320}
          value={address.one("search")}
          onChange={(event) => address.change({ search: event.currentTarget.value }, true)}
        />
        <SegmentedControl
          aria-label="Status"
          data={["all", ...STATUSES.map(({ name }) => name)]}
          value={status}
          onChange={(value) => address.change({ status: value === "all" ? null : value }, true)}
        />
        <Text size="sm" c="dimmed" role="status">
          {isPending ? "…" : counted(found.length, "check")}
        </Text>
      </Group>
      {error && <Trouble error={error} />}
      {data && !data.checks.length && <Text c="dimmed">No service check has been sent yet.</Text>}
      {found.length > 0 && <CheckTable checks={found} />}
    </Stack>
  );
}

export function CheckTable({ checks }: { checks: Check[] }) {
  const now = Date.now() / 1000;
  const [open, setOpen] = useState<Check | null>(null);
  const rank = (check: Check) => WORST_FIRST.indexOf(check.status);
  const sorted = [...checks].sort((one, other) => rank(one) - rank(other) || one.check.localeCompare(other.check));
  return (
    <Table.ScrollContainer minWidth={700} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Service checks" } }}>
      <Table striped highlightOnHover fz="sm" verticalSpacing={4}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>status</Table.Th>
            <Table.Th>check</Table.Th>
            <Table.Th>host</Table.Th>
            <Table.Th>message</Table.Th>
            <Table.Th>tags</Table.Th>
            <Table.Th>last run</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sorted.slice(0, MOST_ROWS).map((check, index) => (
            <Table.Tr key={index} {...clickable(() => setOpen(check))}>
              <Table.Td>
                <Badge variant="light" color={STATUSES[check.status]?.colour ?? "gray"} tt="none">
                  {STATUSES[check.status]?.name ?? check.status}
                </Badge>
              </Table.Td>
              <Table.Td>
                <UnstyledButton fz="inherit" onClick={() => setOpen(check)} aria-haspopup="dialog">
                  {check.check}
                </UnstyledButton>
              </Table.Td>
              <Table.Td>
                {check.host && (
                  <Anchor component={Link} href={`/ui/hosts/${encodeURIComponent(check.host)}`} inherit>
                    {check.host}
                  </Anchor>
                )}
              </Table.Td>
              <Table.Td>{check.message}</Table.Td>
              <Table.Td>{check.tags.join(", ")}</Table.Td>
              <Table.Td>{ago(check.time_s, now)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {checks.length > MOST_ROWS && <p className="note">The first {MOST_ROWS} of {checks.length}.</p>}
      {open && <Changes check={open} onClose={() => setOpen(null)} />}
    </Table.ScrollContainer>
  );
}

/** When a check became another status, in the last week. */
function Changes({ check, onClose }: { check: Check; onClose: () => void }) {
  const { data, error } = useQuery({
    queryKey: ["changes", check.check, check.host],
    queryFn: () => {
      const now = Math.ceil(Date.now() / 1000);
      return get<{ changes: Check[] }>("/admin/checks/changes", { check: check.check, host: check.host, from: now - 7 * 86_400, to: now });
    },
  });
  return (
    <Modal opened onClose={onClose} title={`${check.check} on ${check.host || "no host"}: the last 7 days`} size="lg" lockScroll={false}>
      {error && <Trouble error={error} />}
      <Table fz="sm">
        <Table.Tbody>
          {data?.changes.map((change, index) => (
            <Table.Tr key={index}>
              <Table.Td>{clock(change.time_s)}</Table.Td>
              <Table.Td>
                <Badge variant="light" color={STATUSES[change.status]?.colour ?? "gray"} tt="none">
                  {STATUSES[change.status]?.name ?? change.status}
                </Badge>
              </Table.Td>
              <Table.Td>{change.message}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  );
}
