// What happened: events, the youngest first.

import { Anchor, Badge, Group, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";

import { rangeOf, useAddress } from "../address";
import { get } from "../api";
import { PageTitle } from "../PageTitle";
import { clock, moment } from "../time";
import { TimeControls } from "../TimeControls";
import { Trouble } from "../Trouble";

interface Event {
  id: string | number;
  time_s: number;
  title: string;
  text: string;
  host: string;
  source: string;
  priority: string;
  alert_type: string;
  tags: string[];
}

const COLOURS: Record<string, string> = { error: "red", warning: "orange", success: "green" };
const MOST = 500;

export default function Events() {
  const address = useAddress();
  const range = rangeOf(address, "now-24h");
  const [now, setNow] = useState(() => Date.now() / 1000);
  const [query] = useDebouncedValue(address.one("query"), 300);
  const [from, to] = [moment(range.from, now), moment(range.to, now, "up")];
  const { data, error, isFetching } = useQuery({
    queryKey: ["events", from, to, query],
    queryFn: () => get<{ events: Event[] }>("/admin/events", { from: from!, to: to!, query, limit: MOST }),
    enabled: from !== null && to !== null,
    placeholderData: keepPreviousData,
  });
  return (
    <Stack gap="sm" maw={1100}>
      <Group justify="space-between">
        <PageTitle>Events</PageTitle>
        <TimeControls
          range={range}
          onRange={(next) => {
            setNow(Date.now() / 1000);
            address.change({ from: next.from, to: next.to });
          }}
          refresh={address.one("refresh")}
          onRefresh={(refresh) => address.change({ refresh }, true)}
          onNow={() => setNow(Date.now() / 1000)}
          busy={isFetching}
        />
      </Group>
      <TextInput
        type="search"
        aria-label="Search events"
        placeholder="Search: words, host:web-1, env:prod …"
        value={address.one("query")}
        onChange={(event) => address.change({ query: event.currentTarget.value }, true)}
      />
      {error && <Trouble error={error} />}
      {data && !data.events.length && <Text c="dimmed">No event in this time.</Text>}
      {data?.events.map((event) => (
        <article key={`${event.id} ${event.time_s}`} className="event">
          <Group gap="xs">
            <Text size="sm" c="dimmed" className="figure">
              {clock(event.time_s)}
            </Text>
            <Badge variant="light" color={COLOURS[event.alert_type] ?? "blue"} tt="none">
              {event.alert_type || "info"}
            </Badge>
            <Text fw={600}>{event.title || "(no title)"}</Text>
            {event.host && (
              <Anchor component={Link} href={`/ui/hosts/${encodeURIComponent(event.host)}`} size="sm">
                {event.host}
              </Anchor>
            )}
            {event.source && (
              <Text size="sm" c="dimmed">
                {event.source}
              </Text>
            )}
          </Group>
          {event.text && <p className="event-text">{event.text}</p>}
          {event.tags.length > 0 && (
            <Text size="xs" c="dimmed">
              {event.tags.join(", ")}
            </Text>
          )}
        </article>
      ))}
      {data && data.events.length >= MOST && <Text c="dimmed">The youngest {MOST}; narrow the search or the range for the others.</Text>}
    </Stack>
  );
}
