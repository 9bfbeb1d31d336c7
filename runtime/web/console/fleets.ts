import type { Context, Hono } from "hono";
import { writeExactJson } from "../../formats/exact_json.ts";
import { UsageError } from "../../model/errors.ts";
import { DEVICE_STATES, type DeviceState, type DeviceView, type FleetSummary } from "../../model/fleet.ts";
import type { Json } from "../../model/json.ts";
import type { WebContext } from "../context.ts";
import { detailOf, type DeviceDetail, tasksFor } from "../fleets_api.ts";
import { csrfInput, notice, page, readAction } from "./shell.ts";
import { countLinks, type Filter, filterForm, filtersOf, href, idPath, LONG_PAGE, pager, rowTable } from "./lists.ts";
import { liveMark, type Look, part } from "./live.ts";
import { factList, hiddenInput, type Markup, markup, type Part } from "./markup.ts";
import { timesFor } from "./times.ts";
import type { ConsoleEnv, Viewer } from "./viewer.ts";
import { word } from "./words.ts";

const AT = "/fleets";
const DEVICE = "/device";
const FILTERS = [
  { name: "name", label: "Name", placeholder: "part of a name" },
  { name: "state", label: "State", choices: DEVICE_STATES },
  { name: "tag", label: "Tag" },
] as const satisfies Filter[];

/** `/fleets`, `/fleets/<id>` with its devices, and `/device?fleet=…&name=…`. Other people than operators see only the tasks that they may send. */
export function addFleets(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(AT, (c) => list(c, context));
  app.get(`${AT}/:id{.+}`, async (c) => {
    const found = visibleFleet(c, context, c.req.param("id"));
    return found === undefined ? await unknownFleet(c, context) : await fleetPage(c, context, found);
  });
  app.get(DEVICE, (c) => devicePage(c, context));
  app.post(`${DEVICE}/again`, (c) => again(c, context));
}

/** The path of a fleet's page; its id may contain slashes. */
export function fleetPath(id: string): string {
  return idPath(AT, id);
}

function devicePath(fleet: string, name: string): string {
  return href(DEVICE, { fleet, name });
}

/** The path of the form that sends a task. @param to the device filled in; none by default */
function taskPath(fleet: string, task: string, to?: string): string {
  return href("/task", { fleet, task, to });
}

/** A fleet that the viewer may see: operators see all of them, other people those with a task for them. */
export function visibleFleet(c: Context<ConsoleEnv>, { fleets }: WebContext, id: string): FleetSummary | undefined {
  const found = fleets.get(id);
  return found !== undefined && mayView(c.get("viewer"), found) ? found : undefined;
}

function mayView({ person, isOperator }: Viewer, found: FleetSummary): boolean {
  return isOperator || (person !== undefined && tasksFor(found, person).length > 0);
}

export function unknownFleet(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const text = markup`There is no fleet at this address for you. <a href="${AT}">All fleets</a>`;
  return page(c, context, notice("No such fleet", text, AT), 404);
}

// ── the fleets ───────────────────────────────────────────────────────────────────────────────────────────────────────

function list(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const { isOperator } = c.get("viewer");
  const body = markup`<h1>Fleets</h1>
<div id="fleets">${fleetTable(c, context)}</div>`;
  const head = isOperator && liveMark("/live?page=fleets");
  return page(c, context, { title: "Fleets", at: AT, head, body });
}

/** The live part of `/fleets`. */
export function lookForFleets(c: Context<ConsoleEnv>, context: WebContext): Look {
  return () => Promise.resolve({ parts: [part("fleets", fleetTable(c, context))] });
}

function fleetTable(c: Context<ConsoleEnv>, { fleets }: WebContext): Markup {
  const viewer = c.get("viewer");
  const visible = fleets.list().filter((found) => mayView(viewer, found));
  if (visible.length === 0) {
    const none = viewer.isOperator
      ? "There are no fleets: a file with devices: is one."
      : "No fleet has a task for you.";
    return markup`<p class="soft">${none}</p>`;
  }
  const rows = visible.map(({ fleet: { id, name = id }, total, counts, problem }) =>
    markup`<tr><td class="grow cut"><div><a href="${fleetPath(id)}">${name}</a></div></td>
<td class="why">${shown(counts)}${problem !== null && markup` <span class="error">${problem}</span>`}</td>
<td class="number nowrap">${total.toLocaleString("en")}</td></tr>
`
  );
  return rowTable("", ["Fleet", "Its devices", ["All", "number"]], rows);
}

