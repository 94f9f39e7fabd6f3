// One tenant, for the operator: its keys, its limits, and its end. A key that was just made is shown here and nowhere else.

import { Alert, Anchor, Button, Code, CopyButton, Group, Modal, Select, Stack, Text, TextInput, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { Trouble } from "../Trouble";
import { LimitsForm } from "./LimitsForm";
import { add, addKey, agentSettings, details, remove, revokeKey, type Details, type Fresh } from "./tenancy";

const NOTATIONS = [
  { value: "env", label: "Environment" },
  { value: "docker", label: "Docker" },
  { value: "yaml", label: "datadog.yaml" },
  { value: "helm", label: "Kubernetes (Helm)" },
];

function useRefresh() {
  const client = useQueryClient();
  return () => Promise.all(["tenants", "session", "tenant", "settings"].map((name) => client.invalidateQueries({ queryKey: [name] })));
}

export function AddDialog({ onClose }: { onClose: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState("");
  const made = useMutation({ mutationFn: () => add(name.trim()), onSuccess: refresh });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    made.mutate();
  };
  return (
    <Modal opened onClose={onClose} title={made.data ? `Tenant ${made.data.name}` : "Add a tenant"} size="lg" lockScroll={false} closeOnClickOutside={!made.data}>
      {made.data ? (
        <Stack>
          <NewKey fresh={made.data} />
          <Button w={100} onClick={onClose}>
            Done
          </Button>
        </Stack>
      ) : (
        <form onSubmit={submit}>
          <Stack>
            <TextInput
              label="Name"
              description="Lower-case letters, digits and inner hyphens. It becomes part of host names."
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              autoComplete="off"
              data-autofocus
              required
            />
            {made.error && <Trouble error={made.error} what="No tenant was added" />}
            <Button type="submit" w={100} loading={made.isPending}>
              Add
            </Button>
          </Stack>
        </form>
      )}
    </Modal>
  );
}

export function TenantDialog({ tenant, onClose }: { tenant: string; onClose: () => void }) {
  const { data, error } = useQuery({ queryKey: ["tenant", tenant], queryFn: () => details(tenant) });
  const refresh = useRefresh();
  return (
    <Modal opened onClose={onClose} title={`Tenant ${tenant}`} size="lg" lockScroll={false}>
      {error && <Trouble error={error} />}
      {data && (
        <Stack>
          <Text size="sm">
            Its Agents send to <b>{data.url}</b>
          </Text>
          <Keys tenant={data} onChanged={refresh} />
          <Title order={2} size="h5">
            Limits of its own
          </Title>
          <Text size="sm" c="dimmed">
            An empty field: what holds for all tenants. They take effect at once.
          </Text>
          <LimitsForm tenant={tenant} limits={data.limits} onSaved={refresh} />
          {tenant !== "system" && <Removal tenant={data} onRemoved={() => refresh().then(onClose)} />}
        </Stack>
      )}
    </Modal>
  );
}

function Keys({ tenant, onChanged }: { tenant: Details; onChanged: () => Promise<unknown> }) {
  const made = useMutation({ mutationFn: () => addKey(tenant.name), onSuccess: onChanged });
  const revoked = useMutation({ mutationFn: (digest: string) => revokeKey(tenant.name, digest), onSuccess: onChanged });
  return (
    <Stack gap="xs">
      <Title order={2} size="h5">
        Keys
      </Title>
      <Text size="sm" c="dimmed">
        Known by their SHA-256, which begins as below. Give a new key to every Agent before you revoke the old one.
      </Text>
      {tenant.keys.map((digest, index) => (
        <Group key={digest} gap="sm" data-testid="key">
          <Code>{digest}…</Code>
          {index === tenant.keys.length - 1 && <Text size="sm">the newest</Text>}
          {tenant.keys.length > 1 && (
            <Button size="compact-xs" variant="default" aria-label={`Revoke ${digest}`} onClick={() => revoked.mutate(digest)} loading={revoked.isPending && revoked.variables === digest}>
              Revoke
            </Button>
          )}
        </Group>
      ))}
      {revoked.error && <Trouble error={revoked.error} what="The key was not revoked" />}
      {made.data && <NewKey fresh={made.data} />}
      {made.error && <Trouble error={made.error} what="No key was made" />}
      <Button size="xs" variant="default" w={140} onClick={() => made.mutate()} loading={made.isPending}>
        Make a new key
      </Button>
    </Stack>
  );
}

function NewKey({ fresh }: { fresh: Fresh }) {
  const [notation, setNotation] = useState("env");
  const { data, error } = useQuery({ queryKey: ["agent-settings", fresh.name], queryFn: () => agentSettings(fresh.name) });
  const text = data?.notations[notation]?.replaceAll(data.key_place, fresh.key);
  return (
    <Alert color="green" variant="light" title={`The new key of tenant ${fresh.name}`} role="status">
      <Stack gap="xs">
        <Text size="sm">It is shown this once. Keep it: the server has only its SHA-256.</Text>
        <Group gap="xs">
          <Code data-testid="new-key">{fresh.key}</Code>
          <Copy text={fresh.key} what="Copy the key" />
        </Group>
        {data?.trust_anchor && (
          <Text size="sm">
            Its Agents must trust{" "}
            <Anchor href="/trust-anchor.pem" download="opstrace-ca.pem" inherit underline="always">
              this server's certificate authority
            </Anchor>
            .
          </Text>
        )}
        {error && <Trouble error={error} what="The settings of its Agents could not be shown" />}
        {text && (
          <>
            <Group gap="xs" align="end">
              <Select size="xs" label="What its Agents need" data={NOTATIONS} value={notation} onChange={(value) => setNotation(value ?? "env")} allowDeselect={false} />
              <Copy text={text} what="Copy the settings" />
            </Group>
            <pre className="snippet" tabIndex={0} aria-label="Settings of its Agents" style={{ maxHeight: 240 }}>
              {text}
            </pre>
          </>
        )}
      </Stack>
    </Alert>
  );
}

function Copy({ text, what }: { text: string; what: string }) {
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Button variant="default" size="xs" onClick={copy}>
          {copied ? "Copied" : what}
        </Button>
      )}
    </CopyButton>
  );
}

function Removal({ tenant, onRemoved }: { tenant: Details; onRemoved: () => void }) {
  const [typed, setTyped] = useState("");
  const removed = useMutation({ mutationFn: () => remove(tenant.name), onSuccess: onRemoved });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    removed.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="xs">
        <Title order={2} size="h5">
          Remove
        </Title>
        <Text size="sm">
          Its keys stop working at once. {tenant.holdings.text === "nothing" ? "It has no data yet." : `All its data goes, and nothing brings it back: ${tenant.holdings.text}.`}
        </Text>
        <TextInput label={`Type ${tenant.name} to remove it`} value={typed} onChange={(event) => setTyped(event.currentTarget.value)} autoComplete="off" w={260} />
        {removed.error && <Trouble error={removed.error} what="The tenant was not removed" />}
        <Button type="submit" color="red.9" size="xs" w={170} disabled={typed !== tenant.name} loading={removed.isPending}>
          Remove with all data
        </Button>
      </Stack>
    </form>
  );
}
