import type { Loaded } from "./loaded.ts";

/** Rule files that cannot be checked. */
export type Unready = Pick<Loaded, "broken" | "late">;

/** Whether an unreadable file is meant to be a rule, and not an action or a helper. */
export function looksLikeRule(path: string, text: string): boolean {
  if (path.endsWith(".ts")) return /\brule\s*\(/.test(text);
  return /^\s*["']?when["']?\s*:/m.test(text) || !/^["']?(inputs|output)["']?\s*:/m.test(text);
}

/** The rule id of each file, so that its last good version is found even if the file can no longer be read. */
export function idsByFile(previous: Loaded | undefined): Map<string, string> {
  const ids = new Map<string, string>([...previous?.broken ?? [], ...previous?.late ?? []]);
  for (const { id, file } of previous?.rules.values() ?? []) ids.set(file, id);
  return ids;
}
