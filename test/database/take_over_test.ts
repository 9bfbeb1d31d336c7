import assert from "node:assert/strict";
import type { OpenDatabase } from "../../runtime/database/open_database.ts";
import { FolderLostError } from "../../runtime/host/lock.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import type { SharedStore } from "../../runtime/store/shared_store.ts";
import { until, within } from "../e2e/until.ts";
import { NOW, send } from "../store/helpers.ts";
import { insideOf } from "../store/shared/pair.ts";
import { type Fate, Line } from "./line.ts";
import { Replicas } from "./replicas.ts";
import { DatabaseServer, replica } from "./server.ts";

const server = await DatabaseServer.start();
server.endWithTests();

/** Signs of life. */
const BESIDE = /^Q.{4}update whenthen\.(?:replicas set beat|lease set beat)/s;

/** A store on a database. */
interface Opened extends AsyncDisposable {
  database: OpenDatabase;
  store: SharedStore;
  warnings: string[];
  lost: FolderLostError | undefined;
}

/** @param url of the database, or of a line to it */
async function openOn(url: string): Promise<Opened> {
  const database = await replica(url);
  await database.folder.load();
  const { path, folder: { disk }, elsewhere } = database;
  const opened = { database, warnings: [], lost: undefined } as unknown as Opened;
  opened.store = await openStore({
    folder: path,
    disk,
    lock: {
      get lost() {
        return database.lost;
      },
      assertHeld() {
        if (database.lost) throw database.lost;
      },
    },
    elsewhere,
    follow: database.lease === undefined,
    now: NOW,
    onWarning: (message) => opened.warnings.push(message),
    onLost: (error) => opened.lost = error,
  });
  if (database.lease) await opened.store.decideForOthers();
  opened[Symbol.asyncDispose] = async () => {
    await opened.store.close();
    await database[Symbol.asyncDispose]();
  };
  return opened;
}

/** Two programs on one database, of which the first one decides; the second one reaches it by a line. */
async function two() {
  const url = await server.create();
  const line = await Line.to(url);
  const decider = await openOn(url);
  await send(decider.store, "e1");
  const next = await openOn(line.url);
  // The second one downloads the files of this when it takes over.
  await decider.store.checkpoint();
  await send(decider.store, "e2");
  return {
    url,
    line,
    decider,
    next,
    async [Symbol.asyncDispose]() {
      await next[Symbol.asyncDispose]();
      await line[Symbol.asyncDispose]();
    },
  };
}

/** Cuts the line when the replica asks for the list of files; resolves then. */
function cutAtFiles(line: Line): Promise<void> {
  const isCut = Promise.withResolvers<void>();
  line.onSent = (text) => {
    if (!/from whenthen\.files/.test(text)) return undefined;
    line.cut();
    isCut.resolve();
    return "unsent";
  };
  return isCut.promise;
}

/** Takes over, as `replica.ts` does, and then decides something. */
async function takeOver({ database, store }: Opened): Promise<void> {
  await database.decide(AbortSignal.timeout(60_000));
  await store.promote(() => database.folder.takeOver());
  await store.decideForOthers();
  assert.equal((await send(store, "e3")).delivery, "accepted");
}

/** Breaks the connection at one statement of a take-over. @returns the statement; undefined if there are not so many */
async function breakAt(at: number, fate: Fate): Promise<string | undefined> {
  await using both = await two();
  const { url, line, decider, next } = both;
  const { rows } = insideOf(next.store);
  await decider[Symbol.asyncDispose]();
  let statements = 0;
  let reached: string | undefined;
  line.onSent = (text) => {
    if (!text.includes("whenthen.") || BESIDE.test(text) || statements++ !== at) return undefined;
    reached = text;
    return fate;
  };
  await within(30_000, `take-over with statement ${at} ${fate}`, takeOver(next));
  line.onSent = () => undefined;
  assert.equal(next.database.lost ?? next.lost, undefined);
  assert.equal(insideOf(next.store).rows, rows, "it has the same rows");
  for (const id of ["e1", "e2", "e3"]) assert.equal((await send(next.store, id)).delivery, "duplicate", id);
  await using witness = await openOn(url);
  assert.equal((await witness.store.listEvents({ limit: 9 })).length, 3);
  return reached;
}

