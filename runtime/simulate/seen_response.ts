import { readExactJson } from "../model/exact_json.ts";
import type { Json, JsonObject } from "../model/json.ts";

/** An answer to a request, as a test sees it: its body under `json` where it is JSON. */
export async function seenResponse(response: Response): Promise<JsonObject> {
  const { status } = response;
  const headers = Object.fromEntries(response.headers);
  const text = await response.text();
  const json = parse(text);
  return json === undefined ? { status, headers, body: text } : { status, headers, json };
}

function parse(text: string): Json | undefined {
  try {
    return readExactJson(text) as Json;
  } catch {
    return undefined;
  }
}
