/** A regular expression as Grafana writes it: between slashes, or bare, which then is the whole of what it matches. */
export function pattern(text: string, without = ""): RegExp | null {
  const [, body, flags] = /^\/(.*)\/([a-z]*)$/s.exec(text) ?? [null, `^${text}$`, ""];
  try {
    return new RegExp(body!, flags!.replace(without, ""));
  } catch {
    return null;
  }
}
