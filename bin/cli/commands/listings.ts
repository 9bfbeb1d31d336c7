import { type Command, Option } from "commander";
import { zoneOf } from "../../../runtime/language/fields/cron_schedule.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import { type Run, RUN_STATES } from "../../../runtime/model/run.ts";
import type { RunAnswer } from "../../../runtime/web/config_api.ts";
import { Times } from "../../../runtime/web/console/times.ts";
import { type Client, RefusedError, runOf } from "../client.ts";
import { printEvents, printRules, printRuns, printWaits } from "../print/listings.ts";
import { printTrace } from "../print/trace.ts";
import { addCommand, ask, type CommonOptions, limitOption, print, RUN, type Session, show } from "../session.ts";
import { follow } from "./follow.ts";

interface EventsOptions {
  type?: string;
  rule?: string;
  subject?: string;
  since?: string;
  limit: number;
}

interface RunsOptions {
  rule?: string;
  subject?: string;
  state?: string;
  since?: string;
  waiting?: true;
  follow?: true;
  limit: number;
}

interface ShowOptions {
  last?: true;
  rule?: string;
}

const sinceOption = () =>
  new Option("--since <time>", "only those since then: 2h (ago), 09:00, 2026-11-21 or 2026-11-21T09:00+01:00");

/** `rules`, `events`, `runs` and `show`: what there is, and what happened to it. */
export function addListings(program: Command, session: Session): void {
  addCommand(program, "rules", "the rules, how often each ran, and what is wrong with it")
    .action((_options, command: Command) => {
      return show(session, command.optsWithGlobals(), "/api/rules", printRules);
    });

  addCommand(program, "events", "the last events and what each rule made of them")
    .option("--type <type>", "only events of this type")
    .option("--rule <rule>", "only events that concerned this rule")
    .option("--subject <subject>", "only events about this: an item's key, an order")
    .addOption(sinceOption())
    .addOption(limitOption())
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & EventsOptions>();
      const { type, rule, subject, since, limit } = options;
      const query = { type, rule, subject, from: timeOf(session, since), limit: String(limit) };
      return show(session, options, "/api/events", printEvents, { query, needs: "store" });
    });

  addCommand(program, "runs", "the last runs and how they ended")
    .option("--rule <rule>", "only runs of this rule")
    .option("--subject <subject>", "only runs on events about this")
    .addOption(new Option("--state <state>", "only runs in this state").choices(RUN_STATES))
    .addOption(sinceOption())
    .option("--waiting", "only runs with steps that wait: what each waits for, since when and until when")
    .addOption(
      new Option("--follow", "then print each run when it starts, waits or ends, until interrupted").conflicts(
        "waiting",
      ),
    )
    .addOption(limitOption())
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & RunsOptions>();
      const { rule, subject, state, since, waiting, limit } = options;
      const query = { rule, subject, state, from: timeOf(session, since), limit: String(limit) };
      if (options.follow) return follow(session, options, query);
      const only = { ...query, waiting: waiting && "true" };
      return show(session, options, "/api/runs", waiting ? printWaits : printRuns, { query: only, needs: "store" });
    });

  addCommand(program, "show", "one run: its event, its verdict, and each step with input, output and errors")
    .argument("[run]", RUN)
    .option("--last", "the newest run")
    .option("--rule <rule>", "with --last: the newest run of this rule")
    .action((text: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & ShowOptions>();
      if ((text === undefined) === (options.last === undefined)) {
        throw new UsageError("Cannot show a run: name one, or use --last for the newest");
      }
      if (options.rule !== undefined && !options.last) {
        throw new UsageError("Cannot show a run of --rule: add --last for its newest");
      }
      return ask(session, options, async (client) => {
        const run = text === undefined ? await lastRun(client, options.rule) : await runOf(client, text);
        print(session, options, await client.get<RunAnswer>(`/api/runs/${encodeURIComponent(run)}`), printTrace);
      }, "store");
    });
}

/** The time that `--since` names, as the API takes it. @throws UsageError if it names none */
function timeOf({ terminal }: Session, since: string | undefined): string | undefined {
  const { from } = new Times(terminal.now, zoneOf(undefined)).range(since, undefined);
  return from === undefined ? undefined : new Date(from).toISOString();
}

async function lastRun(client: Client, rule: string | undefined): Promise<string> {
  const [run] = await client.get<Run[]>("/api/runs", { rule, limit: "1" });
  if (run !== undefined) return run.id;
  throw new RefusedError(rule === undefined ? "There are no runs yet" : `There are no runs of the rule "${rule}" yet`);
}
