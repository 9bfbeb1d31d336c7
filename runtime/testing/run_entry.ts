import { Buffer } from "node:buffer";
import { createHmac, randomUUID } from "node:crypto";
import { answerForm, type FormAnswered } from "../engine/form_answers.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import type { SentFile } from "../formats/multipart.ts";
import { BY_HAND } from "../ingest/rule_inputs.ts";
import { startRule } from "../ingest/start_rule.ts";
import { findTrigger } from "../language/checker/check_tests.ts";
import { type Advance, testKinds } from "../language/checker/test_kinds.ts";
import { findMismatches, isStep } from "../language/expectation.ts";
import { type Args, resolvedArgs } from "../language/kind.ts";
import { type Repeatable, toParameters } from "../model/event.ts";
import type { Person } from "../model/form.ts";
import { newId } from "../model/id.ts";
import { asJson, isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Mismatch, TestEntry } from "../model/test.ts";
import { changeData } from "../triggers/poll/poll_changes.ts";
import type { Hook } from "../triggers/trigger.ts";
import { methodsOf } from "../triggers/webhook.ts";
import { hmacOf } from "../triggers/webhook_auth.ts";
import { TestFailed } from "./activity.ts";
import { look } from "./seen.ts";
import { FILES, HANDSHAKE_SECRET, type World } from "./world.ts";

/**
 * Runs one entry of a test, until nothing more happens before the clock moves.
 * @throws TestFailed
 */
export async function runEntry(world: World, { kind, args }: Omit<TestEntry, "at">): Promise<void> {
  switch (kind) {
    case "send":
      await send(world, resolvedArgs(testKinds.send, args).send);
      break;
    case "advance":
      await advance(world, resolvedArgs(testKinds.advance, args).advance);
      break;
    case "answer":
      await answer(world, resolvedArgs(testKinds.answer, args));
      break;
    case "start":
      await start(world, resolvedArgs(testKinds.start, args));
      break;
    case "config":
      await configure(world, resolvedArgs(testKinds.config, args));
      break;
    case "look":
      await lookAt(world, resolvedArgs(testKinds.look, args).look);
      break;
    case "device": {
      const { fleet, name, event, data } = resolvedArgs(testKinds.device, args).device;
      const now = world.clock.now();
      const type = `whenthen.device.${event}` as const;
      await world.ingest.publishOwn({
        id: newId(now),
        at: now,
        type,
        subject: name,
        data: { fleet, device: name, ...data },
      });
      break;
    }
    case "skip":
      await skip(world, resolvedArgs(testKinds.skip, args).skip);
      break;
    case "expect": {
      const { expect: expected, exact } = resolvedArgs(testKinds.expect, args);
      return expect(findMismatches(asJson(expected), await look(world), exact));
    }
  }
  await world.settled();
  const [trouble] = [...world.stubs.missing, ...world.troubles];
  if (trouble !== undefined) throw new TestFailed(trouble);
}

function expect(mismatches: Mismatch[]): void {
  if (mismatches.length > 0) throw new TestFailed("not as expected", mismatches);
}

async function advance(world: World, advance: Advance): Promise<void> {
  const now = world.clock.now();
  const to = "by" in advance ? now + advance.by : advance.to;
  if (to < now) throw new TestFailed(`The clock cannot go back: it is already ${new Date(now).toISOString()} by now`);
  await world.advanceTo(to);
}

async function send(world: World, sent: Args<typeof testKinds.send>["send"]): Promise<void> {
  if ("webhook" in sent) return await sendRequest(world, sent);
  const { type, trigger, data = null, id = newId(world.clock.now()), source, ...more } = sent;
  const { rule, ingest } = world;
  if (trigger !== undefined) {
    const { id: key, kind } = findTrigger(rule.triggers, trigger)!;
    const event = { id, ...more, ...source !== undefined && { source }, ...eventOf(world, kind, type, data) };
    await ingest.fromTrigger({ rule: rule.id, trigger: key }, [event]);
  } else if (type !== undefined) await ingest.publish({ id, source: source ?? "/test", type, data, ...more });
  else {
    const { id: key } = rule.triggers.find(({ kind }) => kind === "manual") ?? rule.triggers[0];
    const event = { id, type: BY_HAND, data, ...more, ...source !== undefined && { source } };
    await ingest.fromTrigger({ rule: rule.id, trigger: key }, [event]);
  }
}

