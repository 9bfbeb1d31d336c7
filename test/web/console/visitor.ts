import type { Person } from "../../../runtime/model/form.ts";
import { ANNA } from "../forms/harness.ts";
import type { Bench } from "../harness.ts";

/** Signs in with "correct horse"; sees and does everything. */
export const OPERATOR: Person = { ...ANNA, id: "olga", name: "Olga", email: "olga@example.org", groups: ["operators"] };
/** Signs in with "correct horse"; sees the forms addressed to her. */
export { ANNA };

const SITE = "http://127.0.0.1:8080";

/** What a page answered. */
export interface Shown {
  status: number;
  text: string;
  headers: Headers;
  location: string | null;
}

/** A browser without a screen: requests pages, keeps its cookies, sends back the hidden inputs of forms. */
export class Visitor {
  readonly #cookies = new Map<string, string>();

  constructor(private readonly bench: Bench, private readonly headers: Record<string, string> = {}) {}

  get(path: string, headers: Record<string, string> = {}): Promise<Shown> {
    return this.#send(path, { headers });
  }

  /** Sends inputs as if from one of our own pages. */
  post(path: string, inputs: Record<string, string>, headers: Record<string, string> = {}): Promise<Shown> {
    const own = { origin: SITE, "sec-fetch-site": "same-origin", ...headers };
    return this.#send(path, { method: "POST", body: new URLSearchParams(inputs), headers: own });
  }

  /** Opens a page and submits its form for an address, with these inputs and the form's hidden ones. */
  async submit(page: string, to: string, inputs: Record<string, string> = {}): Promise<Shown> {
    const { text } = await this.get(page);
    const form = text.split("<form").find((part) => part.includes(`action="${to}"`));
    if (form === undefined) throw new Error(`No form on ${page} leads to ${to}: ${text}`);
    const hidden = form.split("</form>")[0].matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g);
    return await this.post(to, {
      ...Object.fromEntries([...hidden].map(([, name, value]) => [name, value])),
      ...inputs,
    });
  }

  signIn(name: string, to?: string): Promise<Shown> {
    return this.post("/forms/sign-in", { name, password: "correct horse", ...to !== undefined && { to } });
  }

  setCookie(name: string, value: string): void {
    this.#cookies.set(name, value);
  }

  async #send(path: string, init: RequestInit): Promise<Shown> {
    const request = new Request(`${SITE}${path}`, init);
    for (const [name, value] of Object.entries({ accept: "text/html", ...this.headers })) {
      if (!request.headers.has(name) || name === "accept") request.headers.set(name, value);
    }
    const cookies = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    if (cookies !== "") request.headers.set("cookie", cookies);
    const response = await this.bench.web.fetch(request, () => "192.0.2.1");
    for (const set of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
      if (/Max-Age=0/.test(set)) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    const { status, headers } = response;
    return { status, text: await response.text(), headers, location: headers.get("location") };
  }
}
