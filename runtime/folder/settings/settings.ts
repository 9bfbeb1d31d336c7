import { statSync } from "node:fs";
import { basename, relative, resolve } from "node:path";
import { platform } from "node:process";
import { z } from "zod";
import { parseAddress, type SmtpSettings } from "../../actions/mailer.ts";
import { readRegularFileSync } from "../../host/regular_file.ts";
import { parseSize } from "../../language/arg_types.ts";
import { pathOf } from "../../language/checker/sentences.ts";
import { hintAtUnknown } from "../../language/hints.ts";
import { DAY, parseDuration, parseRate } from "../../model/duration.ts";
import { codeOf, messageOf } from "../../model/errors.ts";
import type { Person } from "../../model/form.ts";
import { isObject, type Json } from "../../model/json.ts";
import { guarded, type Problem } from "../../model/problem.ts";
import { isPasswordHash, isTokenHash } from "../../secrets/passwords.ts";
import type { SecretFault } from "../../secrets/secrets.ts";
import type { Settings } from "../loaded.ts";
import type { YamlFile } from "../yaml/yaml.ts";
import { configSourceSchema } from "./config_source.ts";
import { CONNECTION_KEYS, connectionsSchema, placeConnections, secretName } from "./connection_settings.ts";

/** A person's id, or a group's name: the entries of `to:` that are not e-mail addresses. */
const ID = /^[A-Za-z0-9][\w.-]*$/;
const NAME = "letters, digits, _, - and .";
const REMEDY = "make one with: whenthen people add";

const text = (expected: string) => z.string({ error: `expected ${expected}` }).trim().min(1, `expected ${expected}`);
const group = text("the name of a group").regex(ID, `expected the name of a group: ${NAME}`);

const email = "expected an e-mail address";

/** One entry of `people`. */
const personSchema = z.strictObject({
  name: text("a name").optional(),
  email: z.string({ error: email }).refine((text) => parseAddress(text)?.address === text, { error: email }).optional(),
  groups: z.array(group, { error: "expected a list of groups" }).default([]),
  password: z.string().refine(isPasswordHash, { error: `expected the hash of a password; ${REMEDY}` }).optional(),
  token: z.string().refine(isTokenHash, { error: `expected the hash of a token; ${REMEDY} --token` }).optional(),
}, { error: "expected a person, such as { name: Anna, email: anna@example.org, groups: [finance] }" });

/** `people`: who answers forms, by id. */
const peopleSchema = z.record(z.string().regex(ID, `expected an id of a person: ${NAME}`), personSchema, {
  error: "expected people by their ids, such as anna: { name: Anna, email: anna@example.org }",
}).transform((people, context): Person[] => {
  const listed = Object.entries(people).map(([id, person]) => ({ ...person, id, name: person.name ?? id }));
  for (const conflict of findConflicts(listed)) context.addIssue({ code: "custom", ...conflict });
  return listed;
});

/** What `to:` may contain besides e-mail addresses: ids, then groups. */
export function namesOf(people: Person[]): string[] {
  return [...new Set([...people.map(({ id }) => id), ...people.flatMap(({ groups }) => groups)])];
}

interface Conflict {
  path: (string | number)[];
  message: string;
}

/** Finds duplicates that make a person ambiguous. */
function findConflicts(people: Person[]): Conflict[] {
  const conflicts: Conflict[] = [];
  const emails = new Map<string, string>();
  const tokens = new Map<string, string>();
  const ids = new Set(people.map(({ id }) => id));
  for (const { id, email, groups, token } of people) {
    const sharedEmail = email && emails.get(email.toLowerCase());
    if (sharedEmail) conflicts.push({ path: [id, "email"], message: `${sharedEmail} has this address too` });
    const sharedToken = token && tokens.get(token);
    if (sharedToken) conflicts.push({ path: [id, "token"], message: `${sharedToken} has this token too` });
    for (const [index, group] of groups.entries()) {
      if (!ids.has(group)) continue;
      const message = `"${group}" is a person: a group needs a name of its own`;
      conflicts.push({ path: [id, "groups", index], message });
    }
    if (email) emails.set(email.toLowerCase(), id);
    if (token) tokens.set(token, id);
  }
  return conflicts;
}

/** RFC 8314: 465 for TLS from the first byte, 587 for connections that are upgraded to it. */
const PORTS = { secure: 465, upgraded: 587 };
const FROM = "expected whom mails are from, such as rules@example.org or Rules <rules@example.org>";

/** The keys of `smtp`. */
const smtpShape = {
  host: z.string({ error: "expected the name of a mail server" }).min(1, "expected the name of a mail server"),
  port: z.int({ error: "expected a port from 1 to 65535" }).min(1, "expected a port from 1 to 65535")
    .max(65_535, "expected a port from 1 to 65535").optional(),
  secure: z.boolean({ error: "expected true (TLS from the start) or false" }).optional(),
  user: z.string({ error: "expected the name of an account" }).optional(),
  password: secretName("the password", "SMTP_PASSWORD").optional(),
  from: z.string({ error: FROM }),
};

