import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { FormPeople } from "../../engine/runner_options.ts";
import type { Clock } from "../../host/clock.ts";
import type { Person } from "../../model/form.ts";
import type { Store } from "../../store/store.ts";
import { PasswordCheck, People } from "./people.ts";
import { Devices, FormLinks, isSigned, sign } from "./signatures.ts";

/** Who may use the forms, and how they are authenticated: by link, session or token. */
export interface FormDesk {
  people: People;
  links: FormLinks;
  sessions: Sessions;
  devices: Devices;
  passwords: PasswordCheck;
  /** Key for the proof that a form was sent from our own page. */
  csrfKey: Uint8Array;
  /** Where people reach the program, without a trailing slash. */
  address(): string;
}

/** The dependencies of a desk. */
export interface DeskOptions {
  /** A key of the data folder for one purpose. */
  keyFor: (purpose: string) => Uint8Array;
  /** The people of the settings in force. */
  people: () => Person[];
  address: () => string;
  store: Pick<Store, "getMark" | "accept">;
  clock: Clock;
}

export function openDesk({ keyFor, people: listed, address, store, clock }: DeskOptions): FormDesk {
  const people = new People(listed);
  const devices = new Devices(keyFor("form devices"));
  return {
    people,
    links: new FormLinks(keyFor("form links")),
    sessions: new Sessions(keyFor("form sessions"), people, store, clock),
    devices,
    passwords: new PasswordCheck(people, devices, clock),
    csrfKey: keyFor("form csrf"),
    address,
  };
}

/** The people as the steps see them that ask people. */
export function formPeople({ people, links, address }: FormDesk, clock: Clock, canMail: () => boolean): FormPeople {
  const url = (form: string) => `${address()}/forms/${form}`;
  return {
    find: (to) => people.find(to),
    url,
    link: (form, person, expires) => `${url(form)}?${links.query(form, person, expires, clock.now())}`,
    canMail,
  };
}

/** Milliseconds after which everybody has to sign in again. */
export const SESSION_LIFE = 7 * 86_400_000;
/** The cookie of a session. */
export const SESSION_COOKIE = "whenthen_session";
/** How many ended sessions of a person are remembered singly; all those that are older than these count as ended, too. */
const MOST_ENDED = 100;

/** Who is signed in, and the session's cookie. */
export interface Session {
  person: Person;
  cookie: string;
}

/** The sessions of a person that were ended early, as stored. */
const ENDED = z.object({
  /** All sessions that would have expired by then have ended; milliseconds since the epoch. */
  until: z.number().default(0),
  /** By nonce: when the session would have expired. */
  sessions: z.record(z.string(), z.number()).default({}),
});

type Ended = z.infer<typeof ENDED>;

/**
 * Stateless sessions: the cookie names the person and the expiry, signed together with the hash of the person's password. A
 * new password, or the removal of the person, makes it invalid. Sessions that were ended by a sign-out are kept in the
 * store until their cookies expire.
 */
export class Sessions {
  /** By person, as stored. */
  readonly #ended = new Map<string, Promise<Ended>>();

  /** @param key of the data folder, for sessions only */
  constructor(
    private readonly key: Uint8Array,
    private readonly people: People,
    private readonly store: Pick<Store, "getMark" | "accept">,
    private readonly clock: Clock,
  ) {}

  /** The cookie of a new session. */
  open(person: Person): string {
    const until = this.clock.now() + SESSION_LIFE;
    const nonce = randomBytes(12).toString("base64url");
    const id = Buffer.from(person.id).toString("base64url");
    return [id, until, nonce, sign(this.key, [person.id, until, nonce, person.password!])].join(".");
  }

  async read(cookie: string | undefined): Promise<Session | undefined> {
    const [id = "", until = "", nonce = "", signature = ""] = (cookie ?? "").split(".");
    const person = this.people.get(Buffer.from(id, "base64url").toString());
    if (cookie === undefined || person?.password === undefined || Number(until) <= this.clock.now()) return undefined;
    if (!isSigned(this.key, [person.id, Number(until), nonce, person.password], signature)) return undefined;
    const ended = await this.#endedOf(person);
    return Number(until) <= ended.until || Object.hasOwn(ended.sessions, nonce) ? undefined : { person, cookie };
  }

  /**
   * Ends a session: from now on, and after a restart, its cookie is invalid.
   * @throws StoreFullError if that cannot be stored
   */
  async end({ person, cookie }: Session): Promise<void> {
    const ended = await this.#endedOf(person);
    const [, until, nonce] = cookie.split(".");
    ended.sessions[nonce] = Number(until);
    const now = this.clock.now();
    const living = Object.entries(ended.sessions).filter(([, until]) => until > now).sort(([, a], [, b]) => b - a);
    ended.until = Math.max(ended.until, ...living.slice(MOST_ENDED).map(([, until]) => until));
    ended.sessions = Object.fromEntries(living.slice(0, MOST_ENDED));
    await this.store.accept([], [{ ...markOf(person), mark: { ...ended } }], now);
  }

  #endedOf(person: Person): Promise<Ended> {
    const known = this.#ended.get(person.id) ?? this.#load(person);
    this.#ended.set(person.id, known);
    return known;
  }

  async #load(person: Person): Promise<Ended> {
    return ENDED.parse(await this.store.getMark(markOf(person)) ?? {});
  }
}

function markOf({ id }: Person): { rule: string; trigger: string } {
  return { rule: "", trigger: `signed out/${id}` };
}

/** The session of a request, if somebody is signed in. */
export function sessionOf(c: Context, { desk }: { desk: { sessions: Sessions } }): Promise<Session | undefined> {
  return desk.sessions.read(getCookie(c, SESSION_COOKIE));
}

/** Sends an unknown visitor to the sign-in, and from there back to the page. @param to its path and query */
export function toSignIn(c: Context, to = "/"): Response {
  return c.redirect(`/forms/sign-in${to === "/" ? "" : `?${new URLSearchParams({ to })}`}`, 303);
}
