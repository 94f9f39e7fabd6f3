// Adding a tenant, and what can be done to one: its keys, its limits, its removal. A key is shown once, when it is made.

import { Alert, Badge, Button, Code, CopyButton, Group, Modal, NumberInput, Stack, Table, Text, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { send } from "../api";
import { Trouble } from "../Trouble";

export interface Tenant {
  name: string;
  keys: string[];
  limits: Record<string, number>;
  own_limits: string[];
  rows: Record<string, number>;
}

interface NewKey {
  name: string;
  key: string;
}

const SYSTEM = "system";

export function stored(tenant: Tenant): number {
  return Object.values(tenant.rows).reduce((sum, rows) => sum + rows, 0);
}

/** A change of a tenant; what it answers is shown, and the lists are asked for again. */
function useChange<T, V = void>(change: (value: V) => Promise<T>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => Promise.all(["tenants", "session"].map((key) => client.invalidateQueries({ queryKey: [key] }))),
  });
}

export function AddTenant() {
  const [name, setName] = useState("");
  const add = useChange(() => send<NewKey>("POST", "/admin/tenants", JSON.stringify({ name })));
  return (
    <Stack gap="xs">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          add.mutate(undefined, { onSuccess: () => setName("") });
        }}
      >
        <Group gap="xs" align="end">
          <TextInput label="New tenant" placeholder="lower case, digits, hyphens" value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <Button type="submit" disabled={!name} loading={add.isPending}>
            Add
          </Button>
        </Group>
      </form>
      {add.error && <Trouble error={add.error} what="The tenant was not added" />}
      {add.data && <ShownKey made={add.data} />}
    </Stack>
  );
}

function ShownKey({ made }: { made: NewKey }) {
  return (
    <Alert color="green" variant="light" title={`Key of tenant ${made.name}`} role="status" className="new-key">
      <Group gap="xs">
        <Code className="mono">{made.key}</Code>
        <CopyButton value={made.key}>
          {({ copied, copy }) => (
            <Button size="compact-xs" variant="default" onClick={copy}>
              {copied ? "Copied" : "Copy"}
            </Button>
          )}
        </CopyButton>
      </Group>
      <Text size="sm" mt={4}>
        It is kept nowhere and shown this once. Log in with it to see the settings of its Agents.
      </Text>
    </Alert>
  );
}

export function TenantDialog({ tenant, onClose }: { tenant: Tenant; onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title={`Tenant ${tenant.name}`} size="lg" lockScroll={false}>
      <Stack gap="lg">
        <Keys tenant={tenant} />
        <Limits tenant={tenant} />
        {tenant.name !== SYSTEM && <Removal tenant={tenant} onRemoved={onClose} />}
      </Stack>
    </Modal>
  );
}

function Keys({ tenant }: { tenant: Tenant }) {
  const path = `/admin/tenants/${tenant.name}/keys`;
  const add = useChange(() => send<NewKey>("POST", path));
  const revoke = useChange(() => send<{ revoked: number }>("DELETE", path));
  return (
    <Stack gap="xs">
      <Text fw={600}>Keys</Text>
      <Group gap="xs">
        {tenant.keys.map((digest, index) => (
          <Badge key={digest} variant={index === tenant.keys.length - 1 ? "filled" : "default"} className="mono" tt="none">
            {digest}…
          </Badge>
        ))}
      </Group>
      <Text size="sm" c="dimmed">
        By the beginnings of their SHA-256; the newest is last. Earlier ones stay valid until they are revoked.
      </Text>
      <Group gap="xs">
        <Button variant="default" size="xs" loading={add.isPending} onClick={() => add.mutate()}>
          New key
        </Button>
        <Button variant="default" size="xs" disabled={tenant.keys.length < 2} loading={revoke.isPending} onClick={() => revoke.mutate()}>
          Revoke all but the newest
        </Button>
      </Group>
      {add.data && <ShownKey made={add.data} />}
      {(add.error ?? revoke.error) && <Trouble error={add.error ?? revoke.error} what="The keys are as they were" />}
    </Stack>
  );
}

function Limits({ tenant }: { tenant: Tenant }) {
  const [edited, setEdited] = useState<Record<string, number | "">>({});
  const save = useChange((changes: Record<string, number | null>) => send<Tenant>("PUT", `/admin/tenants/${tenant.name}/limits`, JSON.stringify(changes)));
  const changes = Object.fromEntries(Object.entries(edited).map(([name, value]) => [name, value === "" ? null : value]));
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate(changes, { onSuccess: () => setEdited({}) });
      }}
    >
      <Stack gap="xs">
        <Text fw={600}>Limits</Text>
        <Table fz="sm" verticalSpacing={2}>
          <Table.Tbody>
            {Object.entries(tenant.limits).map(([name, limit]) => (
              <Table.Tr key={name}>
                <Table.Td className="mono">{name}</Table.Td>
                <Table.Td>
                  <NumberInput
                    aria-label={name}
                    size="xs"
                    min={1}
                    allowDecimal={false}
                    thousandSeparator=","
                    value={edited[name] ?? limit}
                    onChange={(value) => setEdited({ ...edited, [name]: value === "" ? "" : Number(value) })}
                  />
                </Table.Td>
                <Table.Td>{tenant.own_limits.includes(name) ? "of its own" : "as all"}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        <Text size="sm" c="dimmed">
          They hold at once. An empty one is the limit of all again.
        </Text>
        <Group>
          <Button type="submit" size="xs" disabled={!Object.keys(edited).length} loading={save.isPending}>
            Save limits
          </Button>
        </Group>
        {save.error && <Trouble error={save.error} what="The limits are as they were" />}
      </Stack>
    </form>
  );
}

function Removal({ tenant, onRemoved }: { tenant: Tenant; onRemoved: () => void }) {
  const [typed, setTyped] = useState("");
  const remove = useChange(() => send("DELETE", `/admin/tenants/${tenant.name}`));
  return (
    <Stack gap="xs">
      <Text fw={600}>Removal</Text>
      <Text size="sm">
        Its keys open nothing any more at once, and its {stored(tenant).toLocaleString()} rows go. There is no way back. Type the tenant's name to go on.
      </Text>
      <Group gap="xs" align="end">
        <TextInput aria-label="The tenant's name" placeholder={tenant.name} value={typed} onChange={(event) => setTyped(event.currentTarget.value)} />
        <Button color="red" disabled={typed !== tenant.name} loading={remove.isPending} onClick={() => remove.mutate(undefined, { onSuccess: onRemoved })}>
          Remove {tenant.name}
        </Button>
      </Group>
      {remove.error && <Trouble error={remove.error} what="The tenant was not removed" />}
    </Stack>
  );
}
