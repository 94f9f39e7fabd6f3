// What holds for one field of a panel: its defaults, and the overrides that match it.

import type { Frame } from "./data";
import type { FieldDefaults, PanelModel } from "./model";

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

/** A regular expression as Grafana writes it: between slashes, or bare. */
export function pattern(text: string): RegExp | null {
  const [, body, flags] = /^\/(.*)\/([a-z]*)$/s.exec(text) ?? [null, text, ""];
  try {
    return new RegExp(body!, flags);
  } catch {
    return null;
  }
}

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
