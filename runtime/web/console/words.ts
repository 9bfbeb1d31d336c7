import type { Hono } from "hono";
import type { ConnectionState } from "../../connections/connection.ts";
import type { DeliveryVerdict, VerdictKind } from "../../model/event.ts";
import type { DeviceState } from "../../model/fleet.ts";
import type { RunState, StepState } from "../../model/run.ts";
import type { WebContext } from "../context.ts";
import type { ReplicaState } from "../replicas.ts";
import { type Markup, markup } from "./markup.ts";
import { page } from "./shell.ts";
import type { ConsoleEnv } from "./viewer.ts";

/** How a state is coloured; the icon and the word say the same without colour. */
export type Tone = "good" | "bad" | "wait" | "off" | "plain";

/** A word that the pages use for a state or a verdict. */
interface Word {
  icon: string;
  tone: Tone;
  /** What it means, for the help page. */
  sentence: string;
}

const look = (icon: string, tone: Tone) => (sentence: string): Word => ({ icon, tone, sentence });
const good = look("✓", "good");
const bad = look("✕", "bad");
const fine = look("✓", "plain");
const ongoing = look("●", "plain");
const pending = look("○", "wait");
const suspended = look("◐", "wait");
const nothing = look("–", "off");

const RUNS = {
  queued: pending("The run has its turn later: after the runs before it, or at the rate of its rule's limit."),
  running: ongoing("A step of the run is being executed."),
  waiting: suspended(
    "The run is suspended until a time, an event or an answer; it survives a restart. A device: its init is in the queue.",
  ),
  succeeded: good("All steps of the run have ended as they should."),
  failed: bad(
    "A step failed with an error that nothing handled. Retry resumes the run at that step. A device: its init failed.",
  ),
  cancelled: look("⊘", "off")("The run was ended early, by a person or by a newer run of its rule."),
} satisfies Record<RunState, Word>;

const STEPS = {
  retrying: look("↻", "wait")("An attempt of the step failed; it is attempted again."),
  skipped: look("⤼", "off")("The step's condition did not hold, or somebody ended its wait; its result is null."),
} satisfies Partial<Record<StepState, Word>>;

const VERDICTS = {
  started: good("The event started a run of the rule."),
  held: pending("The event started a run that is delayed by the rule's limit; it runs later."),
  batched: pending("The event was collected; a run gets it together with others."),
  condition: nothing(
    "A clause of the rule's condition did not hold for the event; the clause and its values are recorded.",
  ),
  busy: nothing(
    "The rule's mode is single and a run of the same key was still under way, so the event started nothing.",
  ),
  disabled: nothing("The rule was paused, or has enabled: false, so the event started nothing."),
  looped: bad(
    "A chain of runs and events was longer than 16; it ends here, so that rules cannot trigger themselves for ever.",
  ),
  invalid: bad("The values that the trigger gives for the rule's inputs are not valid, so the event started nothing."),
  error: bad("The condition or the key of the rule failed with an error."),
} satisfies Record<VerdictKind, Word>;

const DELIVERIES = {
  accepted: fine("The event is new, and at least one rule listens for its type."),
  duplicate: nothing("An event with the same source and id was received before; it starts nothing a second time."),
  unmatched: nothing("No rule listens for events of this type."),
} satisfies Record<DeliveryVerdict, Word>;

const RULES = {
  broken: bad("The rule's file does not load. If there was a good version before, that one stays in force."),
  failing: bad("The rule's last run failed, or one of its triggers fails."),
  overdue: look("!", "bad")(
    "A run of the rule should have resumed over a minute ago: the program was busy, or its limit is too low.",
  ),
  paused: look("‖", "wait")(
    "Somebody paused the rule: its events get the verdict disabled until it is resumed. Runs under way continue.",
  ),
  off: nothing("The rule's file has enabled: false."),
  on: fine("The rule is in force, and nothing about it needs attention."),
} satisfies Record<string, Word>;

