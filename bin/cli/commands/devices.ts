import type { Command } from "commander";
import { UsageError } from "../../../runtime/model/errors.ts";
import { DEVICE_STATES, type DeviceState, type DeviceView, type Recipients } from "../../../runtime/model/fleet.ts";
import { isFinal } from "../../../runtime/model/run.ts";
import type { EventAnswer } from "../../../runtime/web/answer.ts";
import type { FleetListing, SentTask } from "../../../runtime/web/fleets_api.ts";
import { addCommand, ask, type CommonOptions, ExitCode, limitOption, print, type Session } from "../session.ts";
import { type Client, operatorName, pathOf } from "../client.ts";
import { readTexts, valuesOf } from "../given_values.ts";
import { type Colour, oneLine, paint, printTable, relativeTime, type Terminal } from "../print/terminal.ts";

interface ListOptions extends CommonOptions {
  fleet?: string;
  state?: string;
  tag?: string;
  limit: number;
}

interface TaskOptions extends CommonOptions {
  to: string[];
  max?: string;
  timeout?: string;
}

const COLOURS: Record<DeviceState, Colour> = {
  waiting: "dim",
  initializing: "dim",
  initialized: "yellow",
  reachable: "green",
  unreachable: "yellow",
  dead: "red",
  failed: "red",
};

/** `devices` and `task`: lists the devices of the running program, and sends them tasks. */
export function addDevices(program: Command, session: Session): void {
  addCommand(program, "devices", "the devices of the fleets, with their states")
    .option("--fleet <fleet>", "only this fleet: the path of its file without extension")
    .option("--state <state>", `only devices in this state: ${DEVICE_STATES.join(", ")}`)
    .option("--tag <tag>", "only devices with this tag")
    .addOption(limitOption())
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<ListOptions>();
      return ask(session, options, async (client) => {
        needsProgram(client, "list devices");
        const { fleet, state, tag, limit } = options;
        const query = { fleet, state, tag, limit: String(limit) };
        print(session, options, await client.get<DeviceView[]>("/api/devices", query), printDevices);
      });
    });

  addCommand(program, "task", "send a task to devices of a fleet, and wait for their answers")
    .argument("<fleet>", "id of a fleet: the path of its file without extension")
    .argument("<task>", "one of its tasks")
    .argument("[values...]", "its inputs, such as delay=5s; a name twice is a list")
    .requiredOption("--to <device...>", "names of devices, tag:NAME for those with a tag, or all")
    .option("--max <count>", "how many devices at once (default: 100)")
    .option("--timeout <duration>", "for each device, such as 30s (default: that of the task)")
    .action((fleet: string, task: string, pairs: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<TaskOptions>();
      // Commander reads words after --to as more of its values.
      const to = options.to.filter((word) => !word.includes("="));
      const more = options.to.filter((word) => word.includes("="));
      return ask(session, options, async (client) => {
        needsProgram(client, "send a task");
        const path = `/api/fleets/${pathOf(fleet)}/tasks`;
        const { tasks } = await client.get<FleetListing>(`/api/fleets/${pathOf(fleet)}`);
        const texts = readTexts("send a task", [...pairs, ...more]);
        const inputs = tasks.find(({ name }) => name === task)?.inputs ?? {};
        const { runs: [run] } = await client.post<EventAnswer>(path, {
          task,
          to: recipientsOf(to),
          inputs: valuesOf(texts, inputs),
          ...options.max !== undefined && { max: Number(options.max) },
          timeout: options.timeout,
          by: operatorName(),
        });
        const sent = await ended(client, run);
        if (sent.state !== "succeeded") session.exitCode = ExitCode.failed;
        print(session, options, sent, printResults);
      });
    });
}

/** Milliseconds between two looks at a run. */
const PAUSE = 200;

/** Waits for the end of a task. */
async function ended(client: Client, run: string): Promise<SentTask> {
  for (;;) {
    const sent = await client.get<SentTask>(`/api/tasks/${run}`);
    if (isFinal(sent.state)) return sent;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

/** Only a running program has sessions with devices. */
function needsProgram({ live }: Client, what: string): void {
  if (!live) throw new UsageError(`Cannot ${what}: no whenthen is running on this folder; start it with whenthen run`);
}

function recipientsOf(to: string[]): Recipients {
  const tags = to.filter((word) => word.startsWith("tag:")).map((word) => word.slice(4));
  if (tags.length > 0 && tags.length < to.length) throw new UsageError("Cannot send to names and tags at once");
  if (tags.length > 0) return { tags };
  return to.length === 1 ? to[0] : to;
}

function printDevices(terminal: Terminal, devices: DeviceView[]): void {
  if (devices.length === 0) return terminal.write("No devices\n");
  const rows = devices.map(({ fleet, device, state, since, tags, error }) => [
    fleet,
    device,
    { text: state, colour: COLOURS[state] },
    relativeTime(since, terminal.now),
    tags.join(" "),
    error ?? "",
  ]);
  printTable(terminal, ["FLEET", "DEVICE", "STATE", "SINCE", "TAGS", "WHY"], rows);
}

function printResults(terminal: Terminal, { total, failed, results, error }: SentTask): void {
  for (const { device, success, error, return: returned } of results) {
    const says = success ? (returned === null ? "done" : JSON.stringify(returned)) : error!;
    terminal.write(paint(terminal, success ? "green" : "red", oneLine(`${device}: ${says}`)) + "\n");
  }
  if (total === 0 && error !== undefined) return terminal.write(paint(terminal, "red", oneLine(error)) + "\n");
  terminal.write(`${total - failed} of ${total} succeeded\n`);
}
