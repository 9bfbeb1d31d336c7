import { z } from "zod";
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponseObject,
} from "zod-openapi";
import { refusal } from "./answers.ts";
import { failuresOf, type Route, ROUTES } from "./routes.ts";

const ABOUT =
  `The API of whenthen, for programs. Times are milliseconds since the epoch, unless they are text (RFC 3339).
Values of secrets are replaced by \`***\`. Ids may contain slashes, which are sent as they are or as \`%2F\`.

A program that listens on this machine only, and has no WHENTHEN_TOKEN, needs no token for requests from this machine.`;

const STATUS: Record<number, string> = {
  200: "Done",
  202: "Accepted, and on disk",
  400: "The request is not valid; `error` says what was expected",
  401: "A token is missing or wrong",
  403: "Not for this person, page or host",
  404: "There is no such thing",
  405: "Another method is expected; the header `allow` has those that work",
  408: "The body was not complete in time",
  409: "It cannot be done now; `error` says why",
  413: "The body is too long",
  415: "The body is compressed in another way than gzip and deflate",
  422: "Values that do not fit; nothing was done",
  500: "Something went wrong; the program's log says what",
  503: "Not now; the header `retry-after` has the seconds after which another attempt makes sense",
};

const ACCESS: Record<NonNullable<Route["access"]>, ZodOpenApiOperationObject["security"]> = {
  operator: [{ operator: [] }, {}],
  person: [{ operator: [] }, { person: [] }, {}],
  open: [],
};

/** The description of the routes for programs, as OpenAPI 3.1. @param version of the program */
export function openApiDocument(version: string): object {
  const paths: ZodOpenApiPathsObject = {};
  for (const [tag, routes] of Object.entries(ROUTES)) {
    for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method]: operationOf(route, tag) };
  }
  return createDocument({
    openapi: "3.1.0",
    info: { title: "whenthen", version, description: ABOUT, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    servers: [{ url: "/" }],
    tags: Object.keys(ROUTES).map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        operator: { type: "http", scheme: "bearer", description: "The value of WHENTHEN_TOKEN" },
        person: { type: "http", scheme: "bearer", description: "The token of a person (`wt_…`)" },
      },
    },
  }, { allowEmptySchema: { custom: true } });
}

function operationOf(route: Route, tag: string): ZodOpenApiOperationObject {
  const { id, path, about, access = "operator", query, body } = route;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  return {
    operationId: id,
    tags: [tag],
    summary: about,
    security: ACCESS[access],
    requestParams: {
      ...names.length > 0 && { path: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) },
      ...query && { query },
    },
    ...body && {
      requestBody: { content: contentOf(body instanceof z.ZodType ? { "application/json": body } : body) },
    },
    responses: responsesOf(route),
  };
}

function contentOf(schemas: Record<string, z.ZodType>) {
  return Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, { schema }]));
}

function responsesOf(route: Route): Record<`${1 | 2 | 3 | 4 | 5}${string}`, ZodOpenApiResponseObject> {
  const { answers, type = "application/json", headers } = route;
  const own = Object.entries(answers).map(([status, schema]) => {
    const response: ZodOpenApiResponseObject = {
      description: STATUS[Number(status)],
      ...headers && Number(status) < 300 && { headers },
      ...schema && { content: contentOf({ [type]: schema }) },
    };
    return [status, response];
  });
  const refused = failuresOf(route).map((status) => [String(status), REFUSED[status]]);
  return Object.fromEntries([...own, ...refused]);
}

/** The refusals, each once for all routes. */
const REFUSED = Object.fromEntries(
  Object.entries(STATUS).map(([status, description]): [string, ZodOpenApiResponseObject] => {
    return [status, { id: `Refused${status}`, description, content: contentOf({ "application/json": refusal }) }];
  }),
);