const CONNECTIONS = {
  connected: good("The connection has a token; steps and polls can use it."),
  unconnected: pending("It has no token: nobody has connected it yet, its secret is not set, or its server gave none."),
  lost: bad("The server does not renew the connection's token any more: somebody has to connect it again."),
  locked: bad("The connection's tokens were sealed with a key that WHENTHEN_KEY does not contain."),
  unused: nothing("There are tokens of a connection that whenthen.yaml does not name."),
} satisfies Record<ConnectionState, Word>;

/** A device is also waiting or failed, as a run is. */
const DEVICES = {
  distributing: ongoing("No replica has the device yet, or it moves from one to another."),
  initializing: ongoing("The device is being connected: its init is under way."),
  initialized: pending("The device has a session, and was not pinged yet."),
  reachable: good("The last ping of the device worked."),
  unreachable: suspended("The last ping of the device failed."),
  dead: bad("Too many pings in a row failed: the device was stopped, and is tried again after some time."),
} satisfies Partial<Record<DeviceState, Word>>;

const HANDSHAKES = {
  open: pending("For some time the webhook accepts the secrets that its provider gives."),
  closed: nothing("The webhook refuses new secrets; those that it has stay valid."),
} satisfies Record<string, Word>;

const REPLICAS = {
  alive: good("The program has just given a sign of life."),
  silent: suspended("The program has given no sign of life for some seconds: it is cut off, stopped or dead."),
  fenced: nothing(
    "The program has ended or was declared dead: nothing that it sends counts any more. Others continue its runs.",
  ),
  decides: ongoing("The program is the one that decides what becomes of events and runs; it polls, and keeps time."),
  follows: look("○", "plain")(
    "The program takes events, executes runs and answers as the others do, and sends to the one that decides.",
  ),
} satisfies Record<ReplicaState | "decides" | "follows", Word>;

const OTHERS = {
  refused: bad("The request was not accepted: its path, its credentials or its body were wrong, or intake was closed."),
} satisfies Record<string, Word>;

/** The sections of the help page, and all words. */
const SECTIONS = {
  "Rules": RULES,
  "Runs": RUNS,
  "Steps": STEPS,
  "Verdicts of rules on events": VERDICTS,
  "Devices": DEVICES,
  "Connections": CONNECTIONS,
  "Handshakes of webhooks": HANDSHAKES,
  "Replicas": REPLICAS,
  "Deliveries": { ...DELIVERIES, ...OTHERS },
};

const WORDS = {
  ...RULES,
  ...RUNS,
  ...STEPS,
  ...VERDICTS,
  ...DELIVERIES,
  ...CONNECTIONS,
  ...DEVICES,
  ...HANDSHAKES,
  ...REPLICAS,
  ...OTHERS,
};

/** A word with a sentence on the help page. */
export type WordName = keyof typeof WORDS;

export function wordOf(name: WordName): Word {
  return WORDS[name];
}

/** A state or verdict with its icon, as a link to its sentence. @param text instead of the word itself */
export function word(name: WordName, text: string = name): Markup {
  const { icon, tone } = WORDS[name];
  return markup`<a class="word ${tone}" href="/help#${name}"><span aria-hidden="true">${icon}</span> ${text}</a>`;
}

/** `/help`: explains each word that the pages use; `/help#busy` is the address of one. */
export function addHelp(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/help", (c) => {
    const sections = Object.entries(SECTIONS).map(([title, words]: [string, Record<string, Word>]) =>
      markup`<section>
<h2>${title}</h2>
<dl class="words">
${
        Object.entries(words).map(([name, { icon, tone, sentence }]) =>
          markup`<div id="${name}"><dt class="word ${tone}"><span aria-hidden="true">${icon}</span> ${name}</dt><dd>${sentence}</dd></div>\n`
        )
      }</dl>
</section>
`
    );
    const body = markup`<h1>Words</h1>
<p class="soft">What the pages say, and what it means. whenthen ${context.version}.</p>
${sections}`;
    return page(c, context, { title: "Words", at: "/help", body });
  });
}
