// What the operator asks and changes about tenants: the routes below /admin/tenants and /admin/limits.

import { get, send } from "../api";

export interface Limit {
  name: string;
  value: number;
  default: number; // the built-in one
  fallback: number; // without the setting: the built-in one, or of a tenant what holds for all
  of_tenant: boolean;
  live: boolean; // a running server goes by a new value at once
}

export interface Tenant {
  name: string;
  url: string;
  keys: string[]; // beginnings of their SHA-256, the newest last
  limits: Limit[];
}

export interface Fresh extends Tenant {
  key: string; // the server does not answer it again
}

export interface Details extends Tenant {
  holdings: { text: string };
}

export interface Limits {
  limits: Limit[];
  at_restart?: string[]; // set, but not what the running server goes by
}

export interface AgentSettings {
  trust_anchor: boolean;
  key_place: string;
  notations: Record<string, string>;
}

export type Values = Record<string, number | null>;

const path = (tenant: string, rest = "") => `/admin/tenants/${encodeURIComponent(tenant)}${rest}`;

export const listed = () => get<{ tenants: Tenant[]; leaving: string[] }>("/admin/tenants");
export const details = (tenant: string) => get<Details>(path(tenant));
export const limitsOfAll = () => get<Limits>("/admin/limits");
export const agentSettings = (tenant: string) => get<AgentSettings>("/admin/agent-settings", { tenant });

export const add = (name: string) => send<Fresh>("POST", "/admin/tenants", JSON.stringify({ name })) as Promise<Fresh>;
export const remove = (tenant: string) => send("DELETE", path(tenant));
export const addKey = (tenant: string) => send<Fresh>("POST", path(tenant, "/keys")) as Promise<Fresh>;
export const revokeKey = (tenant: string, digest: string) => send("DELETE", path(tenant, `/keys/${digest}`));
export const setLimits = (tenant: string | null, values: Values) =>
  send<Limits>("PATCH", tenant === null ? "/admin/limits" : path(tenant, "/limits"), JSON.stringify(values)) as Promise<Limits>;

/** The text of a field: empty where the default holds. */
export function textOf(limit: Limit, ofTenant: boolean): string {
  const own = ofTenant ? limit.of_tenant : limit.value !== limit.fallback;
  return own ? String(limit.value) : "";
}

/** What a form's fields change, as the server takes it; a sentence where one is no number. */
export function changes(limits: Limit[], fields: Record<string, string>, ofTenant: boolean): Values | string {
  const values: Values = {};
  for (const limit of limits) {
    const text = fields[limit.name]?.trim();
    if (text === undefined || text === textOf(limit, ofTenant)) continue;
    if (text !== "" && !/^\d+(\.\d+)?$/.test(text)) return `${limit.name}: "${text}" is not a number`;
    values[limit.name] = text === "" ? null : Number(text);
  }
  return values;
}

/** The retentions that would become shorter. */
export function shortened(limits: Limit[], values: Values): string[] {
  return limits
    .filter(({ name }) => name.endsWith("_retention_days") && name in values)
    .filter((limit) => (values[limit.name] ?? limit.fallback) < limit.value)
    .map(({ name }) => (name.startsWith("log_") ? "logs" : "samples"));
}

/** What each tenant's counters of any of these names grew by in the last day. */
export function grown(...counters: string[]): string {
  return `sum by (tenant) (${counters.map((counter) => `increase(${counter}[24h])`).join(" or ")})`;
}
