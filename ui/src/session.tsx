// Who is logged in, for every page; and the form for who is not.

import { Alert, Anchor, Button, Center, Code, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useState, type FormEvent, type ReactNode } from "react";

import { ApiError, get, logIn, send, type Session } from "./api";

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

export function SessionGate({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [key, setKey] = useState<string | null>(null);
  const { data, error } = useQuery({
    queryKey: ["session"],
    queryFn: () => get<Session>("/ui/session"),
    retry: (count, failure) => !(failure instanceof ApiError && failure.status === 403) && count < 100,
    staleTime: 60_000,
  });
  const refused = error instanceof ApiError && error.status === 403;
  if (data && !refused) {
    const logOut = () => {
      void send("DELETE", "/ui/session").finally(() => {
        setKey(null);
        client.clear();
        void client.resetQueries();
      });
    };
    return <Context value={{ ...data, key, logOut }}>{children}</Context>;
  }
  if (refused) {
    const entered = (session: Session, typed: string) => {
      setKey(typed);
      client.setQueryData(["session"], session);
    };
    return <Login onEntered={entered} />;
  }
  return (
    <Center mih="60vh">
      <Text c="dimmed">{error ? error.message : "…"}</Text>
    </Center>
  );
}

function Login({ onEntered }: { onEntered: (session: Session, key: string) => void }) {
  const [key, setKey] = useState("");
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      const session = await logIn(key.trim());
      if (session) onEntered(session, key.trim());
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
