import type { Command } from "commander";
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { describeState, type RunState } from "../../../runtime/model/run.ts";
import { addCommand, ask, type CommonOptions, print, type Session } from "../session.ts";

/** `replay`, `retry`, `skip`, `move`, `cancel`, `pause` and `resume`: what an operator can do to a run or a rule. */
export function addOperations(program: Command, session: Session): void {
  const onRun = (name: string, description: string, say: (run: string, answer: Answer) => string) =>
    addCommand(program, name, description)
      .argument("<run>", "id of a run")
      .action((run: string, _options, command: Command) => post(command, runPath(run, name), {}, (a) => say(run, a)));

  onRun("replay", "run the event of a run once more, by the rule as it is now", (run, answer) => {
    return `Run ${answer.run} replays run ${run}`;
  });
  onRun("retry", "let a failed run go on: with the step that failed, behind the last good one", (run, { step }) => {
    return `Run ${run} goes on ${step === undefined ? "behind its last recorded step" : `with step "${step}"`}`;
  });
  onRun("move", "let a run that waits go on by its rule as it is now", (run) => {
    return `Run ${run} goes on by its rule as it is now`;
  });
  onRun("cancel", "end a run that has not ended yet", (run, { state }) => {
    return state === "cancelled" ? `Run ${run} is cancelled` : `Run ${run} had ended before: ${describeState(state)}`;
  });

  addCommand(program, "skip", "end a wait of a run without what it waits for; its result is null")
    .argument("<run>", "id of a run")
    .argument("[step]", "which wait, if several steps wait, as runs --waiting shows it")
    .action((run: string, step: string | undefined, _options, command: Command) =>
      post(command, runPath(run, "skip"), { step }, (answer) => `Run ${run} does not wait at "${answer.step}" any more`)
    );

  addCommand(program, "pause", "let the events of a rule start nothing until it is resumed")
    .argument("<rule>", "id of a rule")
    .option("--reason <text>", "what the verdicts will say (default: who paused it)")
    .action((rule: string, { reason }: { reason?: string }, command: Command) =>
      post(command, `/api/rules/${pathOf(rule)}/pause`, { reason }, ({ paused }) => `Rule ${rule} is paused: ${paused}`)
    );

  addCommand(program, "resume", "let the events of a paused rule start runs again")
    .argument("<rule>", "id of a rule")
    .action((rule: string, _options, command: Command) =>
      post(command, `/api/rules/${pathOf(rule)}/resume`, {}, () => `Rule ${rule} is on again`)
    );

  function post(command: Command, path: string, body: object, say: (answer: Answer) => string): Promise<void> {
    const options = command.optsWithGlobals<CommonOptions>();
    return ask(session, options, async (client) => {
      const answer = await client.post<Answer>(path, { ...body, by: operatorName() });
      print(session, options, answer, (terminal) => terminal.write(say(answer) + "\n"));
    });
  }
}

type Answer = { run?: string; state: RunState; step?: string; paused?: string };

function runPath(run: string, operation: string): string {
  return `/api/runs/${encodeURIComponent(run)}/${operation}`;
}

/** A rule's id is a path; its slashes stay. */
export function pathOf(rule: string): string {
  return rule.split("/").map(encodeURIComponent).join("/");
}

/** The name of the user of the command line, for the notes of runs; undefined if the system knows none. */
export function operatorName(): string | undefined {
  try {
    const { username, uid } = userInfo();
    // Bun, inside the binary, only reads $USER, which services and containers need not set.
    return username === "unknown" ? accountName(uid) : username;
  } catch {
    // In a container the user may be a number without a name.
    return undefined;
  }
}

function accountName(uid: number): string | undefined {
  const accounts = readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"));
  return accounts.find(([, , id]) => id === String(uid))?.[0];
}
