import type { Form, Person } from "../../../runtime/model/form.ts";
import { type Bench, NOW, onEvent, openBench, rule } from "../harness.ts";

const DAY = 86_400_000;

export const ANNA: Person = {
  id: "anna",
  name: "Anna Smith",
  email: "anna@example.org",
  groups: ["finance"],
  // "correct horse" at the least cost.
  password: "scrypt.10.8.1.AAAAAAAAAAAAAAAAAAAAAA.6T3EPrWlvRG_y8-HDJ-XRLH2SiAP9RFvuF7ZslX9Uhw",
};
export const CARL: Person = { id: "carl", name: "Carl", email: "carl@example.org", groups: [] };

/** A refund that somebody has to decide. */
export const FIELDS: Form["fields"] = {
  decision: { type: "choice", required: true, choices: ["approve", "reject"] },
  reason: { type: "text", required: false, lines: 5, help: "Why so?" },
};

/** A page as in a browser: it keeps cookies and sends them back. */
export interface Shown {
  status: number;
  text: string;
  headers: Headers;
}

/** The pages over a real store, with a form for finance. */
export class FormsBench implements AsyncDisposable {
  #cookie: string | undefined;

  private constructor(readonly web: Bench) {}

  static async open(people: Person[] = [ANNA, CARL]): Promise<FormsBench> {
    const web = await openBench([rule("shop/refund", [onEvent("refund")])]);
    web.people.push(...structuredClone(people));
    return new FormsBench(web);
  }

  /** A run that waits for a form. @returns the form's id */
  async ask(changes: Partial<Pick<Form, "title" | "to" | "fields" | "due">> = {}, id = "f1"): Promise<string> {
    const { store, clock, context } = this.web;
    await context.ingest.publish({ type: "refund", id, source: "/test", data: {}, time: new Date(NOW).toISOString() });
    const [{ run }] = await store.claimRuns("me", 1, clock.now());
    const form = { id, title: "Refund 250 EUR?", to: ["finance"], fields: FIELDS, due: clock.now() + DAY, ...changes };
    const { due, ...rest } = form;
    await store.recordStep(
      run.id,
      {
        path: "approval",
        kind: "form",
        state: "waiting",
        attempts: 1,
        startedAt: clock.now(),
      },
      { wait: { kind: "form", form: { ...rest, ...due !== undefined && { due } } } },
      clock.now(),
    );
    await store.suspendRun(run.id, { state: "waiting", waitingFor: "a form", spent: 1 }, clock.now());
    return id;
  }

  /** Requests a page, with the last cookie. */
  async get(path: string, headers: Record<string, string> = {}): Promise<Shown> {
    return await this.#send(path, { headers });
  }

  /** Submits inputs as a browser does from our page. */
  async post(path: string, inputs: Record<string, string>, headers: Record<string, string> = {}): Promise<Shown> {
    const init = { method: "POST", body: new URLSearchParams(inputs), headers: { ...SAME_ORIGIN, ...headers } };
    return await this.#send(path, init);
  }

  /** Submits inputs and files, as a browser does from our page. */
  async upload(path: string, inputs: Record<string, string | File>): Promise<Shown> {
    const body = new FormData();
    const { text } = await this.get(path);
    for (const [name, value] of Object.entries({ ...hiddenInputs(text), ...inputs })) body.append(name, value);
    return await this.#send(path, { method: "POST", body, headers: SAME_ORIGIN });
  }

  async signIn(name = "anna", password = "correct horse"): Promise<Shown> {
    return await this.post("/forms/sign-in", { name, password });
  }

  signOut(): void {
    this.#cookie = undefined;
  }

  /** Opens a page and submits its form: hidden inputs unchanged, with these values. */
  async fill(path: string, inputs: Record<string, string>): Promise<Shown> {
    const { text } = await this.get(path);
    return await this.post(path, { ...hiddenInputs(text), ...inputs });
  }

  /** The query of a link. */
  link(form: string, person: Person, expires?: number): string {
    const { desk: { links } } = this.web.context;
    return `/forms/${form}?${links.query(form, person, expires, this.web.clock.now())}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.web[Symbol.asyncDispose]();
  }

  async #send(path: string, init: RequestInit): Promise<Shown> {
    const request = new Request(`http://127.0.0.1:8080${path}`, init);
    if (this.#cookie !== undefined) request.headers.set("cookie", this.#cookie);
    const response = await this.web.web.fetch(request, () => "192.0.2.1");
    const set = response.headers.get("set-cookie");
    if (set !== null) this.#cookie = /Max-Age=0/.test(set) ? undefined : set.split(";")[0];
    return { status: response.status, text: await response.text(), headers: response.headers };
  }
}

const SAME_ORIGIN = { origin: "http://127.0.0.1:8080", "sec-fetch-site": "same-origin" };

/** The hidden inputs of the last form on a page. */
export function hiddenInputs(page: string): Record<string, string> {
  const form = page.slice(page.lastIndexOf("<form"));
  const inputs = form.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g);
  return Object.fromEntries([...inputs].map(([, name, value]) => [name, value]));
}