/** `812 reachable, 3 dead`: states that no device has are left out. */
function shown(counts: Record<DeviceState, number>): Part {
  const states = DEVICE_STATES.filter((state) => counts[state] > 0);
  return states.map((state) => markup`${counts[state].toLocaleString("en")} ${word(state)} `);
}

// ── a fleet ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async function fleetPage(c: Context<ConsoleEnv>, context: WebContext, found: FleetSummary): Promise<Response> {
  const { fleet: { id, name = id, help, file } } = found;
  const viewer = c.get("viewer");
  const path = fleetPath(id);
  const set = filtersOf(c, FILTERS);
  const body = markup`<p class="crumbs"><a href="${AT}">Fleets</a></p>
<div class="beside top"><h1>${name}</h1> <div id="counts">${viewer.isOperator && countsOf(found, path, set)}</div></div>
${help !== undefined && markup`<p>${help}</p>`}
${found.problem !== null && markup`<p class="error">${found.problem}</p>`}
${tasksSection(viewer, found)}
${viewer.isOperator && await deviceList(c, context, id, path)}
<p class="soft">This page is the file <code>${file}</code>.</p>`;
  const head = viewer.isOperator && liveMark(href("/live", { page: "fleet", fleet: id, ...set }));
  return await page(c, context, { title: name, at: AT, head, body });
}

function countsOf({ counts }: FleetSummary, path: string, set: ReturnType<typeof filtersOf>): Markup {
  return countLinks(
    "Devices by state",
    path,
    "state",
    set,
    DEVICE_STATES.map((name) => ({ name, count: counts[name] })),
  );
}

/** The live part of a fleet's page. */
export function lookForFleet(c: Context<ConsoleEnv>, { fleets }: WebContext): Look {
  const { fleet = "" } = c.req.query();
  const set = filtersOf(c, FILTERS);
  return () => {
    const found = fleets.get(fleet);
    const parts = found === undefined ? [] : [part("counts", countsOf(found, fleetPath(fleet), set))];
    return Promise.resolve({ parts, isLast: found === undefined });
  };
}

async function deviceList(c: Context<ConsoleEnv>, context: WebContext, id: string, path: string): Promise<Markup> {
  const set = filtersOf(c, FILTERS);
  const { before } = c.req.query();
  const { state, tag, name } = set;
  const { devices } = await context.fleets.devices(id, {
    max: LONG_PAGE + 1,
    ...name !== undefined && { name },
    ...state !== undefined && { states: DEVICE_STATES.filter((each) => each === state) },
    ...tag !== undefined && { tags: [tag] },
    ...before !== undefined && { after: before },
  });
  const next = devices.length > LONG_PAGE ? devices[LONG_PAGE - 1].device : undefined;
  const times = timesFor(c, context);
  const rows = devices.slice(0, LONG_PAGE).map(({ device, state, tags, since, error }) =>
    markup`<tr><td class="state nowrap">${word(state)}</td>
<td class="grow cut"><div><a href="${devicePath(id, device)}">${device}</a></div></td>
<td class="wide soft">${tags.join(", ")}</td><td class="why cut"><div>${error}</div></td>
<td class="number nowrap">${times.short(since)}</td></tr>
`
  );
  return markup`<section><h2>Devices</h2>
${filterForm(path, FILTERS, set)}
${
    rows.length === 0
      ? markup`<p class="soft">No device is like that.</p>`
      : rowTable("", ["State", "Device", ["Tags", "wide"], "Why", ["Since", "number"]], rows)
  }
${pager(path, set, before, next)}</section>`;
}

/** Links to the forms that send a task. @param to the device filled in; none by default */
function tasksSection(viewer: Viewer, found: FleetSummary, to?: string): Markup | false {
  const tasks = tasksFor(found, viewer.isOperator ? undefined : viewer.person);
  const links = tasks.map(({ name, title = name, help }) =>
    markup`<li><a href="${taskPath(found.fleet.id, name, to)}">${title}</a>${
      help && markup` <span class="soft">${help}</span>`
    }</li>
`
  );
  return tasks.length > 0 && markup`<section><h2>Tasks</h2>
<ul>
${links}</ul></section>`;
}