/** The event that a trigger of this kind emits, completing what the test leaves out. */
function eventOf(world: World, kind: string, type: string | undefined, data: Json): { type: string; data: Json } {
  if (kind === "poll" || kind === "watch") {
    const given = isObject(data) ? data : {};
    const { old = null, new: item = null } = given;
    const change = old === null ? "added" : item === null ? "removed" : "changed";
    if (kind === "watch") return { type: type ?? change, data };
    return {
      type: type ?? change,
      data: { ...changeData({ type: change, key: "", old, new: item }, []), ...given },
    };
  }
  const isTime = kind === "cron" || kind === "every" || kind === "at";
  const scheduled = { scheduled: new Date(world.clock.now()).toISOString() };
  return { type: type ?? kind, data: data ?? (isTime ? scheduled : null) };
}

/** The answer may have to wait for the clock: it is recorded when it arrives. */
async function sendRequest(world: World, sent: SentRequest): Promise<void> {
  world.response = null;
  const answered = world.request(requestOf(world, sent)).then((response) => void (world.response = response));
  answered.catch((error) => world.troubles.push(`The request to ${sent.webhook} failed: ${error}`));
  await world.settled();
}

/** How many forms are searched. */
const MOST = 1_000;

/** The contents of an entry `answer`. */
export interface Answering {
  /** The form's step. */
  answer: string;
  as?: string;
  with: JsonObject;
  refused?: "forbidden" | "closed" | "invalid";
}

/** Somebody answers a form; acceptance or refusal must be as the test expects. */
async function answer(world: World, { answer: step, as, with: values, refused }: Answering): Promise<void> {
  const { store, clock, runner } = world;
  const open = await store.listForms({ state: "open", limit: MOST });
  const forms = refused === "closed" ? await store.listForms({ limit: MOST }) : open;
  const form = forms.findLast((form) => isStep(step, form.step));
  if (form === undefined) {
    const there = open.map((form) => form.step).join(", ") || "none";
    throw new TestFailed(`There is no open form "${step}"; open are: ${there}`);
  }
  const person = personOf(world, as, form.to);
  const options = { store, files: FILES, clock, onWoken: (runs: string[]) => runner.woken(runs) };
  const isFile = (name: string) => Object.hasOwn(form.fields, name) && form.fields[name].type === "file";
  const [files, others] = Object.entries(values).reduce<[SentFile[], JsonObject]>(([files, others], [name, value]) => {
    return isFile(name) && value !== null
      ? [[...files, fileOf(name, value)], others]
      : [files, { ...others, [name]: value }];
  }, [[], {}]);
  const answered = await answerForm(options, form.id, person, { values: others, files, via: "page" });
  const became = answered.kind === "accepted" ? undefined : answered.kind;
  if (became === refused) return;
  if (became === undefined) throw new TestFailed(`The answer of ${person.id} was accepted, not refused as ${refused}`);
  throw new TestFailed(`The answer of ${person.id} was refused: ${reasonOf(answered)}`);
}

/** A file in a test: its text, or `{ name, type, text }`. */
function fileOf(field: string, value: Json): SentFile {
  const { name = field, type = "text/plain", text = "" } = isObject(value) ? value as JsonObject : { text: value };
  return { field, name: String(name), type: String(type), bytes: Buffer.from(String(text)) };
}

