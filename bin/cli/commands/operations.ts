import type { Command } from "commander";
import type { Json } from "../../../runtime/model/json.ts";
import { describeState, type RunState } from "../../../runtime/model/run.ts";
import type { ConfigListing } from "../../../runtime/web/config_api.ts";
import { type Client, operatorName, pathOf, runOf } from "../client.ts";
import { readTexts, valuesOf } from "../given_values.ts";
import { printConfig } from "../print/listings.ts";
import { addCommand, ask, type CommonOptions, print, RUN, type Session } from "../session.ts";

/** `replay`, `retry`, `skip`, `move`, `cancel`, `pause` and `resume`: what an operator can do to a run or a rule. */
export function addOperations(program: Command, session: Session): void {
  const onRun = (name: string, description: string, say: (run: string, answer: Answer) => string) =>
    addCommand(program, name, description)
      .argument("<run>", RUN)
      .action((run: string, _options, command: Command) => postToRun(command, run, name, {}, say));

  onRun("replay", "run the event of a run once more, by the rule as it is now", (run, answer) => {
    return `Run ${answer.run} replays run ${run}`;
  });
  onRun("retry", "resume a failed run with the step that failed, after the last successful one", (run, { step }) => {
    return `Run ${run} resumes ${step === undefined ? "after its last recorded step" : `with step "${step}"`}`;
  });
  onRun("move", "let a waiting run continue with its rule as it is now", (run) => {
    return `Run ${run} continues with its rule as it is now`;
  });
  onRun("cancel", "end a run that has not ended yet", (run, { state }) => {
    return state === "cancelled" ? `Run ${run} is cancelled` : `Run ${run} has already ended: ${describeState(state)}`;
  });

  addCommand(program, "skip", "end a wait of a run without what it waits for; its result is null")
    .argument("<run>", RUN)
    .argument("[step]", "which wait, if several steps wait, as runs --waiting shows it")
    .action((run: string, step: string | undefined, _options, command: Command) =>
      postToRun(command, run, "skip", { step }, (id, answer) => `Run ${id} does not wait at "${answer.step}" any more`)
    );

  addCommand(program, "pause", "let the events of a rule start nothing until it is resumed")
    .argument("<rule>", "id of a rule")
    .option("--reason <text>", "the reason in the verdicts (default: who paused it)")
    .action((rule: string, { reason }: { reason?: string }, command: Command) =>
      post(command, `/api/rules/${pathOf(rule)}/pause`, { reason }, ({ paused }) => `Rule ${rule} is paused: ${paused}`)
    );

  addCommand(program, "resume", "let the events of a paused rule start runs again")
    .argument("<rule>", "id of a rule")
    .action((rule: string, _options, command: Command) =>
      post(command, `/api/rules/${pathOf(rule)}/resume`, {}, () => `Rule ${rule} is resumed`)
    );

  function postToRun(
    command: Command,
    text: string,
    operation: string,
    body: object,
    say: (run: string, answer: Answer) => string,
  ): Promise<void> {
    return ask(session, command.optsWithGlobals<CommonOptions>(), async (client) => {
      const run = await runOf(client, text);
      await send(client, command, `/api/runs/${encodeURIComponent(run)}/${operation}`, body, (a) => say(run, a));
    });
  }

  function post(command: Command, path: string, body: object, say: (answer: Answer) => string): Promise<void> {
    return ask(session, command.optsWithGlobals(), (client) => send(client, command, path, body, say));
  }

  async function send(
    client: Client,
    command: Command,
    path: string,
    body: object,
    say: (answer: Answer) => string,
  ): Promise<void> {
    const answer = await client.post<Answer>(path, { ...body, by: operatorName() });
    print(session, command.optsWithGlobals(), answer, (terminal) => terminal.write(say(answer) + "\n"));
  }
}

type Answer = { run?: string; state: RunState; step?: string; paused?: string };

/** `config`: the config of a rule with where each value comes from; sets values, as its page does. */
export function addConfig(program: Command, session: Session): void {
  addCommand(program, "config", "the config of a rule, and where each value comes from; sets values as its page does")
    .argument("<rule>", "id of a rule")
    .argument("[values...]", "values to set, such as limit=5; a name twice is a list")
    .option("--remove <key...>", "removes what was set so, and the layer below applies")
    .action((rule: string, pairs: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { remove?: string[] }>();
      const { remove = [] } = options;
      const texts = readTexts("config", pairs);
      return ask(session, options, async (client) => {
        const path = `/api/rules/${pathOf(rule)}/config`;
        let listing = await client.get<ConfigListing[]>(path);
        if (texts.size + remove.length > 0) {
          const fields = Object.fromEntries(listing.map(({ key, field }) => [key, field]));
          const set: Record<string, Json> = valuesOf(texts, fields);
          for (const key of remove) set[key] = null;
          listing = await client.post<ConfigListing[]>(path, { set, by: operatorName() });
        }
        print(session, options, listing, printConfig);
      });
    });
}