/** `smtp`: the server that sends mails. */
const smtpSchema = z.strictObject(smtpShape, {
  error: "expected a mail server, such as { host: mail.example.org, from: rules@example.org }",
}).transform(({ port, secure = port === PORTS.secure, from, ...smtp }, context): SmtpSettings => {
  const refuse = (key: string, message: string) => context.addIssue({ code: "custom", path: [key], message });
  const address = parseAddress(from);
  if (address === undefined) refuse("from", FROM);
  if (smtp.user !== undefined && smtp.password === undefined) {
    refuse("user", "an account needs its password: add password: with the name of a secret");
  }
  if (smtp.password !== undefined && smtp.user === undefined) {
    refuse("password", "a password needs its account: add user:");
  }
  return { ...smtp, secure, port: port ?? (secure ? PORTS.secure : PORTS.upgraded), from: address! };
});

/** A schema for a text that is parsed into a value; `expected` gives a valid example. */
function read<T>(parse: (text: unknown) => T | undefined, expected: string): z.ZodType<T> {
  return z.unknown().transform((value, context): T => {
    const result = parse(value);
    if (result !== undefined) return result;
    context.addIssue({ code: "custom", message: `expected ${expected}, got ${JSON.stringify(value)}` });
    return z.NEVER;
  });
}

/** Bytes of history that are kept on disk by default. */
const HISTORY = 1_000_000_000;

const size = read(parseSize, "a size such as 256MB");
const duration = read(
  (value) => typeof value === "string" ? parseDuration(value) : undefined,
  "a duration such as 30d",
);
const rate = read((value) => typeof value === "string" ? parseRate(value) : undefined, "a rate such as 10/s or 100/m");
const paths = read(readPaths, "a path, or a list of paths");
const address = read(readAddress, "the address that people reach this program at, such as https://rules.example.org");

const retention = z.strictObject({ bytes: size.optional(), identities: duration.optional() });
const secrets = z.strictObject({ files: paths.optional(), folders: paths.optional() });
/** How replicas share the devices of fleets, by default. */
const PLACES = { difference: 5, every: 2_000 };
/** Milliseconds between two looks, at least: each asks the database. */
const MOST_OFTEN = 100;
const difference = "expected a number of devices, at least 1";
const places = z.strictObject({
  difference: z.int({ error: difference }).min(1, difference).default(PLACES.difference),
  every: duration.refine((every) => every >= MOST_OFTEN, "expected a duration of at least 100ms").default(PLACES.every),
}, { error: "expected how replicas share devices, such as { difference: 5, every: 2s }" });
const SCHEMA = z.strictObject({
  port: z.int({ error: "expected a port from 0 to 65535" }).min(0).max(65_535).optional(),
  host: z.string({ error: "expected an address such as 127.0.0.1" }).optional(),
  // Short for { bytes }; problems in it are then reported at the nearest position that exists.
  retention: z.preprocess((value) => isObject(value) ? value : { bytes: value }, retention).optional(),
  limits: z.record(z.string(), rate, { error: "expected a rate for each host, such as api.example.org: 10/s" })
    .optional(),
  places: places.optional(),
  secrets: secrets.optional(),
  url: address.optional(),
  smtp: smtpSchema.optional(),
  config: configSourceSchema.optional(),
  people: peopleSchema.optional(),
  connections: connectionsSchema.optional(),
}, { error: "expected settings by name, such as port: 8080" });
/** The keys of each block; `*` is any name. */
const KEYS: Record<string, string[]> = {
  "": Object.keys(SCHEMA.shape),
  retention: Object.keys(retention.shape),
  places: Object.keys(places.shape),
  secrets: Object.keys(secrets.shape),
  smtp: Object.keys(smtpShape),
  config: Object.keys(configSourceSchema.shape),
  "people.*": Object.keys(personSchema.shape),
  ...CONNECTION_KEYS,
};

/**
 * Reads `whenthen.yaml`.
 * @param yaml undefined if there is no such file
 * @param last the settings in force before; they stay in force if the file has a problem
 */
export function readSettings(
  yaml: YamlFile | undefined,
  folder: string,
  last: Settings | undefined,
): { settings: Settings; problems: Problem[] } {
  if (yaml === undefined || yaml.value === null) {
    return { settings: withDefaults({}, folder, yaml), problems: yaml?.problems ?? [] };
  }
  const before = last ?? withDefaults({}, folder, yaml);
  const read = () => parseSettings(yaml, folder, before);
  const otherwise = (problem: Problem) => ({ settings: before, problems: [...yaml.problems, problem] });
  return guarded(yaml.origin.file, read, otherwise);
}

