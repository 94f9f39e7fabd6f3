// Who is logged in, for every page; and the form for who is not.

import { Affix, Alert, Anchor, Button, Center, Code, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useRef, useState, type FormEvent, type ReactNode } from "react";

import { ApiError, logIn, logOut, refusals, session, type Session } from "./api";
import { Trouble } from "./Trouble";

export interface Visit extends Session {
  key: string | null; // as typed in, until the page is left; nothing stores it
  logOut: () => void;
}

const Context = createContext<Visit | null>(null);

export function useVisit(): Visit {
  const visit = useContext(Context);
  if (!visit) throw new Error("no session");
  return visit;
}

/** Lets one tenant through: a page that is not that tenant's any more is loaded anew, so that nothing of it is left. */
export function SessionGate({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [key, setKey] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<unknown>(null);
  // All tabs share one session: each tells the others whose data it opens from now on; "" is nobody's.
  const [tabs] = useState(() => new BroadcastChannel("opstrace-session"));
  const { data, error } = useQuery({
    queryKey: ["session"],
    queryFn: session,
    retry: (count, failure) => !(failure instanceof ApiError && failure.status === 403) && count < 100,
    staleTime: 60_000,
  });
  const refused = error instanceof ApiError && error.status === 403;
  const tenant = refused ? "" : data?.tenant;
  const owner = useRef("");
  owner.current ||= tenant ?? "";
  const changed = tenant !== undefined && tenant !== owner.current;

  useEffect(() => {
    if (changed) location.reload();
  }, [changed]);
  useEffect(() => {
    const occasions: [EventTarget, string][] = [
      [refusals, "refusal"],
      [window, "focus"],
      [document, "visibilitychange"],
    ];
    // Who is about to log in is not disturbed.
    const ask = () => {
      if (owner.current) void client.invalidateQueries({ queryKey: ["session"] });
    };
    const told = (message: MessageEvent<string>) => {
      if (message.data !== owner.current) location.reload();
    };
    for (const [target, occasion] of occasions) target.addEventListener(occasion, ask);
    tabs.addEventListener("message", told);
    return () => {
      for (const [target, occasion] of occasions) target.removeEventListener(occasion, ask);
      tabs.removeEventListener("message", told);
    };
  }, [client, tabs]);

  if (data && !refused && !changed) {
    const left = () => {
      tabs.postMessage("");
      location.reload();
    };
    return (
      <Context value={{ ...data, key, logOut: () => void logOut().then(left, setTrouble) }}>
        {children}
        {trouble !== null && (
          <Affix position={{ top: 56, right: 16 }}>
            <Trouble error={trouble} what="You are still logged in" />
          </Affix>
        )}
      </Context>
    );
  }
  if (refused && !changed) {
    const entered = (begun: Session, typed: string) => {
      setKey(typed);
      client.setQueryData(["session"], begun);
      tabs.postMessage(begun.tenant);
    };
    return <Login onEntered={entered} />;
  }
  return (
    <Center mih="60vh">
      <Text c="dimmed">{error && !refused ? error.message : "…"}</Text>
    </Center>
  );
}

function Login({ onEntered }: { onEntered: (begun: Session, key: string) => void }) {
  const [key, setKey] = useState("");
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      const begun = await logIn(key.trim());
      if (begun) onEntered(begun, key.trim());
    } catch (error) {
      setTrouble(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };

  return (
    <Center mih="80vh" component="main">
      <Paper withBorder p="xl" w={420} maw="94vw">
        <form onSubmit={(event) => void submit(event)}>
          <Stack>
            <Title order={1} size="h2">
              opstrace
            </Title>
            <PasswordInput
              label="API key of a tenant"
              description={
                <>
                  <Code>opstrace create</Code> wrote it to a file <Code>tenant-api-token-NAME</Code>
                </>
              }
              value={key}
              onChange={(event) => setKey(event.currentTarget.value)}
              autoComplete="current-password"
              data-autofocus
              autoFocus
              required
            />
            {trouble && (
              <Alert color="red" variant="light" role="alert">
                {trouble}
              </Alert>
            )}
            <Button type="submit" loading={busy}>
              Log in
            </Button>
            <Text size="sm" c="dimmed">
              Does the browser warn about the certificate? Have it trust{" "}
              <Anchor href="/trust-anchor.pem" underline="always" inherit>
                this server's authority
              </Anchor>
              .
            </Text>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
