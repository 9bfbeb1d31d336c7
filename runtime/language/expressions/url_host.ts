import { compile, ExpressionError } from "./expression.ts";

type Parts = (string | { expression: string; offset: number })[];

/** A value of `config` in the part of a URL that decides its host. */
interface ConfigInHost {
  /** Absent if the expression takes the whole config, or computes the name. */
  key?: string;
  /** Its position in the text. */
  offset: number;
  length: number;
}

/** Finds the config values in the part of a URL before its path: they decide which host gets the request. */
export function configInHost(parts: Parts): ConfigInHost[] {
  const found: ConfigInHost[] = [];
  // What is before a part; the result of an expression may itself be the scheme, or a whole URL.
  let before = "";
  for (const part of parts) {
    if (typeof part === "string") {
      before += part;
      continue;
    }
    if (/[/?#]/.test(behindScheme(before))) break;
    const { expression, offset } = part;
    for (const { path: [name, key], ...place } of compile(expression).references) {
      if (name !== "config") continue;
      found.push({ ...key !== undefined && { key }, offset: offset + place.offset, length: place.length });
    }
    before += "x";
  }
  return found;
}

function behindScheme(text: string): string {
  return withoutMethod(text).replace(/^https?:\/\//, "");
}

function withoutMethod(text: string): string {
  return text.replace(/^[A-Z]+ +/, "");
}

/**
 * Checks that a request goes to one of the hosts of the config fields that decide its host: other parts of the URL may have added
 * to what they say.
 * @param hosts by field
 * @throws ExpressionError
 */
export function expectHost(parts: Parts, url: string, hosts: Record<string, string[]>): void {
  const keys = configInHost(parts).flatMap(({ key }) => key !== undefined && Object.hasOwn(hosts, key) ? [key] : []);
  const found = keys.length === 0 ? null : URL.parse(withoutMethod(url));
  if (found === null) return;
  const allowed = keys.flatMap((key) => hosts[key]);
  if (allowed.includes(found.host) || allowed.includes(found.hostname)) return;
  throw new ExpressionError(
    `config.${keys[0]} decides the host of this request, which would be ${found.host}; its "hosts" are ${
      allowed.join(", ")
    }`,
  );
}
