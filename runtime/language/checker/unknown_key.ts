import { nearest } from "../nearest.ts";

/** What to do about a key that means nothing: the nearest known one, else where it belongs, else all that are known. */
export function hintAtUnknownKey(key: string, known: string[]): string {
  const close = nearest(key, known);
  if (close) return `did you mean ${JSON.stringify(close)}?`;
  if (known.includes("call")) return `what is handed over stands under with, as in with: { ${key}: … }`;
  if (key === "method" && known.includes("http")) return "write it before the URL, as in http: POST https://…";
  return `known here: ${known.join(", ")}`;
}