/** Somebody starts the rule by hand; acceptance or refusal must be as the test expects. */
async function start(world: World, { start, refused }: Args<typeof testKinds.start>): Promise<void> {
  const { as, inputs, id } = start;
  const { rule, clock, ingest, people } = world;
  const person = as === undefined ? undefined : people.get(as) ?? { id: as, name: as, groups: [] };
  const started = await startRule({ clock, ingest, rules: new Map([[rule.id, rule]]) }, rule.id, {
    by: person?.id ?? "an operator",
    inputs,
    ...person && { person },
    ...id !== undefined && { id },
  });
  const became = started.kind === "accepted" ? undefined : started.kind;
  if (became === refused) return;
  const who = person?.id ?? "an operator";
  if (became === undefined) throw new TestFailed(`The start by ${who} was accepted, not refused as ${refused}`);
  const why = started.kind === "invalid" ? `, ${Object.values(started.problems).join("; ")}` : "";
  throw new TestFailed(`The start by ${who} was refused: ${became}${why}`);
}

/** Somebody sets the rule's config; acceptance or refusal must be as the test expects. */
async function configure(world: World, { config, refused }: Args<typeof testKinds.config>): Promise<void> {
  const { as, set } = config;
  const person = as === undefined ? undefined : world.people.get(as) ?? { id: as, name: as, groups: [] };
  const who = person?.id ?? "an operator";
  const became = await world.setConfig({ by: who, set, ...person && { person } });
  if ((became.kind === "accepted" ? undefined : became.kind) === refused) return;
  if (became.kind === "accepted") {
    throw new TestFailed(`The config set by ${who} was accepted, not refused as ${refused}`);
  }
  if (became.kind === "stored") throw new TestFailed(`The config set by ${who} is not in force: ${became.reason}`);
  const why = became.kind === "invalid" ? `, ${Object.values(became.problems).join("; ")}` : "";
  throw new TestFailed(`The config set by ${who} was refused: ${became.kind}${why}`);
}

/** A poll looks at its source, whether it is due or not. */
async function lookAt(world: World, name: string): Promise<void> {
  const trigger = findTrigger(world.rule.triggers, name);
  if (trigger?.kind !== "poll") throw new TestFailed(`The trigger "${name}" is no poll, so it cannot look`);
  await world.look(trigger.id);
}

/** An operator ends a wait. */
async function skip(world: World, step: string): Promise<void> {
  const { store, clock, runner } = world;
  const runs = (await store.listRuns({ waiting: true, limit: MOST })).filter(({ waits = [] }) =>
    waits.some((wait) => isStep(step, wait.step))
  );
  const [run] = runs;
  const wait = run?.waits?.find((wait) => isStep(step, wait.step));
  if (wait === undefined) throw new TestFailed(`No run waits in step "${step}"`);
  const operated = await store.skipWait(run.id, wait.step, "test", clock.now());
  if (operated?.kind === "refused") {
    throw new TestFailed(`The wait of step "${step}" cannot be skipped: ${operated.reason}`);
  }
  runner.woken([run.id]);
}

function personOf({ people }: World, name: string | undefined, to: string[]): Person {
  if (name === undefined) {
    const [first] = people.find(to);
    if (first !== undefined) return first;
    throw new TestFailed(`Nobody is ${to.join(" or ")}; say who, as in people: { ${to[0]}: [anna] }`);
  }
  // A person who is not in the settings.
  return people.get(name) ?? { id: name, name, groups: [] };
}

function reasonOf(answered: FormAnswered): string {
  switch (answered.kind) {
    case "forbidden":
      return `forbidden, as the form is for ${answered.form.to.join(", ")}`;
    case "invalid":
      return `invalid, ${
        Object.entries(answered.problems).map(([field, problem]) => `${field}: ${problem}`).join("; ")
      }`;
    default:
      return answered.kind;
  }
}

/** The contents of `send: { webhook }`. */
type SentRequest = Extract<Args<typeof testKinds.send>["send"], { webhook: string }>;

