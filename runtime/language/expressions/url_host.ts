import { compile, ExpressionError } from "./expression.ts";

type Parts = (string | { expression: string; offset: number })[];

/** A value in the part of a URL that decides its host. */
interface NameInHost {
  /** Absent if the expression takes all that the name has, or computes the key. */
  key?: string;
  /** Its position in the text. */
  offset: number;
  length: number;
}

/** Finds the values of a name, such as `config`, in the part of a URL before its path: they decide which host gets the request. */
export function namesInHost(parts: Parts, wanted: string): NameInHost[] {
  const found: NameInHost[] = [];
  // What is before a part; the result of an expression may itself be the scheme, or a whole URL.
  let before = "";
  for (const part of parts) {
    if (typeof part === "string") {
      before += part;
      continue;
    }
    if (/[/?#]/.test(withoutMethod(before).replace(SCHEME, ""))) break;
    const { expression, offset } = part;
    for (const { path: [name, key], ...place } of compile(expression).references) {
      if (name !== wanted) continue;
      found.push({ ...key !== undefined && { key }, offset: offset + place.offset, length: place.length });
    }
    before += "x";
  }
  return found;
}

const SCHEME = /^https?:[/\\]*/i;

/** A URL without the method before it. */
export function withoutMethod(text: string): string {
  return text.replace(/^\s*(?:[A-Za-z]+ +)?/, "");
}

/**
 * Checks that a request goes to a host that the config fields in its URL allow: other parts of the URL may have changed the host.
 * @param hosts by field
 * @throws ExpressionError
 */
export function expectHost(parts: Parts, url: string, hosts: Record<string, string[]>): void {
  const keys = namesInHost(parts, "config").flatMap(({ key }) => {
    return key !== undefined && Object.hasOwn(hosts, key) ? [key] : [];
  });
  const found = keys.length === 0 ? null : URL.parse(withoutMethod(url));
  if (found === null) return;
  const allowed = keys.flatMap((key) => hosts[key]);
  if (allowed.includes(hostOf(found))) return;
  // Only the rule itself may choose another port or plain HTTP.
  const [first] = parts;
  const isInRule = typeof first === "string" && SCHEME.test(withoutMethod(first));
  if (allowed.includes(found.hostname) && (isInRule || found.protocol === "https:")) return;
  throw new ExpressionError(
    `config.${keys[0]} decides the host of this request, which would be ${hostOf(found)}; its "hosts" are ${
      allowed.join(", ")
    }`,
  );
}

/** The host of a URL, with its port unless that is 443. */
export function hostOf({ protocol, host, port }: URL): string {
  return protocol === "http:" && port === "" ? `${host}:80` : host;
}
