// The dashboards a tenant has: those that come with opstrace and its own.

import { ActionIcon, Anchor, Badge, Button, FileButton, Group, Stack, Table, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useLocation } from "wouter";

import { useAddress } from "../address";
import { get, send } from "../api";
import { Search } from "../Search";
import { Trouble } from "../Trouble";
import { uidOf } from "./uid";

export interface Entry {
  uid: string;
  title: string;
  tags: string[];
  description: string;
  bundled: boolean;
  starred: boolean;
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
  const upload = useMutation({
    mutationFn: async (file: File) => {
      const text = await file.text();
      return send<Entry>("PUT", `/admin/dashboards/${uidOf(text)}`, text);
    },
    onSuccess: (entry) => {
      void refresh();
      client.removeQueries({ queryKey: ["dashboard"] });
      if (entry) navigate(`/ui/dashboards/${entry.uid}`);
    },
  });
  const found = (data?.dashboards ?? []).filter((entry) => `${entry.title} ${entry.tags.join(" ")}`.toLowerCase().includes(search));
  return (
    <Stack gap="sm">
      <Title order={1} size="h3">
        Dashboards
      </Title>
      <Group>
        <Search what="dashboards" hint="Search" width={320} />
        <FileButton onChange={(file) => file && upload.mutate(file)} accept="application/json,.json">
          {(props) => (
            <Button variant="default" {...props} loading={upload.isPending}>
              Upload Grafana's JSON
            </Button>
          )}
        </FileButton>
      </Group>
      {[error, star.error, upload.error].filter(Boolean).map((trouble, index) => (
        <Trouble key={index} error={trouble} />
      ))}
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
