import { describe, expect, it } from "vitest";

import type { PanelModel } from "./model";
import { MOST_REPEATS, repeated } from "./repeats";

const panel = (y: number, more: Partial<PanelModel> = {}): PanelModel => ({ type: "stat", gridPos: { x: 0, y, w: 12, h: 4 }, ...more });
const places = (panels: PanelModel[]) => panels.map(({ gridPos, scope }) => [gridPos!.x, gridPos!.y, gridPos!.w, scope?.["host"]?.[0]]);

describe("repeats", () => {
  it("stand beside each other, then in the next line, and push others down", () => {
    const [section] = repeated([{ row: null, panels: [panel(0, { repeat: "host", maxPerRow: 2 }), panel(4)] }], { host: ["a", "b", "c"] });
    expect(places(section!.panels)).toEqual([
      [0, 0, 12, "a"],
      [12, 0, 12, "b"],
      [0, 4, 12, "c"],
      [0, 8, 12, undefined],
    ]);
  });

  it("stand below each other where they are asked to", () => {
    const [section] = repeated([{ row: null, panels: [panel(0, { repeat: "host", repeatDirection: "v" })] }], { host: ["a", "b"] });
    expect(places(section!.panels)).toEqual([
      [0, 0, 12, "a"],
      [0, 4, 12, "b"],
    ]);
  });

  it("of a row repeat its panels", () => {
    const found = repeated([{ row: { type: "row", title: "$host", repeat: "host" }, panels: [panel(1)] }], { host: ["a", "b"] });
    expect(found.map(({ row, panels }) => [row!.scope!["host"], places(panels)])).toEqual([
      [["a"], [[0, 1, 12, "a"]]],
      [["b"], [[0, 1, 12, "b"]]],
    ]);
  });

  it("of a variable that is not there leave a panel as it is", () => {
    const sections = [{ row: null, panels: [panel(0, { repeat: "zone" })] }];
    expect(repeated(sections, {})).toEqual(sections);
  });

  it("have an end", () => {
    const values = Array.from({ length: 200 }, (_, index) => String(index));
    expect(repeated([{ row: null, panels: [panel(0, { repeat: "host" })] }], { host: values })[0]!.panels).toHaveLength(MOST_REPEATS);
  });
});
