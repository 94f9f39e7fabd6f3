// Answers as tables: moments by series, or series with their value of one moment.

import { Table, Text } from "@mantine/core";

import type { Result } from "../api";
import { formatOf } from "../format";
import { number, selector, type Column } from "../series";
import { clock } from "../time";

const MOST_COLUMNS = 50;
const MOST_ROWS = 500;

export function RangeTable({ times, columns, unit }: { times: number[]; columns: Column[]; unit: string }) {
  const format = formatOf(unit);
  const shown = columns.slice(0, MOST_COLUMNS);
  const rows = times.map((_, index) => index).reverse().filter((index) => shown.some((column) => column.values[index] != null));
  if (!shown.length) return <Text c="dimmed">No series in this range of time.</Text>;
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

export function InstantTable({ results, unit }: { results: (Result | undefined)[]; unit: string }) {
  const format = formatOf(unit);
  const rows = results.flatMap((result) => (result?.resultType === "matrix" ? [] : (result?.result ?? [])));
  if (!rows.length) return <Text c="dimmed">No series at this moment.</Text>;
  return (
    <Table.ScrollContainer minWidth={400} maxHeight={560} scrollAreaProps={{ viewportProps: { tabIndex: 0, "aria-label": "Values" } }}>
      <Table striped stickyHeader fz="sm">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>series</Table.Th>
            <Table.Th ta="right">value</Table.Th>
            <Table.Th ta="right">as stored</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.slice(0, MOST_ROWS).map((series, index) => (
            <Table.Tr key={index}>
              <Table.Td className="mono">{selector(series.metric)}</Table.Td>
              <Table.Td ta="right">{series.value ? format(number(series.value[1])) : "a histogram"}</Table.Td>
              <Table.Td ta="right" className="mono">
                {series.value?.[1] ?? ""}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {rows.length > MOST_ROWS && <p className="note">The first {MOST_ROWS} of {rows.length} series.</p>}
    </Table.ScrollContainer>
  );
}
