import { z } from "zod";
import { type Connection, GRANTS, isLoopback, OUT_OF_BAND } from "../../connections/connection.ts";
import { KEY_NAME, MAKE_KEY, Seal } from "../../connections/vault.ts";
import { SECRET_NAME } from "../../language/arg_types.ts";
import { hostProblem } from "../../language/fields/field_value.ts";
import type { Problem } from "../../model/problem.ts";
import { NAMED, type SecretFault } from "../../secrets/secrets.ts";
import type { Settings } from "../loaded.ts";
import type { YamlFile } from "../yaml/yaml.ts";

/** A connection before its name and its position are known. */
type Unplaced<C> = C extends Connection ? Omit<C, "name" | "at"> : never;

const NAME = /^[A-Za-z][\w-]*$/;

const text = (expected: string) => z.string({ error: `expected ${expected}` }).min(1, `expected ${expected}`);

/** The name of a secret. @param of what it is the name of, such as "the token" */
export const secretName = (of: string, example: string) =>
  text(`the name of a secret such as ${example}`).superRefine((name, context) => {
    if (SECRET_NAME.test(name)) return;
    const message = `expected the name of a secret such as ${example}, never ${of} itself\n${NAMED}`;
    context.addIssue({ code: "custom", message, params: { hidden: true } });
  });

/** A host as URLs have it, with its port unless that is 443. */
const host = text("a host such as app.asana.com").superRefine((value, context) => {
  const message = hostProblem(value);
  if (message !== undefined) context.addIssue({ code: "custom", message });
});

const endpoint = (example: string) =>
  text(`an address such as ${example}`).superRefine((value, context) => {
    const url = /^https?:\/\//.test(value) ? URL.parse(value) : null;
    const fail = (message: string) => context.addIssue({ code: "custom", message });
    if (url === null) return fail(`expected an address with https://, such as ${example}, got "${value}"`);
    if (url.protocol !== "https:" && !isLoopback(url.hostname)) {
      fail(`tokens are not sent unencrypted; write https://${url.host}`);
    }
  });

const serverShape = {
  issuer: endpoint("https://login.example.org").optional(),
  authorize: endpoint("https://app.asana.com/-/oauth_authorize").optional(),
  token: endpoint("https://app.asana.com/-/oauth_token").optional(),
  device: endpoint("https://login.example.org/device").optional(),
  revoke: endpoint("https://app.asana.com/-/oauth_revoke").optional(),
  redirect: text(`an address, or ${OUT_OF_BAND}`)
    .refine((value) => value === OUT_OF_BAND || URL.canParse(value), `expected an address, or ${OUT_OF_BAND}`)
    .optional(),
  auth: z.enum(["basic", "post"], { error: "expected basic or post" }).optional(),
  parameters: z.record(z.string(), z.string({ error: "expected text" }), {
    error: "expected further parameters, such as { access_type: offline }",
  }).default({}),
};
const server = z.strictObject(serverShape, {
  error: "expected { issuer: https://… }, or { authorize: https://…, token: https://… }",
});

const hosts = z.array(host, { error: "expected a list of hosts such as [app.asana.com]" })
  .min(1, "expected the hosts that get the token, such as [app.asana.com]");

const connectionShape = {
  bearer: secretName("the token", "ASANA_PAT").optional(),
  oauth: server.optional(),
  client: secretName("the id", "ASANA_ID").optional(),
  secret: secretName("the secret", "ASANA_SECRET").optional(),
  scopes: z.array(text("a scope"), { error: "expected a list of scopes such as [default]" }).default([]),
  grant: z.enum(GRANTS, { error: `expected one of ${GRANTS.join(", ")}` }).default("authorization_code"),
  hosts,
};

const EXAMPLE = "such as { bearer: ASANA_PAT, hosts: [app.asana.com] }";

