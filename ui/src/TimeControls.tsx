// The range of time that a page shows, how fine, and how often it is asked for anew. All of it lives in the address.

import { ActionIcon, Button, Group, NavLink, Popover, Select, Stack, TextInput, Tooltip } from "@mantine/core";
import { useInterval } from "@mantine/hooks";
import { useEffect, useState, type FormEvent } from "react";

import { clock, moment, named, QUICK, written, type Range } from "./time";

const REFRESHES = [
  { value: "", label: "Refresh: off" },
  { value: "5", label: "every 5 s" },
  { value: "10", label: "every 10 s" },
  { value: "30", label: "every 30 s" },
  { value: "60", label: "every minute" },
  { value: "300", label: "every 5 min" },
];

interface Props {
  range: Range;
  onRange: (range: Range) => void;
  refresh: string;
  onRefresh: (refresh: string) => void;
  onNow: () => void; // ask anew
  busy: boolean;
}

/** The range moved by half its length; a relative one becomes two dates. */
export function shifted(range: Range, halves: number, now: number): Range {
  const start = moment(range.from, now);
  const end = moment(range.to, now, "up");
  if (start === null || end === null) return range;
  const by = ((end - start) / 2) * halves;
  return between(start + by, end + by);
}

/** A range twice as long around the same middle, ending now at the latest. */
export function widened(range: Range, now: number): Range {
  const start = moment(range.from, now);
  const end = moment(range.to, now, "up");
  if (start === null || end === null) return range;
  const half = (end - start) / 2;
  return end + half >= now ? between(now - 4 * half, now) : between(start - half, end + half);
}

export function between(start: number, end: number): Range {
  return { from: String(Math.round(start * 1000)), to: String(Math.round(end * 1000)) };
}

export function TimeControls({ range, onRange, refresh, onRefresh, onNow, busy }: Props) {
  const { start, stop } = useInterval(onNow, Math.max(1, Number(refresh || 60)) * 1000);
  useEffect(() => {
    if (refresh) start();
    return stop;
  }, [refresh, start, stop]);
  const now = () => Date.now() / 1000;
  const listed = REFRESHES.some(({ value }) => value === refresh)
    ? REFRESHES
    : [...REFRESHES, { value: refresh, label: `every ${written(Number(refresh))}` }];
  return (
    <Group gap="xs" wrap="wrap">
      <Tooltip label="Earlier ( [ )">
        <ActionIcon variant="default" size="lg" aria-label="Earlier" onClick={() => onRange(shifted(range, -1, now()))}>
          ‹
        </ActionIcon>
      </Tooltip>
      <RangePicker range={range} onRange={onRange} />
      <Tooltip label="Later ( ] )">
        <ActionIcon variant="default" size="lg" aria-label="Later" onClick={() => onRange(shifted(range, 1, now()))}>
          ›
        </ActionIcon>
      </Tooltip>
      <Tooltip label="Twice as long ( - )">
        <ActionIcon variant="default" size="lg" aria-label="Zoom out" onClick={() => onRange(widened(range, now()))}>
          −
        </ActionIcon>
      </Tooltip>
      <Select
        aria-label="Refresh"
        data={listed}
        value={refresh}
        onChange={(value) => onRefresh(value ?? "")}
        allowDeselect={false}
        w={140}
      />
      <Tooltip label="Ask again ( r )">
        <ActionIcon variant="default" size="lg" aria-label="Ask again" loading={busy} onClick={onNow}>
          ↻
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

function RangePicker({ range, onRange }: { range: Range; onRange: (range: Range) => void }) {
  const [open, setOpen] = useState(false);
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const now = Date.now() / 1000;
  const opened = (next: boolean) => {
    setFrom(editable(range.from));
    setTo(editable(range.to));
    setOpen(next);
  };
  const [start, end] = [moment(from, now), moment(to, now, "up")];
  const trouble = start === null || end === null || start < end ? null : "The range ends before it begins.";
  const choose = (chosen: Range) => {
    onRange(chosen);
    setOpen(false);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (start !== null && end !== null && start < end) choose({ from, to });
  };
  const hint = "now-1h, now/d, 2026-11-24 13:00, or milliseconds since 1970";
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" trapFocus withinPortal>
      <Popover.Target>
        <Button variant="default" onClick={() => opened(!open)} aria-label={`Range of time: ${named(range)}`}>
          {named(range)}
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Group align="flex-start" wrap="nowrap">
          <form onSubmit={submit}>
            <Stack gap="xs" w={260}>
              <TextInput
                label="From"
                description={hint}
                value={from}
                onChange={(event) => setFrom(event.currentTarget.value)}
                error={start === null && "This is no time."}
              />
              <TextInput
                label="To"
                value={to}
                onChange={(event) => setTo(event.currentTarget.value)}
                error={end === null ? "This is no time." : trouble}
              />
              <Button type="submit">Show</Button>
            </Stack>
          </form>
          <Stack gap={0}>
            {QUICK.map(([value, label]) => (
              <NavLink
                key={value}
                component="button"
                label={label}
                active={range.from === value && range.to === "now"}
                onClick={() => choose({ from: value, to: "now" })}
                py={3}
              />
            ))}
          </Stack>
        </Group>
      </Popover.Dropdown>
    </Popover>
  );
}

function editable(text: string): string {
  return /^[0-9]{9,}$/.test(text) ? clock(moment(text, 0) ?? 0) : text;
}
