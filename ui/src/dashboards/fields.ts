// What holds for one field of a panel: its defaults, and the overrides that match it.

import { selector } from "../series";
import type { Frame } from "./data";
import type { FieldDefaults, PanelModel } from "./model";
import { pattern } from "./pattern";
import { interpolated, inWords, type Values } from "./variables";

export interface Override {
  matcher?: { id?: string; options?: unknown };
  properties?: { id: string; value?: unknown }[];
}

/** What overrides look at: a field's name before it is renamed, the query it came from, what its values are. */
export interface Field {
  name: string;
  refId?: string;
  numeric: boolean;
}

const PROPERTIES = ["displayName", "unit", "decimals", "min", "max", "noValue", "color", "thresholds", "mappings", "custom.lineWidth", "custom.fillOpacity", "custom.hideFrom"];

const MATCHERS: Record<string, (options: unknown, field: Field) => boolean> = {
  byName: (options, field) => options === field.name,
  byNames: (options, field) => {
    const { names = [], mode } = (options ?? {}) as { names?: string[]; mode?: string };
    return names.includes(field.name) !== (mode === "exclude");
  },
  byRegexp: (options, field) => pattern(String(options ?? ""))?.test(field.name) ?? false,
  byFrameRefID: (options, field) => options === field.refId,
  byType: (options, field) => (options === "number") === field.numeric,
};

export const fieldOf = (frame: Frame): Field => ({ name: frame.name, refId: frame.target.refId, numeric: true });

/** A panel's defaults with what its overrides say of a field; the last one wins. */
export function settingsOf(panel: PanelModel, field: Field): FieldDefaults {
  let settings: FieldDefaults = panel.fieldConfig?.defaults ?? {};
  for (const { matcher, properties } of panel.fieldConfig?.overrides ?? []) {
    if (!MATCHERS[matcher?.id ?? ""]?.(matcher?.options, field)) continue;
    for (const { id, value } of properties ?? []) {
      if (!PROPERTIES.includes(id)) continue;
      const custom = /^custom\.(.+)$/.exec(id)?.[1];
      settings = custom ? { ...settings, custom: { ...settings.custom, [custom]: value } } : { ...settings, [id]: value };
    }
  }
  return settings;
}

const MACRO = /\$\{__(?:field|series)\.(name|displayName|labels)(?:\.(\w+)|\["?([^"\]]+)"?\])?\}/g;

/** What a field is called: by its `displayName`, in which its name, its labels and variables may stand, else its name. */
export function called(
  { displayName }: FieldDefaults,
  { name, labels }: Pick<Frame, "name" | "labels">,
  values: Values,
): string {
  const filled = interpolated(displayName ?? "", values, inWords).replace(
    MACRO,
    (_, of: string, plain?: string, quoted?: string) => {
      const label = plain ?? quoted;
      if (of !== "labels") return name;
      return label === undefined ? selector({ ...labels, __name__: "" }) : (labels[label] ?? "");
    },
  );
  return filled || name;
}

export interface Drawn {
  frame: Frame;
  index: number; // among all frames, which its colour goes by
  name: string;
  settings: FieldDefaults;
}

/** The frames of a panel with what holds for each, without those that are hidden. */
export function drawn(panel: PanelModel, frames: Frame[], values: Values): Drawn[] {
  return frames
    .map((frame, index) => ({ frame, index, settings: settingsOf(panel, fieldOf(frame)) }))
    .filter(({ settings }) => !hidden(settings))
    .map((one) => ({ ...one, name: called(one.settings, one.frame, values) }));
}

/** What overrides ask for that is not rendered here. */
export function unknownOverrides(overrides: Override[]): string[] {
  const matchers = overrides.map(({ matcher }) => matcher?.id ?? "none").filter((id) => !Object.hasOwn(MATCHERS, id));
  const properties = overrides.flatMap((one) => (one.properties ?? []).map(({ id }) => id)).filter((id) => !PROPERTIES.includes(id));
  return [
    ...(matchers.length ? [`overrides chosen ${[...new Set(matchers)].join(", ")}`] : []),
    ...(properties.length ? [`overrides of ${[...new Set(properties)].join(", ")}`] : []),
  ];
}

/** Whether a field is not drawn at all. */
export function hidden(settings: FieldDefaults): boolean {
  return settings.custom?.hideFrom?.viz ?? false;
}