/** The request that a test sends to a webhook, with the signature that the webhook requires. */
function requestOf(world: World, sent: SentRequest): Request {
  const { webhook, query = {}, headers: given = {}, signed = true } = sent;
  const hook = world.hooks.match(webhook)[0]?.hook;
  const method = sent.method ?? (hook && methodsOf(hook.args)[0]) ?? "POST";
  const { body, type } = bodyOf(sent);
  const [secret] = hook?.args.secret ?? [];
  const isGiven = hook?.args.auth === "asana" && secret === undefined;
  const value = isGiven ? HANDSHAKE_SECRET : secret === undefined ? undefined : world.secretOf(secret);
  const signature = signed && hook && value !== undefined
    ? signatureOf(hook.args.auth, value, body, world.clock.now())
    : {};
  const url = new URL(`http://test/hooks${webhook}`);
  url.search = toParameters(query).toString();
  const headers = { ...type && { "content-type": type }, ...signature, ...given };
  return new Request(url, { method, headers, ...body !== "" && { body } });
}

function bodyOf({ json, form, files, body = "" }: SentRequest): { body: string; type?: string } {
  if (json !== undefined) return { body: writeExactJson(json), type: "application/json" };
  if (files !== undefined) return multipartOf(form ?? {}, files);
  if (form === undefined) return { body };
  return { body: toParameters(form).toString(), type: "application/x-www-form-urlencoded" };
}

/** A form with files, whose contents are text in a test. */
function multipartOf(form: Record<string, Repeatable>, files: JsonObject): { body: string; type: string } {
  const boundary = `test-${randomUUID()}`;
  const part = (head: string, text: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n${text}\r\n`;
  const texts = [...toParameters(form)].map(([field, value]) => part(`name="${field}"`, value));
  const sent = Object.entries(files).flatMap(([field, values]) => [values].flat().map((value) => fileOf(field, value)));
  const parts = sent.map(({ field, name, type, bytes }) =>
    part(`name="${field}"; filename="${name}"\r\nContent-Type: ${type}`, Buffer.from(bytes).toString())
  );
  const body = [...texts, ...parts, `--${boundary}--\r\n`].join("");
  return { body, type: `multipart/form-data; boundary=${boundary}` };
}

/**
 * The headers that authenticate a webhook's sender: the counterpart of `triggers/webhook_auth.ts`.
 * @param secret from the test or from {@link madeUpSecret}
 * @param now milliseconds since the epoch
 */
function signatureOf(auth: Hook["args"]["auth"], secret: string, body: string, now: number): Record<string, string> {
  const seconds = String(Math.floor(now / 1_000));
  switch (auth) {
    case "none":
      return {};
    case "standard": {
      const id = `msg_${randomUUID()}`;
      const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
      const signature = createHmac("sha256", key).update(`${id}.${seconds}.${body}`).digest("base64");
      return { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": `v1,${signature}` };
    }
    case "github":
      return { "x-hub-signature-256": `sha256=${mac("sha256", secret, body, "hex")}` };
    case "gitlab":
      return { "x-gitlab-token": secret };
    case "shopify":
      return { "x-shopify-hmac-sha256": mac("sha256", secret, body, "base64") };
    case "telegram":
      return { "x-telegram-bot-api-secret-token": secret };
    case "stripe":
      return { "stripe-signature": `t=${seconds},v1=${mac("sha256", secret, `${seconds}.${body}`, "hex")}` };
    case "slack":
      return {
        "x-slack-request-timestamp": seconds,
        "x-slack-signature": `v0=${mac("sha256", secret, `v0:${seconds}:${body}`, "hex")}`,
      };
    case "asana":
      return { "x-hook-signature": mac("sha256", secret, body, "hex") };
    case "basic":
      return { authorization: `Basic ${Buffer.from(secret).toString("base64")}` };
    case "bearer":
      return { authorization: `Bearer ${secret}` };
    default: {
      if ("token" in auth) return { [auth.token]: secret };
      const { header, encoding, prefix, timestamp } = auth;
      const signature = prefix + hmacOf(auth, secret, seconds, body).toString(encoding);
      return { [header]: signature, ...timestamp !== undefined && { [timestamp]: seconds } };
    }
  }
}

/** The value of a secret that a test does not set; valid for every scheme. */
export function madeUpSecret(name: string): string {
  return `whsec_${Buffer.from(`made up for tests: ${name}`).toString("base64")}`;
}

function mac(algorithm: string, key: string, text: string, encoding: "hex" | "base64"): string {
  return createHmac(algorithm, key).update(text).digest(encoding);
}
