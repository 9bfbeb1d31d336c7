import type { Json } from "../../model/json.ts";

/**
 * JSON text of a value without secrets. The whole text is tried first, as most hold none; where one is found, each
 * string and key is masked by itself, for a masked piece of a number or of the syntax would leave no JSON.
 */
export function masked(value: Json, mask: (text: string) => string): string {
  const text = JSON.stringify(value);
  return mask(text) === text ? text : JSON.stringify(maskLeaves(value, mask));
}

/** The value itself where it holds no secrets, else a copy without them: what the JSON text of it would be read back as. */
export function maskedValue(value: Json, mask: (text: string) => string): Json {
  const text = JSON.stringify(value);
  return mask(text) === text ? value : maskLeaves(value, mask);
}

function maskLeaves(value: Json, mask: (text: string) => string): Json {
  if (typeof value === "string") return mask(value);
  if (typeof value === "number") return mask(String(value)) === String(value) ? value : mask(String(value));
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => maskLeaves(item, mask));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [mask(key), maskLeaves(item, mask)]));
}
