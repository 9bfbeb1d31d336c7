import { readExactJson } from "../formats/exact_json.ts";
import { headerFields } from "../model/repeatable.ts";
import type { Json, JsonObject } from "../model/json.ts";

/** The response to a request, as a test sees it: its body is under `json` if it is JSON. */
export async function seenResponse(response: Response): Promise<JsonObject> {
  const { status } = response;
  const headers = headerFields(response.headers) as JsonObject;
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
