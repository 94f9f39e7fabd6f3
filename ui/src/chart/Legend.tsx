// The lines of a chart by name, with their figures. A click shows one line alone, again all; with Ctrl it hides or shows one.

import { ScrollArea, Table, UnstyledButton } from "@mantine/core";
import { useMemo } from "react";

import { formatOf } from "../format";
import { summary, type Summary } from "../series";
import type { Line } from "./TimeChart";

export type Figure = keyof Summary;

const HEADS: Record<Figure, string> = { min: "min", max: "max", mean: "mean", last: "last", sum: "sum" };
const MOST_ROWS = 300;

interface Props {
  lines: Line[];
  unit: string;
  figures: Figure[];
  height: number;
  onChoose: (name: string, add: boolean) => void;
}

/** What is hidden after a click on a line. */
export function chosen(lines: Line[], name: string, add: boolean): Set<string> {
  const hidden = new Set(lines.filter((line) => !line.shown).map((line) => line.name));
  if (add) {
    if (!hidden.delete(name)) hidden.add(name);
    return hidden;
  }
  const alone = lines.every((line) => line.shown === (line.name === name));
  return alone ? new Set() : new Set(lines.map((line) => line.name).filter((other) => other !== name));
}

export function Legend({ lines, unit, figures, height, onChoose }: Props) {
  const summaries = useMemo(() => lines.slice(0, MOST_ROWS).map((line) => summary(line.values)), [lines]);
  return (
    <ScrollArea.Autosize mah={height} type="auto" viewportProps={{ tabIndex: 0, "aria-label": "Legend" }}>
      <Table className="legend" verticalSpacing={1} horizontalSpacing="xs" withRowBorders={false}>
        {figures.length > 0 && (
          <Table.Thead>
            <Table.Tr>
              <Table.Th>series</Table.Th>
              {figures.map((figure) => (
                <Table.Th key={figure} ta="right">
                  {HEADS[figure]}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
        )}
        <Table.Tbody>
          {lines.slice(0, MOST_ROWS).map((line, index) => (
            <Table.Tr key={line.name} data-hidden={!line.shown || undefined}>
              <Table.Td>
                <UnstyledButton
                  className="legend-name"
                  aria-pressed={line.shown}
                  title={`${line.name}\nClick: alone. Ctrl+click: hide or show.`}
                  onClick={(event) => onChoose(line.name, event.ctrlKey || event.metaKey)}
                >
                  <span className="swatch" style={{ background: line.colour }} />
                  {line.name}
                </UnstyledButton>
              </Table.Td>
              {figures.map((figure) => (
                <Table.Td key={figure} ta="right" className="figure">
                  {shownFigure(summaries[index]![figure], line, unit)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {lines.length > MOST_ROWS && <p className="note">… and {lines.length - MOST_ROWS} more, which the chart shows too.</p>}
    </ScrollArea.Autosize>
  );
}

function shownFigure(value: number | null, line: Line, unit: string): string {
  return value === null ? "–" : formatOf(line.unit ?? unit)(value, line.decimals);
}
