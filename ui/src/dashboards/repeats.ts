// Panels and rows that are there once for each value of a variable, each with that value.

import type { PanelModel, Section } from "./model";
import type { Values } from "./variables";

const COLUMNS = 24;
const MOST_A_ROW = 4;
export const MOST_REPEATS = 50;

/** Sections with their repeats: a row's copies follow it, a panel's stand beside or below it and push others down. */
export function repeated(sections: Section[], each: Values): Section[] {
  return sections.flatMap((section) => {
    const values = valuesFor(section.row, each);
    if (!values) return [withRepeats(section, each)];
    return values.map((value) => {
      const own = { [section.row!.repeat!]: [value] };
      const panels = section.panels.map((panel) => scoped(panel, own));
      return withRepeats({ row: scoped(section.row!, own), panels }, { ...each, ...own });
    });
  });
}

function withRepeats(section: Section, each: Values): Section {
  let pushed = 0; // rows of the grid by which repeats have moved what comes below them
  const panels = section.panels.flatMap((panel) => {
    const at = panel.gridPos ?? { x: 0, y: 0, w: 12, h: 8 };
    const moved = { ...panel, gridPos: { ...at, y: at.y + pushed } };
    const values = valuesFor(panel, each);
    if (!values) return [pushed ? moved : panel];
    const copies = values.map((value, index) => ({ ...scoped(moved, { [panel.repeat!]: [value] }), gridPos: placed(moved, index, values.length) }));
    pushed += Math.max(0, ...copies.map(({ gridPos }) => gridPos.y + gridPos.h)) - (moved.gridPos.y + at.h);
    return copies;
  });
  return { ...section, panels };
}

function placed(panel: PanelModel, index: number, count: number): NonNullable<PanelModel["gridPos"]> {
  const at = panel.gridPos!;
  if (panel.repeatDirection === "v") return { ...at, y: at.y + index * at.h };
  const across = Math.max(1, Math.min(count, panel.maxPerRow ?? MOST_A_ROW));
  const w = Math.floor(COLUMNS / across);
  return { x: (index % across) * w, y: at.y + Math.floor(index / across) * at.h, w, h: at.h };
}

function valuesFor(panel: PanelModel | null, each: Values): string[] | null {
  const values = panel?.repeat ? each[panel.repeat] : undefined;
  return values ? values.slice(0, MOST_REPEATS) : null;
}

const scoped = (panel: PanelModel, own: Values): PanelModel => ({ ...panel, scope: { ...panel.scope, ...own } });