/** `connections`: accounts at other services, by name. */
export const connectionsSchema = z.record(
  z.string().regex(NAME, "expected the name of a connection: a letter, then letters, digits, _ and -"),
  z.strictObject(connectionShape, { error: `expected a connection, ${EXAMPLE}` }).transform(readConnection),
  { error: `expected connections by name, ${EXAMPLE}` },
);

/** The known keys of the blocks, for hints. */
export const CONNECTION_KEYS = {
  "connections.*": Object.keys(connectionShape),
  "connections.*.oauth": Object.keys(serverShape),
};

type Written = z.output<z.ZodObject<typeof connectionShape>>;

function readConnection(
  { bearer, oauth, client, secret, scopes, grant, hosts }: Written,
  context: z.RefinementCtx,
): Unplaced<Connection> {
  const refuse = (path: string[], message: string) => {
    context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  };
  if (bearer !== undefined) {
    const other = Object.entries({ oauth, client, secret }).find(([, value]) => value !== undefined)?.[0];
    return other === undefined
      ? { kind: "bearer", bearer, hosts }
      : refuse([other], `"bearer" is a token that you have already; remove one of the two`);
  }
  if (oauth === undefined) return refuse([], "expected bearer: with the name of a secret, or oauth: with a server");
  if (client === undefined) return refuse([], "oauth needs client: with the name of the secret with the client's id");
  if (oauth.issuer === undefined && oauth.token === undefined) {
    return refuse(["oauth"], "expected issuer: whose metadata name the addresses, or token: and authorize:");
  }
  if (grant === "client_credentials" && secret === undefined) {
    return refuse(["grant"], "client_credentials need secret: with the name of a secret");
  }
  const needed = { authorization_code: "authorize", device_code: "device", client_credentials: "token" } as const;
  if (oauth.issuer === undefined && oauth[needed[grant]] === undefined) {
    return refuse(["oauth"], `the grant ${grant} needs ${needed[grant]}: with an address, or issuer:`);
  }
  return { kind: "oauth", oauth, client, ...secret !== undefined && { secret }, scopes, grant, hosts };
}

/** Adds the names and the positions. */
export function placeConnections(
  connections: z.output<typeof connectionsSchema> = {},
  at: (name: string) => Problem["at"],
): Connection[] {
  return Object.entries(connections).map(([name, connection]): Connection => ({ ...connection, name, at: at(name) }));
}

/** Warns about missing and weak secrets of connections, and about a missing `WHENTHEN_KEY`. */
export function checkConnections(
  yaml: YamlFile | undefined,
  { connections }: Settings,
  secrets: { fault(name: string): SecretFault | undefined; peek(name: string): string | undefined },
): Problem[] {
  if (yaml === undefined) return [];
  const { origin } = yaml;
  const warn = (path: string[], fault: SecretFault): Problem => ({
    severity: "warning",
    file: origin.file,
    at: origin.at(path, "value"),
    ...fault,
  });
  const problems = connections.flatMap((connection) => {
    const named = connection.kind === "bearer"
      ? { bearer: connection.bearer }
      : connection.secret === undefined
      ? {}
      : { secret: connection.secret };
    const found = Object.entries(named).flatMap(([key, name]) => {
      const fault = secrets.fault(name);
      return fault === undefined ? [] : [warn(["connections", connection.name, key], fault)];
    });
    // A client's id is not secret, so it may be short.
    if (connection.kind === "oauth" && secrets.peek(connection.client) === undefined) {
      found.push(warn(["connections", connection.name, "client"], secrets.fault(connection.client)!));
    }
    return found;
  });
  const first = connections.find(({ kind, ...rest }) =>
    kind === "oauth" && !("grant" in rest && rest.grant === "client_credentials")
  );
  const key = first && Seal.of(secrets.peek(KEY_NAME));
  if (typeof key === "string") {
    const message = `its tokens cannot be kept: ${key.replace(`: ${MAKE_KEY}`, "")}`;
    problems.unshift(warn(["connections", first!.name], { message, hint: MAKE_KEY }));
  }
  return problems;
}
