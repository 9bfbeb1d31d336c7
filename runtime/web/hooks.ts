import type { Delivery } from "../ingest/ingest.ts";
import { messageOf } from "../model/errors.ts";
import type { Rule, Step } from "../model/rule.ts";
import { CAUSE_HEADER, readFields, type Repeatable } from "../model/event.ts";
import { methodsOf, receive, type Received, type WebhookRequest } from "../triggers/webhook.ts";
import { FolderLostError } from "../host/lock.ts";
import { NoSpaceError, type Unclaimed } from "../host/uploads.ts";
import { byField, isMultipart, type Multipart, readMultipart } from "../formats/multipart.ts";
import { refuseTokenless } from "./access.ts";
import {
  answerBatch,
  answerDelivered,
  answerFailure,
  answerReceipts,
  answerReply,
  awaitReply,
  isRefused,
} from "./answer.ts";
import { answerOptions, listensTo, withCors } from "./hook_options.ts";
import { readRequestBody } from "./request.ts";
import type { HookContext } from "./context.ts";
import type { HookMatch } from "./hook_registry.ts";
import { type EventIdentity, type Receipt, StoreFullError, UndecidedError } from "../store/store.ts";
import type { Hook } from "../triggers/trigger.ts";

/** The part of a request's URL that hooks see. */
export type Target = Pick<URL, "pathname" | "search">;

/**
 * `/hooks/<path>`: one delivery to all webhook triggers that listen on the path.
 * @param onTaken called once the event is stored; after that, no answer counts as a refusal
 */
export async function receiveHook(
  request: Request,
  url: Target,
  context: HookContext,
  onTaken: () => void = () => {},
): Promise<Response> {
  const path = url.pathname.slice("/hooks".length);
  const matches = context.hooks.match(path);
  if (request.method === "OPTIONS") return answerOptions(request, matches) ?? refuseAll(request, path, context);
  const answer = withCors(request, matches, await takeDelivery(request, url, path, context, onTaken));
  return request.method === "HEAD" ? new Response(null, answer) : answer;
}

async function takeDelivery(
  request: Request,
  url: Target,
  path: string,
  context: HookContext,
  onTaken: () => void,
): Promise<Response> {
  const asked = listeners(request, path, context);
  if (asked.length === 0) return refuseAll(request, path, context);
  const query = readQuery(url);
  if (query instanceof Response) return query;
  // Rules that share a path share the largest of their limits.
  const secret = request.headers.get(HANDSHAKE);
  const handshake = secret === null ? undefined : await acceptSecret(secret, asked, context);
  if (handshake !== undefined) return handshake;
  const body = await readRequestBody(request, Math.max(...asked.map(({ hook }) => hook.args.maxBody)));
  if ("refused" in body) return body.refused;
  const type = request.headers.get("content-type") ?? "";
  const form = isMultipart(type) ? await formOf(type, body.bytes) : undefined;
  // Look them up again: a reload may have swapped them while the body was read.
  const hooks = listeners(request, path, context);
  if (hooks.length === 0) return refuseAll(request, path, context);
  const received: WebhookRequest = {
    method: request.method,
    path,
    // Hooks of one path may name its params differently; the event is the same for all of them.
    params: Object.assign({}, ...hooks.map(({ params }) => params)),
    query,
    headers: Object.fromEntries(request.headers),
    body: body.bytes,
    ...body.packed && { packed: body.packed },
    ...form && { form },
  };
  const outcomes = receiveOnce(hooks, received, context);
  const accepted = outcomes.filter(({ received }) => received.kind === "events");
  if (accepted.length === 0) return refusal(outcomes, context);
  const nudges = accepted.filter(({ match }) => match.hook.nudge);
  for (const { match: { hook } } of nudges) await hook.nudge!();
  const takers = accepted.filter(({ match }) => match.hook.nudge === undefined);
  if (takers.length > 0) return await deliver({ request, received, takers, hooks, context, onTaken });
  onTaken();
  return Response.json({ looks: nudges.length }, { status: 202 });
}