// ── a device ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function devicePage(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const { fleet: id = "", name = "" } = c.req.query();
  const viewer = c.get("viewer");
  const found = viewer.isOperator ? context.fleets.get(id) : undefined;
  const device = found && await context.fleets.device(id, name);
  if (found === undefined || device === undefined) {
    const text = markup`There is no device at this address for you. <a href="${AT}">All fleets</a>`;
    return await page(c, context, notice("No such device", text, AT), 404);
  }
  const { events, tasks } = await detailOf(context, device);
  const body = markup`<p class="crumbs"><a href="${AT}">Fleets</a> › <a href="${fleetPath(id)}">${id}</a></p>
<h1>${name}</h1>
<div id="device">${deviceFacts(c, context, device)}</div>
${againForm(viewer, device)}
${tasksSection(viewer, found, name)}
<section><h2>Its item</h2>
${jsonMarkup("The item of the inventory", device.data)}</section>
${
    device.info !== undefined && markup`<section><h2>Its session</h2>
${jsonMarkup("What the platform says", device.info)}</section>`
  }
<section><h2>Tasks by hand</h2>
${sentTable(c, context, tasks)}</section>
<section><h2>Events</h2>
${eventTable(c, context, events)}</section>`;
  const head = liveMark(href("/live", { page: "device", fleet: id, name }));
  return await page(c, context, { title: name, at: AT, head, body });
}

/** The live part of a device's page. */
export function lookForDevice(c: Context<ConsoleEnv>, context: WebContext): Look {
  const { fleet = "", name = "" } = c.req.query();
  return async () => {
    const device = context.fleets.get(fleet) && await context.fleets.device(fleet, name);
    if (device === undefined) return { parts: [], isLast: true };
    return { parts: [part("device", deviceFacts(c, context, device))] };
  };
}

function deviceFacts(c: Context<ConsoleEnv>, context: WebContext, device: DeviceView): Markup {
  const { state, since, tags, failures, lastPing, error, again, owner } = device;
  const times = timesFor(c, context);
  return factList([
    ["State", [word(state), " since ", times.long(since)]],
    ["Replica", owner && [owner.host || owner.replica, owner.address !== null && ` at ${owner.address}`]],
    ["Why", error !== undefined && markup`<span class="error">${error}</span>`],
    ["Tried again", again !== undefined && times.long(again)],
    ["Failed pings in a row", failures > 0 && String(failures)],
    ["Last ping", lastPing !== undefined && times.distance(lastPing)],
    ["Tags", tags.length > 0 && tags.join(", ")],
  ]);
}

function againForm({ csrf }: Viewer, { fleet, device, again }: DeviceView): Markup | false {
  return again !== undefined && markup`<form method="post" action="${DEVICE}/again" class="actions">
${csrfInput(csrf)}${hiddenInput("fleet", fleet)}${hiddenInput("name", device)}
<button>Try again now</button></form>`;
}

async function again(c: Context<ConsoleEnv>, context: WebContext): Promise<Response> {
  const inputs = await readAction(c, context);
  if (inputs instanceof Response) return inputs;
  const { fleet = "", name = "" } = inputs;
  if (!c.get("viewer").isOperator) throw new UsageError("Only operators have a device tried again");
  if (await context.fleets.again(fleet, name)) return c.redirect(devicePath(fleet, name), 303);
  const text = markup`It is neither dead nor failed any more. <a href="${devicePath(fleet, name)}">Back</a>`;
  return await page(c, context, notice("Not tried again", text, AT), 409);
}

function jsonMarkup(label: string, value: Json): Markup {
  return markup`<pre class="value" tabindex="0" aria-label="${label}">${writeExactJson(value, 2)}</pre>`;
}

function sentTable(c: Context<ConsoleEnv>, context: WebContext, tasks: DeviceDetail["tasks"]): Markup {
  if (tasks.length === 0) return markup`<p class="soft">None was sent to this device alone.</p>`;
  const times = timesFor(c, context);
  const shown = tasks.map(({ run, task, state, at }) =>
    markup`<tr><td class="state nowrap">${word(state)}</td>
<td class="grow cut"><div><a href="/runs/${run}">${task}</a></div></td>
<td class="number nowrap">${times.short(at)}</td></tr>
`
  );
  return markup`<table class="rows">
<thead><tr><th>State</th><th>Task</th><th class="number">When</th></tr></thead>
<tbody>
${shown}</tbody>
</table>`;
}

function eventTable(c: Context<ConsoleEnv>, context: WebContext, events: DeviceDetail["events"]): Markup {
  if (events.length === 0) {
    return markup`<p class="soft">None is stored: events are stored if a rule listens to them.</p>`;
  }
  const times = timesFor(c, context);
  const rows = events.map(({ key, type, at, error }) =>
    markup`<tr><td class="nowrap"><a href="/events/${key}">${type}</a></td>
<td class="why cut"><div>${error}</div></td>
<td class="number nowrap">${times.short(at)}</td></tr>
`
  );
  return rowTable("", ["Event", "Why", ["When", "number"]], rows);
}
