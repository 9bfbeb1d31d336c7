import { nearest } from "../nearest.ts";

/** The hint for an unknown key: the nearest known key, else where it belongs, else all known keys. */
export function hintAtUnknownKey(key: string, known: string[]): string {
  const close = nearest(key, known);
  if (close) return `did you mean ${JSON.stringify(close)}?`;
  if (known.includes("call")) return `what is handed over stands under with, as in with: { ${key}: … }`;
  if (key === "method" && known.includes("http")) return "write it before the URL, as in http: POST https://…";
  return `known here: ${known.join(", ")}`;
}