/** The hooks for the request. */
function listeners({ method }: Request, path: string, { hooks }: HookContext): readonly HookMatch[] {
  return hooks.match(path).filter((match) => listensTo(match, method));
}

/** The parts of a multipart form. */
async function formOf(type: string, body: Uint8Array): Promise<WebhookRequest["form"]> {
  try {
    return await readMultipart(body, type);
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

/** The header with which Asana gives the secret of a new webhook; the answer repeats it. */
const HANDSHAKE = "x-hook-secret";

/** Accepts the secret of a handshake, once it is on disk, or answers 403; undefined if the request is none. */
async function acceptSecret(
  secret: string,
  hooks: readonly HookMatch[],
  { hookSecrets }: HookContext,
): Promise<Response | undefined> {
  const takers = hooks.filter(({ hook }) => hook.args.auth === "asana");
  if (takers.length === 0) return undefined;
  const accepted = await Promise.all(takers.map(({ hook }) => hookSecrets.offer(hook, secret)));
  if (accepted.includes(true)) return new Response(null, { status: 200, headers: { [HANDSHAKE]: secret } });
  const error = "This webhook accepts no handshake now, or not this secret (16 to 200 characters); " +
    "an operator opens it with: whenthen hooks open RULE --for 10m";
  return Response.json({ error }, { status: 403 });
}

type Outcome = { match: HookMatch; received: Received };

/**
 * The result of each hook's check of the request. Hooks with the same auth and identity options share one event, so that it
 * has one id even if neither rule nor provider gives it one.
 */
function receiveOnce(hooks: readonly HookMatch[], request: WebhookRequest, context: HookContext): Outcome[] {
  const receiveFor = ({ hook }: HookMatch) => {
    const given = hook.args.auth === "asana" ? context.hookSecrets.of(hook) : [];
    return receive(hook.args, request, context.clock.now(), context.secretOf, given);
  };
  if (hooks.length === 1) return [{ match: hooks[0], received: receiveFor(hooks[0]) }];
  const known = new Map<string, Received>();
  return hooks.map((match) => {
    const { auth, secret, dedupe, within } = match.hook.args;
    const key = JSON.stringify([auth, secret, dedupe, within, auth === "asana" && context.hookSecrets.of(match.hook)]);
    const received = known.get(key) ?? receiveFor(match);
    known.set(key, received);
    return { match, received };
  });
}

function deliveriesOf({ match, received }: Outcome, request: Request, context: HookContext): Delivery[] {
  if (received.kind !== "events") return [];
  const { rule, trigger } = match.hook;
  const cause = context.verifyCause(request.headers.get(CAUSE_HEADER) ?? undefined);
  const time = new Date(context.clock.now()).toISOString();
  return received.events.map((event): Delivery => {
    const source = event.source ?? `/hooks${event.http.path}`;
    return { rule, trigger, within: received.within, event: { time, ...event, source, ...cause && { cause } } };
  });
}

function identityOf({ source, id }: EventIdentity): string {
  return JSON.stringify([source, id]);
}

/** Without the repetitions of an event in one batch. */
function once(deliveries: Delivery[]): Delivery[] {
  if (deliveries.length === 1) return deliveries;
  const keyOf = ({ rule, trigger, event }: Delivery) => JSON.stringify([rule, trigger, identityOf(event)]);
  return [...Map.groupBy(deliveries, keyOf).values()].map(([first]) => first);
}

/** The receipts of each event of a batch. One that comes again in it is a duplicate of itself. */
function inOrder(byTaker: Delivery[][], receipts: Receipt[]): Receipt[][] {
  const known = new Map(receipts.map((receipt) => [identityOf(receipt.event), receipt]));
  const size = Math.max(...byTaker.map((deliveries) => deliveries.length));
  return Array.from({ length: size }, (_, index) => {
    const identities = new Set(
      byTaker.flatMap((deliveries) => deliveries[index] ?? []).map(({ event }) => identityOf(event)),
    );
    return [...identities].map((identity) => {
      const receipt = known.get(identity)!;
      known.set(identity, { ...receipt, delivery: "duplicate" });
      return receipt;
    });
  });
}

/** A request that some hooks accept. */
interface Taking {
  request: Request;
  received: WebhookRequest;
  /** The outcomes of those that accept it. */
  takers: Outcome[];
  hooks: readonly HookMatch[];
  context: HookContext;
  onTaken: () => void;
}

async function deliver(taking: Taking): Promise<Response> {
  const { request, received: { form }, takers, context, onTaken } = taking;
  const byTaker = takers.map((taker) => deliveriesOf(taker, request, context));
  const deliveries = once(byTaker.flat());
  let claimed: Promise<void> | undefined;
  const take = async () => {
    const hasFiles = form !== undefined && "files" in form && form.files.length > 0;
    const receipts = hasFiles
      ? await deliverFiles(form, deliveries, context, (claim) => claimed = claim)
      : await context.ingest.deliver(deliveries);
    onTaken();
    return receipts;
  };
  const response = await answerTaken(taking, byTaker, deliveries, take);
  await claimed;
  return response;
}

/** Takes the deliveries, and waits for the reply of a rule if one may come. */
async function answerTaken(
  { takers, hooks, context }: Taking,
  byTaker: Delivery[][],
  deliveries: Delivery[],
  take: () => Promise<Receipt[]>,
): Promise<Response> {
  // A batch has no one event that a rule could reply to.
  if (takers.some(({ received }) => received.kind === "events" && received.isBatch)) {
    return answerBatch(inOrder(byTaker, await take()), context);
  }
  const { rules } = context.rules();
  const repliers = hooks.map(({ hook }) => hook).filter(({ rule }) => rules.has(rule) && mayReply(rules.get(rule)!));
  if (repliers.length === 0) return answerDelivered(await take(), context);
  const longest = Math.max(...repliers.map(({ args }) => args.replyWithin));
  return await context.replies.during(deliveries.map(({ event }) => event), async () => {
    const receipts = await take();
    if (isRefused(receipts)) return answerDelivered(receipts, context);
    const waited = receipts.map((receipt) => ({ ...receipt, runs: runsThatReply(receipt, repliers) }));
    const { reply, failed = [] } = await awaitReply(waited, longest, context);
    if (reply !== undefined) return answerReply(reply);
    return repliers.some(({ rule }) => failed.includes(rule)) ? answerFailure(receipts) : answerReceipts(receipts);
  });
}

/** Of rules that share a path, those that cannot reply delay no answer. Of an older event it may not be known whose its runs are. */
function runsThatReply({ runs, verdicts }: Receipt, repliers: Hook[]): string[] {
  const others = verdicts.flatMap(({ rule, verdict }) =>
    "run" in verdict && !repliers.some((hook) => hook.rule === rule) ? [verdict.run] : []
  );
  return runs.filter((run) => !others.includes(run));
}

/** Seconds until a sender may try again after the disk had no space for its files. */
const SPACE_RETRY = 60;

/**
 * Delivers the events with the files of the form, which are on disk before them.
 * @param onClaim gets the claim of the files, which goes on: a run may reply before it ends, and the request must wait by then
 */
async function deliverFiles(
  form: Multipart,
  deliveries: Delivery[],
  { ingest, uploads, store, clock }: HookContext,
  onClaim: (claim: Promise<void>) => void,
): Promise<Receipt[]> {
  const owners = deliveries.map(({ event: { source, id } }) => ({ source, id }));
  const saved = await uploads.save(form.files, owners, clock.now()).catch((error) => {
    if (error instanceof NoSpaceError) throw new StoreFullError(error.message, SPACE_RETRY);
    throw error;
  });
  let receipts: Receipt[];
  try {
    const files = byField(form.files, (_, index) => saved.files[index]);
    receipts = await ingest.deliver(
      deliveries.map((delivery) => ({ ...delivery, event: { ...delivery.event, files } })),
    );
  } catch (error) {
    // The event may have been accepted all the same.
    if (error instanceof UndecidedError || error instanceof FolderLostError) saved.leave();
    else await saved.discard();
    throw error;
  }
  onClaim(settle(saved, receipts, store));
  return receipts;
}

/** The files stay with their events, unless these were known before: then they have files of their own. */
async function settle(saved: Unclaimed, receipts: Receipt[], store: HookContext["store"]): Promise<void> {
  const taken = receipts.filter(({ delivery }) => delivery !== "duplicate");
  try {
    const keys = await Promise.all(taken.map(({ event }) => store.findEventKey(event)));
    await saved.claim(keys.filter((key) => key !== undefined));
  } catch {
    // The events are stored all the same, so their sender is not refused.
    saved.leave();
  }
}

/** The answer if no hook accepted an event: a handshake wins over a refusal. */
function refusal(outcomes: Outcome[], context: HookContext): Response {
  for (const { received } of outcomes) {
    if (received.kind === "handshake") {
      return new Response(received.body, { status: received.status, headers: received.headers });
    }
  }
  for (const { match: { hook }, received } of outcomes) {
    if (received.kind === "refused") {
      const isAsked = received.status === 401 && hook.args.auth === "basic";
      const headers: HeadersInit = isAsked ? { "www-authenticate": 'Basic realm="whenthen", charset="UTF-8"' } : {};
      return Response.json({ error: context.mask(received.message) }, { status: received.status, headers });
    }
  }
  throw new Error("a hook's outcome is an event, a handshake or a refusal");
}

/** The answer to a request that no hook accepts. Only those who may list the rules learn which paths exist. */
function refuseAll(request: Request, path: string, context: HookContext): Response {
  const matches = context.hooks.match(path);
  if (matches.length > 0) return wrongMethod(request, matches);
  const error = context.mask(`No webhook listens on /hooks${path}`);
  const paths = context.hooks.paths().map((known) => context.mask(`/hooks${known}`));
  return Response.json(refuseTokenless(request, context) ? { error } : { error, paths }, { status: 404 });
}

function wrongMethod(request: Request, matches: readonly HookMatch[]): Response {
  const methods = matches.flatMap(({ hook }) => methodsOf(hook.args));
  const allow = [...new Set(methods.flatMap((method) => method === "GET" ? ["GET", "HEAD"] : method))].sort().join(
    ", ",
  );
  const error = `This webhook accepts ${allow}, not ${request.method}`;
  return Response.json({ error }, { status: 405, headers: { allow } });
}

/** The values of the query, or the answer if it is refused. */
function readQuery(url: Target): Record<string, Repeatable> | Response {
  if (url.search === "") return {};
  try {
    return readFields(url.search.slice(1), "query");
  } catch (error) {
    return Response.json({ error: messageOf(error) }, { status: 400 });
  }
}

/**
 * Whether a run of the rule may reach a `reply` step. Of a TypeScript rule only the text is known: without the word `reply`
 * in it, it has no such step.
 */
function mayReply(rule: Rule): boolean {
  let known = replies.get(rule);
  if (known === undefined) replies.set(rule, known = findReply(rule));
  return known;
}

/** Cached, because each delivery needs it. */
const replies = new WeakMap<Rule, boolean>();

function findReply(rule: Rule): boolean {
  const lists = [rule.onError, ...Object.values(rule.actions).map((action) => action.then)];
  if (rule.then !== "function") lists.push(rule.then);
  else if (/\breply\b/.test(rule.modules[""])) return true;
  return lists.some(hasReply);
}

function hasReply(steps: Step[]): boolean {
  return steps.some((step) => {
    const { onError = [], onTimeout = [] } = step;
    const nested = [...Object.values(step.children), onTimeout, onError === "continue" ? [] : onError];
    return step.kind === "reply" || nested.some(hasReply);
  });
}
