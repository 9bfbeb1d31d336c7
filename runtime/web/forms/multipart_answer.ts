import { type Multipart, readMultipart } from "../../formats/multipart.ts";
import { FILE_BYTES } from "../../language/fields/field_value.ts";
import { messageOf } from "../../model/errors.ts";
import type { Field } from "../../model/rule.ts";
import { MAX_INPUTS } from "../console/shell.ts";
import { readRequestBody } from "../request.ts";

/** A multipart form with the files that the fields ask for; or the answer if it is refused, as JSON. */
export async function readForm(request: Request, fields: Record<string, Field>): Promise<Multipart | Response> {
  const sizes = Object.values(fields).filter(({ type }) => type === "file").map(({ max = FILE_BYTES }) => max);
  const body = await readRequestBody(request, sizes.reduce((sum, size) => sum + size, MAX_INPUTS));
  if ("refused" in body) return body.refused;
  try {
    return await readMultipart(body.bytes, request.headers.get("content-type")!);
  } catch (error) {
    return Response.json({ error: messageOf(error) }, { status: 400 });
  }
}

/** The texts of a form, the last one of each name. */
export function lastOfEach({ fields }: Multipart): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, [value].flat().at(-1)!]));
}
