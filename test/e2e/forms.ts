import type { Program } from "./program.ts";
import { TIMEOUT } from "./until.ts";

/** The rule of the form tests: a refund that finance decides. */
export const REFUND = `
name: Refunds
when: { event: refund.requested }
then:
  - id: approval
    form: Refund \${{ event.data.amount }} EUR?
    to: finance
    fields:
      decision: { type: choice, choices: [approve, reject] }
      amount: { type: number, min: 1, max: 100, title: How much? }
      pause: { type: duration, required: false }
      reason: { type: text, lines: 4, required: false, help: Why so? }
    timeout: 5d
  - log: "\${{ event.id }}: \${{ steps.approval.decision }} by \${{ steps.approval.by }}"
`;

/** "correct horse battery", at the least cost. */
export const PASSWORD = "correct horse battery";
export const HASH = "scrypt.10.8.1.AAAAAAAAAAAAAAAAAAAAAA.AsWvwMY_76m6UtetkFvlJIEPTCAm8Pu2vkYrRktx10s";

/** Anna is in finance, Carl is not; Bob is, but comes only by links. */
export const PEOPLE = `
people:
  anna: { name: Anna Smith, email: anna@example.org, groups: [finance], password: ${HASH} }
  carl: { name: Carl, email: carl@example.org, password: ${HASH} }
  bob: { name: Bob, email: bob@example.org, groups: [finance] }
`;

/** Repeats until there is an answer; the pause leaves processor time to the program. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>, timeout = TIMEOUT): Promise<T> {
  const end = performance.now() + timeout;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`${timeout} ms passed without ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Sends an event whose run opens a form, and waits for it. @returns the form's id */
export async function ask(program: Program, id: string, type = "refund.requested", data: object = { amount: 250 }) {
  const { body: { runs: [run] } } = await program.post("/api/emit", { type, id, data });
  return await until(`a form of run ${run}`, async () => {
    // A short one may expire before it is found.
    for (const state of ["open", "expired"]) {
      const forms: { id: string; run: string }[] = await program.api(`forms?limit=1000&state=${state}`);
      const found = forms.find((form) => form.run === run);
      if (found !== undefined) return found.id;
    }
  });
}

/** A minimal browser: keeps the cookie, sends hidden inputs back, sends the referrer. */
export class Visitor {
  #cookie = "";

  constructor(private readonly program: Program) {}

  /** The same visitor at a restarted program. */
  at(program: Program): Visitor {
    const visitor = new Visitor(program);
    visitor.#cookie = this.#cookie;
    return visitor;
  }

  async get(path: string): Promise<{ status: number; text: string; location: string | null }> {
    return await this.#send(path, {});
  }

  /** Fills in the page at a path. */
  async fill(path: string, inputs: Record<string, string>, to = path) {
    const page = await this.get(path);
    const form = page.text.slice(page.text.lastIndexOf("<form"));
    const hidden = [...form.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)];
    const body = new URLSearchParams({
      ...Object.fromEntries(hidden.map(([, name, value]) => [name, value])),
      ...inputs,
    });
    const url = await this.program.url();
    return await this.#send(to, { method: "POST", body, headers: { origin: url } });
  }

  async signIn(name: string) {
    return await this.fill("/forms/sign-in", { name, password: PASSWORD });
  }

  async #send(path: string, init: RequestInit) {
    const headers = { ...init.headers, cookie: this.#cookie };
    const response = await this.program.fetch(path, { ...init, headers, redirect: "manual" });
    this.#cookie = response.headers.get("set-cookie")?.split(";")[0] ?? this.#cookie;
    return { status: response.status, text: await response.text(), location: response.headers.get("location") };
  }
}
