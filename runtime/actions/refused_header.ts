import type { Json } from "../model/json.ts";
import { type Repeatable, toHeaders } from "../model/repeatable.ts";

/**
 * Finds a header that no host accepts. The errors of the hosts themselves may contain its value, which may be a secret.
 * @param shown the headers as they are recorded
 */
export function refusedHeader(headers: Record<string, Repeatable>, shown: Record<string, Json>): string {
  const name = Object.keys(headers).find((name) => !isTaken(name, headers[name]))!;
  return `the header ${JSON.stringify(name)} with the value ${JSON.stringify(shown[name])}: ` +
    "expected a name of letters, digits and dashes, and a value of one line";
}

function isTaken(name: string, value: Repeatable): boolean {
  try {
    toHeaders({ [name]: value });
    return true;
  } catch {
    return false;
  }
}
