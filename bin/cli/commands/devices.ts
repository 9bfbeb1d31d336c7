import { type Command, Option } from "commander";
import { writeExactJson } from "../../../runtime/formats/exact_json.ts";
import { UsageError } from "../../../runtime/model/errors.ts";
import { DEVICE_STATES, type DeviceState, type DeviceView, type Recipients } from "../../../runtime/model/fleet.ts";
import { isFinal } from "../../../runtime/model/run.ts";
import type { EventAnswer } from "../../../runtime/web/answer.ts";
import type { DeviceDetail, FleetListing, SentTask } from "../../../runtime/web/fleets_api.ts";
import { addCommand, ask, type CommonOptions, ExitCode, limitOption, print, type Session } from "../session.ts";
import { type Client, operatorName, pathOf } from "../client.ts";
import { readTexts, valuesOf } from "../given_values.ts";
import { RUN_COLOURS } from "../print/listings.ts";
import { printFact } from "../print/trace.ts";
import { type Colour, deadline, oneLine, paint, printTable, relativeTime, type Terminal } from "../print/terminal.ts";

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
  distributing: "dim",
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
  addCommand(program, "devices", "the devices of the fleets, with their states, or one of them")
    .argument("[device]", "one device: all that is known of it, its last events and tasks")
    .option("--fleet <fleet>", "only this fleet: the path of its file without extension")
    .addOption(new Option("--state <state>", "only devices in this state").choices(DEVICE_STATES))
    .option("--tag <tag>", "only devices with this tag")
    .addOption(limitOption())
    .action((device: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<ListOptions>();
      return ask(session, options, async (client) => {
        needsProgram(client, "list devices");
        const { fleet, state, tag, limit } = options;
        if (device !== undefined) {
          const query = { fleet, name: device };
          return print(session, options, await client.get<DeviceDetail>("/api/device", query), printDevice);
        }
        const query = { fleet, state, tag, limit: String(limit) };
        print(session, options, await client.get<DeviceView[]>("/api/devices", query), printDevices);
      });
    });

  addCommand(program, "task", "send a task to devices of a fleet, and wait for their answers")
    .argument("<fleet>", "id of a fleet: the path of its file without extension")
    .argument("<task>", "one of its tasks")
    .argument("[values...]", "its inputs, such as delay=5s; a name twice is a list")
    .requiredOption(
      "--to <device...>",
      "names of devices, tag:NAME for those with a tag, or all; a name with = right after --to",
    )
    .option("--max <count>", "how many devices at once (default: 100)")
    .option("--timeout <duration>", "for each device, such as 30s (default: that of the task)")
    .action((fleet: string, task: string, pairs: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<TaskOptions>();
      // Commander reads words after --to as more of its values. The first one is always a device.
      const named = firstOfEach(command, "--to");
      const isInput = (word: string) => word.includes("=") && !named.has(word);
      const to = options.to.filter((word) => !isInput(word));
      const more = options.to.filter(isInput);
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

/** The words right after an option, each time that it was given. */
function firstOfEach(command: Command, option: string): Set<string> {
  const { rawArgs } = command.parent as Command & { rawArgs: string[] };
  return new Set(rawArgs.flatMap((word, index) => {
    if (rawArgs[index - 1] === option) return [word];
    return word.startsWith(`${option}=`) ? [word.slice(option.length + 1)] : [];
  }));
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
  // Only several replicas have owners.
  const isShared = devices.some(({ owner }) => owner !== undefined);
  const rows = devices.map(({ fleet, device, state, since, tags, error, owner }) => [
    fleet,
    device,
    { text: state, colour: COLOURS[state] },
    relativeTime(since, terminal.now),
    ...isShared ? [ownerText(owner) ?? ""] : [],
    tags.join(" "),
    error ?? "",
  ]);
  const owned = isShared ? ["OWNER"] : [];
  printTable(terminal, ["FLEET", "DEVICE", "STATE", "SINCE", ...owned, "TAGS", "WHY"], rows);
}

/** `web-1 at http://…`: the replica that looks after a device. */
function ownerText(owner: DeviceView["owner"]): string | undefined {
  return owner && `${owner.host || owner.replica}${owner.address === null ? "" : ` at ${owner.address}`}`;
}

function printDevice(terminal: Terminal, device: DeviceDetail): void {
  const { now } = terminal;
  const { fleet, device: name, state, since, failures, lastPing, error, again, tags, data, info } = device;
  const fact = (label: string, text: string | undefined) => {
    if (text !== undefined) printFact(terminal, label, text);
  };
  fact("device", `${name} of ${fleet}`);
  fact("state", `${state}, since ${relativeTime(since, now)}`);
  fact("owner", ownerText(device.owner));
  fact("why", error);
  fact("again", again === undefined ? undefined : deadline(again, now));
  fact("failed", failures > 0 ? `${failures} pings in a row` : undefined);
  fact("pinged", lastPing === undefined ? undefined : relativeTime(lastPing, now));
  fact("tags", tags.length > 0 ? tags.join(" ") : undefined);
  fact("item", writeExactJson(data));
  fact("session", info === undefined ? undefined : writeExactJson(info));
  if (device.tasks.length > 0) {
    terminal.write("\n");
    const sent = device.tasks.map(({ run, task, state, at }) => [
      task,
      { text: state, colour: RUN_COLOURS[state] },
      relativeTime(at, now),
      run,
    ]);
    printTable(terminal, ["TASK", "STATE", "SENT", "RUN"], sent);
  }
  terminal.write("\n");
  if (device.events.length === 0) return terminal.write("No events: they are stored if a rule listens to them\n");
  const events = device.events.map(({ type, at, error }) => [type, relativeTime(at, now), error ?? ""]);
  printTable(terminal, ["EVENT", "WHEN", "WHY"], events);
}

function printResults(terminal: Terminal, { total, failed, results, error }: SentTask): void {
  for (const { device, success, error, return: returned } of results) {
    const says = success ? (returned === null ? "done" : JSON.stringify(returned)) : error!;
    terminal.write(paint(terminal, success ? "green" : "red", oneLine(`${device}: ${says}`)) + "\n");
  }
  if (total === 0 && error !== undefined) return terminal.write(paint(terminal, "red", oneLine(error)) + "\n");
  terminal.write(`${total - failed} of ${total} succeeded\n`);
}
