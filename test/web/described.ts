import assert from "node:assert/strict";
import type { Answer } from "./harness.ts";

/** The parts of an OpenAPI document that tests read. */
export interface Described {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object>; responses: Record<string, DescribedAnswer> };
}

export interface Operation {
  operationId: string;
  summary: string;
  security: Record<string, string[]>[];
  parameters: { in: string; name: string; required?: boolean; schema: object }[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, { $ref: string } | DescribedAnswer>;
}

interface DescribedAnswer {
  description: string;
  headers?: Record<string, { required?: boolean }>;
  content?: Record<string, { schema: object }>;
}

/** The answers that tests of this file have got so far: `get /api/runs/{id} 200`. */
export const seen = new Set<string>();

type Check = (operation: string, method: string, status: number, answer: Answer) => void;

/** A description of the API, and what compares answers with it. */
export interface Api {
  document: Described;
  check: Check;
}

let source: Promise<Api> | undefined;
let described: Described | undefined;

/** The description of the API. */
export async function describeApi(): Promise<Described> {
  const { openApiDocument } = await import("../../runtime/web/openapi/document.ts");
  return described ??= JSON.parse(JSON.stringify(openApiDocument("1.2.3")));
}

/** Compares the answer to a request with its description, if it is one for programs. Hooks are not compared: rules answer for them. */
export async function checkAnswer(method: string, path: string, answer: Answer): Promise<void> {
  const [pathname] = path.split("?");
  const isEvents = pathname === "/events" && method !== "GET";
  if (isEvents || /^\/(api\/.*|healthz|readyz|metrics)$/.test(pathname)) await compare(method, pathname, answer);
}

/** The same for any path. @param api the description. @default that of the source */
export async function compare(method: string, pathname: string, answer: Answer, api?: Api): Promise<void> {
  const { document, check } = api ?? await (source ??= describeApi().then(openApi));
  const operation = operationAt(document.paths, method.toLowerCase(), pathname);
  if (operation === undefined) {
    // Without access, nobody learns what there is.
    assert.ok(
      [400, 401, 403, 404].includes(answer.status),
      `${method} ${pathname} is not described in runtime/web/openapi/routes.ts`,
    );
    return;
  }
  seen.add(`${method.toLowerCase()} ${operation} ${answer.status}`);
  check(operation, method.toLowerCase(), answer.status, answer);
}

/** The path that describes a request: of those that fit, the one with the most text of its own. */
function operationAt(paths: Described["paths"], method: string, pathname: string): string | undefined {
  const fits = Object.keys(paths).filter((path) => {
    const pattern = path.replaceAll(/[.]/g, "\\.").replaceAll(/\{\w+\}/g, ".+");
    return paths[path][method] !== undefined && new RegExp(`^${pattern}$`).test(pathname);
  });
  return fits.sort((a, b) => b.replaceAll(/\{\w+\}/g, "").length - a.replaceAll(/\{\w+\}/g, "").length)[0];
}

/** What compares answers with a description. */
export async function openApi(document: Described): Promise<Api> {
  const { Ajv2020 } = await import("ajv/dist/2020.js");
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema(document, "api");
  const pointer = (...keys: string[]) =>
    keys.map((key) => "/" + key.replaceAll("~", "~0").replaceAll("/", "~1")).join("");
  const check: Check = (path, method, status, answer) => {
    const what = `${method} ${path} ${status}`;
    const given = document.paths[path][method].responses[status];
    assert.ok(given, `${what} is not described in runtime/web/openapi/routes.ts: ${JSON.stringify(answer.body)}`);
    const place = "$ref" in given ? given.$ref : `#${pointer("paths", path, method, "responses", String(status))}`;
    const response = "$ref" in given ? document.components.responses[given.$ref.split("/").at(-1)!] : given;
    for (const [name, { required }] of Object.entries(response.headers ?? {})) {
      assert.ok(!required || answer.headers.has(name), `${what} has no header ${name}`);
    }
    if (response.content === undefined) return assert.equal(answer.body, "", what);
    const [type] = (answer.headers.get("content-type") ?? "").split(";");
    assert.ok(response.content[type], `${what} is of the type ${type}`);
    const ref = `api${place}${pointer("content", type, "schema")}`;
    const validate = ajv.getSchema(ref) ?? ajv.compile({ $ref: ref });
    assert.ok(validate(answer.body), `${what}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(answer.body)}`);
  };
  return { document, check };
}
