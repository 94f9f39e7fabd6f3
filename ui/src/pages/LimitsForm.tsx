// Limits of all tenants, or of one: a field each, empty where the default holds.

import { Alert, Button, Group, Stack, Table, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { Trouble } from "../Trouble";
import { changes, setLimits, shortened, textOf, type Limit } from "./tenancy";

interface Props {
  tenant: string | null;
  limits: Limit[];
  waiting?: string[]; // names of what the running server takes in at its next start
  onSaved: () => Promise<unknown>;
}

export function LimitsForm({ tenant, limits, waiting = [], onSaved }: Props) {
  const [fields, setFields] = useState<Record<string, string>>({});
  const values = changes(limits, fields, tenant !== null);
  const going = typeof values === "string" ? [] : shortened(limits, values);
  const save = useMutation({
    mutationFn: () => (typeof values === "string" ? Promise.reject(new Error(values)) : setLimits(tenant, values)),
    onSuccess: async () => {
      await onSaved();
      setFields({});
    },
  });
  const unchanged = typeof values !== "string" && !Object.keys(values).length;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit} aria-label={tenant === null ? "Limits of all tenants" : `Limits of ${tenant}`}>
      <Stack gap="xs" maw={640}>
        <Table fz="sm" verticalSpacing={2}>
          <Table.Tbody>
            {limits.map((limit) => (
              <Table.Tr key={limit.name}>
                <Table.Td className="mono">{limit.name}</Table.Td>
                <Table.Td>
                  <TextInput
                    size="xs"
                    w={150}
                    aria-label={limit.name}
                    inputMode="decimal"
                    placeholder={String(limit.fallback)}
                    value={fields[limit.name] ?? textOf(limit, tenant !== null)}
                    onChange={(event) => setFields({ ...fields, [limit.name]: event.currentTarget.value })}
                  />
                </Table.Td>
                <Table.Td>
                  <Text size="xs" c="dimmed">
                    {waiting.includes(limit.name) ? "waits for the next start" : limit.live ? "" : "takes effect at a start"}
                  </Text>
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        {going.length > 0 && (
          <Alert color="yellow" variant="light" role="alert">
            A shorter retention removes {going.join(" and ")} within the hour. Nothing brings them back.
          </Alert>
        )}
        {save.error && <Trouble error={save.error} what="Not saved" />}
        {waiting.length > 0 && (
          <Alert color="blue" variant="light" role="status">
            The running server takes in {waiting.join(", ")} at its next start.
          </Alert>
        )}
        <Group gap="xs">
          <Button type="submit" size="xs" disabled={unchanged} loading={save.isPending}>
            {going.length ? "Save and remove older data" : "Save"}
          </Button>
          {!unchanged && (
            <Button size="xs" variant="default" onClick={() => setFields({})}>
              Undo
            </Button>
          )}
        </Group>
      </Stack>
    </form>
  );
}
