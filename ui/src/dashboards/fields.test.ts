import { describe, expect, it } from "vitest";

import { called, hidden, settingsOf, unknownOverrides, type Override } from "./fields";
import type { PanelModel } from "./model";

const panel = (...overrides: Override[]): PanelModel => ({ type: "stat", fieldConfig: { defaults: { unit: "s", decimals: 1 }, overrides } });
const field = { name: "web-1", refId: "B", numeric: true };
const unit = { properties: [{ id: "unit", value: "bytes" }] };

describe("the settings of a field", () => {
  it.each<[string, unknown, boolean]>([
    ["byName", "web-1", true],
    ["byName", "web", false],
    ["byNames", { names: ["a", "web-1"] }, true],
    ["byNames", { mode: "exclude", names: ["a"] }, true],
    ["byNames", { mode: "exclude", names: ["web-1"] }, false],
    ["byRegexp", "/^web-\\d$/", true],
    ["byRegexp", "/WEB/i", true],
    ["byRegexp", "web", false],
    ["byRegexp", "web-.", true],
    ["byRegexp", "/(/", false],
    ["byFrameRefID", "B", true],
    ["byFrameRefID", "A", false],
    ["byType", "number", true],
    ["byType", "string", false],
    ["byValue", {}, false],
  ])("%s %j", (id, options, matches) => {
    expect(settingsOf(panel({ matcher: { id, options }, ...unit }), field)).toEqual({ unit: matches ? "bytes" : "s", decimals: 1 });
  });

  it("has what the last override says, and customs beside each other", () => {
    const matcher = { id: "byName", options: "web-1" };
    const settings = settingsOf(
      panel(
        { matcher, properties: [{ id: "unit", value: "bytes" }, { id: "custom.lineWidth", value: 3 }] },
        { matcher, properties: [{ id: "unit", value: "ms" }, { id: "custom.hideFrom", value: { viz: true } }] },
      ),
      field,
    );
    expect(settings).toMatchObject({ unit: "ms", custom: { lineWidth: 3 } });
    expect(hidden(settings)).toBe(true);
  });

  it("says what it does not know", () => {
    const overrides = [{ matcher: { id: "byValue" }, properties: [{ id: "unit" }, { id: "links" }] }];
    expect(unknownOverrides(overrides)).toEqual(["overrides chosen byValue", "overrides of links"]);
    expect(unknownOverrides([{ matcher: { id: "byName" }, ...unit }])).toEqual([]);
  });
});

it.each([
  ["${__field.labels.host}", "web-1"],
  ['${__field.labels["disk"]} on ${__series.name}', "x on up"],
  ["${__field.name} of $zone", "up of north + $1"],
  ["${__field.labels}", '{host="web-1", disk="x"}'],
  ["${__field.labels.none}", "up"],
  ["", "up"],
])("a field with the display name %j is called %s", (displayName, name) => {
  const frame = { name: "up", labels: { __name__: "up", host: "web-1", disk: "x" } };
  expect(called({ displayName }, frame, { zone: ["north", "$1"] })).toBe(name);
});
