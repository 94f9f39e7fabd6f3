// Answers as tables: moments by series, or series with what they have at one moment.

import { Table, Text } from "@mantine/core";

import type { Result } from "../api";
import { formatOf } from "../format";
import type { Column } from "../series";
import { clock } from "../time";
import { readings } from "./readings";

const MOST_COLUMNS = 50;
const MOST_ROWS = 500;

export function RangeTable({ times, columns, unit }: { times: number[]; columns: Column[]; unit: string }) {
  const format = formatOf(unit);
  const shown = columns.slice(0, MOST_COLUMNS);
  const rows = times.map((_, index) => index).reverse().filter((index) => shown.some((column) => column.values[index] != null));
  return (
    <Table.ScrollContainer minWidth={400} maxHeight={560} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Values" } }}>
      <Table striped stickyHeader withColumnBorders fz="xs">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>time</Table.Th>
            {shown.map((column) => (
              <Table.Th key={column.name} className="mono">
                {column.name}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.slice(0, MOST_ROWS).map((index) => (
            <Table.Tr key={times[index]}>
              <Table.Td className="mono">{clock(times[index]!)}</Table.Td>
              {shown.map((column) => (
                <Table.Td key={column.name} ta="right" className="figure">
                  {column.values[index] == null ? "" : format(column.values[index])}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {(columns.length > MOST_COLUMNS || rows.length > MOST_ROWS) && (
        <p className="note">
          The first {MOST_COLUMNS} of {columns.length} series and the youngest {MOST_ROWS} of {rows.length} moments; CSV has all.
        </p>
      )}
    </Table.ScrollContainer>
  );
}

interface InstantProps {
  results: (Result | undefined)[];
  queries: string[];
  unit: string;
  busy: boolean;
}

export function InstantTable({ results, queries, unit, busy }: InstantProps) {
  const rows = results.flatMap((result, index) => (result ? readings(result, queries[index], formatOf(unit)) : []));
  const timed = rows.some((row) => row.time !== null);
  if (!rows.length) return <Text c="dimmed">{busy ? "…" : "No series at this moment."}</Text>;
  return (
    <Table.ScrollContainer minWidth={400} maxHeight={560} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Values" } }}>
      <Table striped stickyHeader fz="sm">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>series</Table.Th>
            {timed && <Table.Th>time</Table.Th>}
            <Table.Th ta="right">value</Table.Th>
            <Table.Th ta="right">as stored</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.slice(0, MOST_ROWS).map((row, index) => (
            <Table.Tr key={index}>
              <Table.Td className="mono">{row.name}</Table.Td>
              {timed && <Table.Td className="mono">{row.time === null ? "" : clock(row.time)}</Table.Td>}
              <Table.Td ta="right">{row.shown}</Table.Td>
              <Table.Td ta="right" className="mono">
                {row.stored}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {rows.length > MOST_ROWS && (
        <p className="note">
          The first {MOST_ROWS} of {rows.length} values.
        </p>
      )}
    </Table.ScrollContainer>
  );
}