Deno.test("the connection breaks at each statement of a take-over, before it arrives or before its answer: it goes on with its state", async () => {
  for (const fate of ["unsent", "unanswered"] as const) {
    const reached: string[] = [];
    for (let text; (text = await breakAt(reached.length, fate)) !== undefined;) reached.push(text);
    const parts = [
      /update whenthen\.lease set epoch/,
      /from whenthen\.log/,
      /from whenthen\.files/,
      /from whenthen\.chunks/,
    ];
    for (const part of [...parts, /from whenthen\.inbox/, /insert into whenthen\.log/]) {
      assert.ok(reached.some((text) => part.test(text)), `a statement with ${part}`);
    }
  }
});

Deno.test("a program that loses the lease while it takes over ends that, as before", async () => {
  await using both = await two();
  const { url, line, decider, next } = both;
  await using third = await openOn(url);
  const cut = cutAtFiles(line);
  // The third one wants the lease only when the second one has it.
  await decider[Symbol.asyncDispose]();
  const taking = assert.rejects(takeOver(next), FolderLostError);
  await cut;
  assert.equal(next.lost, undefined, "it waits for the database");
  line.onSent = () => undefined;
  await takeOver(third);
  await line.mend();
  await within(30_000, "the end of the take-over", taking);
  assert.match(next.database.lost!.message, /Another whenthen has taken over the database/);
  assert.ok(next.lost, "what waits for an answer is rejected");
  assert.match(next.warnings.join(), /Cannot take over the decisions from the database .* yet: .*; it is tried again/);
  assert.equal((await send(third.store, "e3")).delivery, "duplicate");
});

Deno.test("a program that ends while it takes over does not wait for the database", async () => {
  const both = await two();
  const { line, decider, next } = both;
  const cut = cutAtFiles(line);
  await decider[Symbol.asyncDispose]();
  const taking = assert.rejects(takeOver(next));
  await cut;
  await within(8_000, "the end", both[Symbol.asyncDispose]());
  await taking;
});

Deno.test("each statement of a replica breaks twice while it takes over: it does not begin anew, and all goes on", async () => {
  const files = {
    "in.yaml": "when: { webhook: /in, auth: none, dedupe: event.data.id }\nlimit: none\nthen: [{ log: seen }]\n",
  };
  await using replicas = await Replicas.start(await server.create(), files, { count: 2 });
  const decider = await replicas.decider();
  const [next] = await replicas.followers();
  const accept = (id: string) =>
    until(`${id} to be answered`, () => next.post("/hooks/in", { id }), ({ status }) => status !== 503);
  assert.equal((await accept("e1")).status, 202);
  const broken = new Map<string, number>();
  next.line.onSent = (text) => {
    // Statements of one kind differ in numbers and ids only.
    const kind = text.replace(/[^a-z_. ]|'[^']*'/g, "").slice(0, 60);
    const count = broken.get(kind) ?? 0;
    if (!/whenthen/.test(text) || count === 2) return undefined;
    broken.set(kind, count + 1);
    return "unanswered";
  };
  await decider.kill();
  await next.program.waitForMessage("This replica decides from now on");
  assert.equal((await accept("e1")).status, 200);
  assert.equal((await accept("e2")).status, 202);
  const isListed = () => Promise.resolve([...broken.keys()].some((kind) => kind.includes("select r.id r.applied")));
  await until("it to look for the runs of others", isListed, (listed) => listed);
  assert.equal(await replicas.decider(), next);
  assert.equal((await accept("e3")).status, 202);
  assert.ok(broken.size > 8, [...broken.keys()].join("\n"));
  assert.doesNotMatch(next.program.output, /begins anew/);
});
