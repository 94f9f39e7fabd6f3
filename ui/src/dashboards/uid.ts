// Under which name a dashboard is kept: Grafana's uid if the file has one, else one made from its title.

import type { QueryClient } from "@tanstack/react-query";

import { get } from "../api";
import type { Entry } from "./List";

interface Document {
  uid?: unknown;
  title?: unknown;
  dashboard?: Document;
}

export interface Uid {
  uid: string;
  given: boolean; // by the file, not made from its title
}

const MOST_LETTERS = 40;
const RESERVED = ["stars"]; // the server keeps its favourites under it

export function uidOf(text: string): Uid {
  let document: Document = {};
  try {
    document = JSON.parse(text) as Document;
  } catch {
    // The server says what is wrong with it.
  }
  const { uid, title } = document?.dashboard ?? document ?? {};
  if (typeof uid === "string" && /^[A-Za-z0-9_-]{1,40}$/.test(uid)) return { uid, given: true };
  const made = String(title ?? "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 32);
  return { uid: made || "dashboard", given: false };
}

/** The uid if nothing has it yet, else the first that is free with a number behind it. */
export function freeUid(uid: string, taken: string[]): string {
  const all = new Set([...taken, ...RESERVED]);
  for (let number = 1; ; number += 1) {
    const suffix = number > 1 ? `-${number}` : "";
    const free = uid.slice(0, MOST_LETTERS - suffix.length) + suffix;
    if (!all.has(free)) return free;
  }
}

/** All uids there are now. */
export async function takenUids(client: QueryClient): Promise<string[]> {
  const { dashboards } = await client.fetchQuery({
    queryKey: ["dashboards"],
    queryFn: () => get<{ dashboards: Entry[] }>("/admin/dashboards"),
    staleTime: 0,
  });
  return dashboards.map(({ uid }) => uid);
}
