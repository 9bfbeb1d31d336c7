import type { Checking, Path } from "./checking.ts";
import type { Kind } from "../kind.ts";
import { nearest } from "../nearest.ts";

/**
 * Finds the key of an entry that names its kind. A key that is also an option of another kind present, or of all kinds, is not
 * the kind there: `every` next to `poll`, `if` on any step.
 */
export function findKind(
  checking: Checking,
  path: Path,
  raw: Record<string, unknown>,
  kinds: Record<string, Kind>,
  common: string[],
): Kind | undefined {
  const keys = Object.keys(raw);
  const present = keys.filter((key) => Object.hasOwn(kinds, key));
  const named = present.filter((key) => {
    return !present.some((other) =>
      other !== key && (common.includes(key) || Object.hasOwn(kinds[other].options, key))
    );
  });
  if (named.length === 1) return kinds[named[0]];
  const names = Object.keys(kinds);
  if (named.length > 1) {
    const message = `expected one kind, got ${named.map((key) => JSON.stringify(key)).join(" and ")}`;
    checking.error([...path, named[1]], "key", message, "make it two entries, each with its own -");
    return undefined;
  }
  const expected = `expected one of ${names.map((name) => JSON.stringify(name)).join(", ")}`;
  const misspelt = keys.find((key) => !common.includes(key) && nearest(key, names)) ??
    keys.find((key) => !common.includes(key));
  if (misspelt === undefined) {
    const got = keys.length > 0 ? `only ${keys.map((key) => JSON.stringify(key)).join(", ")}` : "nothing";
    checking.error(path, "value", `${expected}, got ${got}`, "say what it is, as in - http: POST https://example.org/");
    return undefined;
  }
  const close = nearest(misspelt, names);
  const hint = close ? `did you mean ${JSON.stringify(close)}?` : "one key of each entry says what it is";
  checking.error([...path, misspelt], "key", `${expected}, got ${JSON.stringify(misspelt)}`, hint);
  return undefined;
}
