// Under which name a dashboard is kept: Grafana's uid if the file has one, else one made from its title.

interface Named {
  uid?: unknown;
  title?: unknown;
  dashboard?: Named;
}

export function uidOf(text: string): string {
  let document: Named = {};
  try {
    document = JSON.parse(text) as Named;
  } catch {
    // The server says what is wrong with it.
  }
  const { uid, title } = document?.dashboard ?? document ?? {};
  if (typeof uid === "string" && /^[A-Za-z0-9_-]{1,40}$/.test(uid)) return uid;
  const made = String(title ?? "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 32);
  return made || "dashboard";
}
