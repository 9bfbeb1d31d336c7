import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { z } from "zod";
import { UsageError } from "../model/errors.ts";
import { parseJson } from "../formats/parse_json.ts";
import { readRequestBody } from "./request_body.ts";

const MAX_BODY = 1024 * 1024;

/**
 * Reads and checks a request's query.
 * @throws UsageError if it is invalid
 */
export function queryOf<T>(c: Context, schema: z.ZodType<T>): T {
  return check(schema, c.req.query(), "query");
}

/**
 * Reads and checks a request's body as JSON; an empty one is an empty object.
 * @throws UsageError if it is invalid
 */
export async function bodyOf<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const body = await readRequestBody(c.req.raw, MAX_BODY);
  if ("refused" in body) throw new HTTPException(400, { res: body.refused });
  const text = new TextDecoder().decode(body.bytes);
  try {
    return check(schema, text === "" ? {} : parseJson(text), "body");
  } catch (error) {
    if (error instanceof SyntaxError) throw new UsageError(`The body is not JSON: ${error.message}`);
    throw error;
  }
}

function check<T>(schema: z.ZodType<T>, given: unknown, what: string): T {
  const checked = schema.safeParse(given);
  if (checked.success) return checked.data;
  throw new UsageError(`The ${what} is not valid: ${z.prettifyError(checked.error).replaceAll("\n", " ")}`);
}