function parseSettings(yaml: YamlFile, folder: string, last: Settings): { settings: Settings; problems: Problem[] } {
  const problems = [...yaml.problems];
  const parsed = yaml.value === undefined ? undefined : SCHEMA.safeParse(withoutFree(yaml.value));
  if (parsed && !parsed.success) problems.push(...parsed.error.issues.flatMap((issue) => explain(issue, yaml)));
  const good = parsed?.success && problems.every(({ severity }) => severity === "warning");
  return { settings: good ? withDefaults(parsed.data, folder, yaml) : last, problems };
}

/** Keys at the top that begin with `x-` are left alone. */
function withoutFree(value: Json): Json {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith("x-")));
}

/** Warns if the password of `smtp` is not set, because mails will fail, or is a bad secret. */
export function checkSmtpPassword(
  yaml: YamlFile | undefined,
  { smtp }: Settings,
  secretFault: (name: string) => SecretFault | undefined,
): Problem[] {
  const fault = smtp?.password === undefined ? undefined : secretFault(smtp.password);
  if (yaml === undefined || fault === undefined) return [];
  return [{
    severity: "warning",
    file: yaml.origin.file,
    at: yaml.origin.at(["smtp", "password"], "value"),
    ...fault,
  }];
}

/**
 * Reports secrets files that cannot be read, because their secrets would only seem to be missing, or that everybody can
 * read.
 */
export function checkSecretsFiles({ secrets }: Settings, folder: string): Problem[] {
  return secrets.files.flatMap((path): Problem[] => {
    const place = { file: relative(folder, path), at: { line: 1, column: 1 } };
    try {
      readRegularFileSync(path);
      if (platform === "win32" || (statSync(path).mode & 0o004) === 0) return [];
      const message = "every user of this machine can read the secrets in this file";
      return [{ severity: "warning", ...place, message, hint: `chmod 600 ${basename(path)}` }];
    } catch (error) {
      if (codeOf(error) === "ENOENT") return [];
      const message = `the secrets in this file cannot be read: ${messageOf(error)}`;
      return [{ severity: "error", ...place, message }];
    }
  });
}

function withDefaults(data: z.infer<typeof SCHEMA>, folder: string, yaml: YamlFile | undefined): Settings {
  const { port, host, retention, limits, places = PLACES, secrets, url, smtp, config, people = [], connections } = data;
  const absolute = (paths: string[]) => paths.map((path) => resolve(folder, path));
  return {
    ...(port !== undefined && { port }),
    ...(host !== undefined && { host }),
    retention: { bytes: HISTORY, identities: 30 * DAY, ...retention },
    limits: limits ?? {},
    places,
    secrets: { files: absolute([...secrets?.files ?? [], ".env"]), folders: absolute(secrets?.folders ?? []) },
    ...(url !== undefined && { url }),
    ...(smtp && { smtp }),
    ...(config && { config }),
    people,
    connections: placeConnections(connections, (name) => yaml!.origin.at(["connections", name], "key")),
  };
}

/** Turns the schema's issues into problems with positions. */
function explain(issue: z.core.$ZodIssue, { origin }: YamlFile): Problem[] {
  const path = pathOf(issue);
  const problem = (at: Problem["at"], message: string, hint?: string): Problem => ({
    severity: "error",
    file: origin.file,
    at,
    message,
    ...(hint !== undefined && { hint }),
  });
  if (issue.code === "unrecognized_keys") {
    const isNamed = path[0] === "people" || path[0] === "connections";
    const known = KEYS[path.map((part, index) => isNamed && index === 1 ? "*" : part).join(".")];
    return issue.keys.map((key) => {
      return problem(origin.at([...path, key], "key"), `unknown setting "${key}"`, hintAtUnknown(key, known));
    });
  }
  if (issue.code === "invalid_key") return [problem(origin.at(path, "key"), issue.issues[0].message)];
  const [message, hint] = issue.message.replace(/^Invalid input: |^Too (big|small): /, "").split("\n");
  const found = problem(origin.at(path, "value"), message, hint);
  return [issue.code === "custom" && issue.params?.hidden ? { ...found, hidden: true } : found];
}

function readPaths(value: unknown): string[] | undefined {
  const list = Array.isArray(value) ? value : [value];
  return list.length > 0 && list.every((path) => typeof path === "string" && path !== "") ? list : undefined;
}

/** An address without a path: links to the pages begin with it. */
function readAddress(value: unknown): string | undefined {
  if (typeof value !== "string" || !/^https?:\/\//.test(value) || !URL.canParse(value)) return undefined;
  const { origin, href } = new URL(value);
  return href === `${origin}/` ? origin : undefined;
}
