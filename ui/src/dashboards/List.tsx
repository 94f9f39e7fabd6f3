// The dashboards a tenant has: those that come with opstrace and its own.

import { ActionIcon, Anchor, Badge, Button, FileButton, Group, Modal, Stack, Table, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";

import { useAddress } from "../address";
import { get, send } from "../api";
import { PageTitle } from "../PageTitle";
import { Search } from "../Search";
import { Trouble } from "../Trouble";
import { freeUid, takenUids, uidOf } from "./uid";

export interface Entry {
  uid: string;
  title: string;
  tags: string[];
  description: string;
  bundled: boolean;
  starred: boolean;
}

interface Clash {
  text: string;
  uid: string;
  free: string;
}

export default function List() {
  const address = useAddress();
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const search = address.one("search").toLowerCase();
  const { data, error } = useQuery({ queryKey: ["dashboards"], queryFn: () => get<{ dashboards: Entry[] }>("/admin/dashboards") });
  const refresh = () => client.invalidateQueries({ queryKey: ["dashboards"] });
  const star = useMutation({
    mutationFn: (entry: Entry) => send(entry.starred ? "DELETE" : "PUT", `/admin/dashboards/${entry.uid}/star`),
    onSettled: refresh,
  });
  const [clash, setClash] = useState<Clash | null>(null);
  const keep = useMutation({
    mutationFn: ({ text, uid }: { text: string; uid: string }) => send<Entry>("PUT", `/admin/dashboards/${uid}`, text),
    onSettled: () => setClash(null),
    onSuccess: (entry) => {
      void refresh();
      client.removeQueries({ queryKey: ["dashboard"] });
      if (entry) navigate(`/ui/dashboards/${entry.uid}`);
    },
  });
  const upload = useMutation({
    mutationFn: async (file: File) => {
      const [text, taken] = [await file.text(), await takenUids(client)];
      const { uid, given } = uidOf(text);
      const free = freeUid(uid, taken);
      if (given && free !== uid) setClash({ text, uid, free });
      else keep.mutate({ text, uid: free });
    },
  });
  const found = (data?.dashboards ?? []).filter((entry) => `${entry.title} ${entry.tags.join(" ")}`.toLowerCase().includes(search));
  return (
    <Stack gap="sm">
      <PageTitle>Dashboards</PageTitle>
      <Group>
        <Search what="dashboards" hint="Search" width={320} />
        <FileButton onChange={(file) => file && upload.mutate(file)} accept="application/json,.json">
          {(props) => (
            <Button variant="default" {...props} loading={upload.isPending || keep.isPending}>
              Upload Grafana's JSON
            </Button>
          )}
        </FileButton>
      </Group>
      {[error, star.error, upload.error, keep.error].filter(Boolean).map((trouble, index) => (
        <Trouble key={index} error={trouble} />
      ))}
      {clash && (
        <Modal opened onClose={() => setClash(null)} title={`There is a dashboard ${clash.uid} already`}>
          <Group>
            <Button color="red" onClick={() => keep.mutate(clash)}>
              Replace it
            </Button>
            <Button variant="default" onClick={() => keep.mutate({ text: clash.text, uid: clash.free })}>
              Keep both
            </Button>
            <Button variant="default" onClick={() => setClash(null)}>
              Cancel
            </Button>
          </Group>
        </Modal>
      )}
      {data && !found.length && <Text c="dimmed">There is none.</Text>}
      <Table highlightOnHover maw={1000}>
        <Table.Tbody>
          {found.map((entry) => (
            <Table.Tr key={entry.uid}>
              <Table.Td w={40}>
                <ActionIcon
                  variant="subtle"
                  color={entry.starred ? "yellow" : "gray"}
                  aria-label={`Favourite: ${entry.title}`}
                  aria-pressed={entry.starred}
                  onClick={() => star.mutate(entry)}
                >
                  {entry.starred ? "★" : "☆"}
                </ActionIcon>
              </Table.Td>
              <Table.Td>
                <Anchor component={Link} href={`/ui/dashboards/${entry.uid}`} fw={600}>
                  {entry.title}
                </Anchor>
                <Text size="sm" c="dimmed">
                  {entry.description}
                </Text>
              </Table.Td>
              <Table.Td>
                <Group gap={4}>
                  {entry.bundled && (
                    <Badge variant="light" color="gray" tt="none">
                      comes with opstrace
                    </Badge>
                  )}
                  {entry.tags.filter((tag) => !tag.startsWith("tenant:")).map((tag) => (
                    <Badge key={tag} variant="outline" color="gray" tt="none">
                      {tag}
                    </Badge>
                  ))}
                </Group>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Stack>
  );
}
