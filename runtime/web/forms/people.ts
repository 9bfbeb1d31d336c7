import { parseAddress } from "../../actions/mailer.ts";
import type { Clock } from "../../host/clock.ts";
import type { Person } from "../../model/form.ts";
import { verifyPassword, verifyToken } from "../../secrets/passwords.ts";
import type { Devices } from "./signatures.ts";

/** Who answers forms: the current `people` of `whenthen.yaml`, and anybody with an e-mail address. */
export class People {
  /** @param listed the people of the settings in force */
  constructor(private readonly listed: () => Person[]) {}

  /** The people named by ids, groups and addresses: each once, in the given order. */
  find(to: string[]): Person[] {
    const found = new Map<string, Person>();
    for (const name of to) {
      const group = this.listed().filter(({ groups }) => groups.includes(name));
      const person = this.get(name);
      for (const one of person === undefined ? group : [person]) found.set(one.id, one);
    }
    return [...found.values()];
  }

  /** One person by id or e-mail address. An address that is not in the settings is a person of its own. */
  get(name: string): Person | undefined {
    const known = this.listed().find(({ id }) => id === name) ?? this.#byAddress(name);
    return known ?? strangerAt(name);
  }

  /** The person who signs in with that id or e-mail address. */
  account(name: string): Person | undefined {
    const written = name.trim();
    return this.listed().find(({ id }) => id === written) ??
      this.listed().find(({ id }) => id.toLowerCase() === written.toLowerCase()) ?? this.#byAddress(written);
  }

  /** The owner of an API token. */
  byToken(token: string): Person | undefined {
    return this.listed().find((person) => person.token !== undefined && verifyToken(token, person.token));
  }

  #byAddress(address: string): Person | undefined {
    const written = address.toLowerCase();
    return this.listed().find(({ email }) => email?.toLowerCase() === written);
  }
}

/** The names of a person that a form's `to` may contain. */
export function namesOf({ id, groups, email }: Person): string[] {
  return [id, ...groups, ...email === undefined ? [] : [email]];
}

/** An address is one person, in any spelling. */
function strangerAt(name: string): Person | undefined {
  const parsed = parseAddress(name);
  if (parsed === undefined || parsed.name !== "") return undefined;
  return { id: parsed.address.toLowerCase(), name: parsed.address, email: parsed.address, groups: [] };
}

/** The group whose members see and do everything in the console. */
const OPERATORS = "operators";

export function isOperator({ groups }: Person): boolean {
  return groups.includes(OPERATORS);
}

// ── passwords ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The result of checking a name and a password. */
export type PasswordChecked =
  | { kind: "right"; person: Person }
  | { kind: "wrong" }
  /** Too many wrong ones; seconds until the next attempt is checked. */
  | { kind: "later"; seconds: number };

const MINUTES = 60_000;
/** Limit for one person from one address, or from one known browser of that person: typing errors, or one guesser. */
const OF_PAIR = { most: 5, within: 15 * MINUTES };
/** Limit for one person from everywhere, and for one address with any person: distributed guesses. */
const OF_ONE = { most: 50, within: 60 * MINUTES };
/** How many passwords may wait to be checked; each check takes memory and a core for a moment. */
const MOST_WAITING = 20;
/** Nobody's hash: an unknown name takes the same time to check as a wrong password. */
const NOBODY = `scrypt.15.8.3.${"A".repeat(22)}.${"A".repeat(43)}`;

/** Checks names and passwords, one at a time, with a limit on attempts. */
export class PasswordCheck {
  readonly #ofPair: Attempts;
  readonly #ofOne: Attempts;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(private readonly people: People, private readonly devices: Devices, clock: Clock) {
    this.#ofPair = new Attempts(clock, OF_PAIR);
    this.#ofOne = new Attempts(clock, OF_ONE);
  }

  /**
   * @param address where the request came from
   * @param device the cookie of the browser that it came from, see {@link Devices}
   */
  async check(name: string, password: string, address: string, device?: string): Promise<PasswordChecked> {
    const person = this.people.account(name);
    const who = person?.id ?? name.trim().toLowerCase().slice(0, 100);
    const known = this.devices.read(device, person);
    const pair = known === undefined ? `${address} ${who}` : `device ${known}`;
    // Guesses from elsewhere must not lock people out of their own browsers.
    const spread = known === undefined ? [`person ${who}`, `address ${address}`] : [];
    const wait = Math.max(this.#ofPair.wait(pair), ...spread.map((name) => this.#ofOne.wait(name)));
    if (wait > 0) return { kind: "later", seconds: Math.ceil(wait / 1_000) };
    if (this.#waiting >= MOST_WAITING) return { kind: "later", seconds: 10 };
    // Counted before the check, so that parallel attempts count too.
    this.#ofPair.add(pair);
    for (const name of spread) this.#ofOne.add(name);
    if (!await this.#verify(password, person?.password ?? NOBODY) || person?.password === undefined) {
      return { kind: "wrong" };
    }
    this.#ofPair.clear(pair);
    for (const name of spread) this.#ofOne.takeBack(name);
    return { kind: "right", person };
  }

  async #verify(password: string, hash: string): Promise<boolean> {
    this.#waiting++;
    const mine = this.#last.then(() => verifyPassword(password, hash));
    this.#last = mine.catch(() => {});
    return await mine.finally(() => this.#waiting--);
  }
}

/** How many attempts are allowed within a time. */
interface AttemptLimit {
  most: number;
  /** Milliseconds. */
  within: number;
}

/** The most names counted at once; further names evict the oldest, so that they cannot fill the memory. */
const MOST_NAMES = 10_000;

/** Counts attempts by name, in memory: a restart resets the counts. */
class Attempts {
  readonly #times = new Map<string, number[]>();

  constructor(private readonly clock: Clock, private readonly limit: AttemptLimit) {}

  /** Counts an attempt. */
  add(name: string): void {
    const times = [...this.#recent(name), this.clock.now()];
    this.#times.delete(name);
    this.#times.set(name, times);
    const [oldest] = this.#times.keys();
    if (this.#times.size > MOST_NAMES) this.#times.delete(oldest);
  }

  /** Forgets the attempts of a name after the right person has signed in. */
  clear(name: string): void {
    this.#times.delete(name);
  }

  /** Takes back the last attempt, because it succeeded. */
  takeBack(name: string): void {
    this.#times.set(name, this.#recent(name).slice(0, -1));
  }

  /** Milliseconds until another attempt is allowed; 0 if it is allowed now. */
  wait(name: string): number {
    const { most, within } = this.limit;
    const times = this.#recent(name);
    return times.length < most ? 0 : times[times.length - most] + within - this.clock.now();
  }

  #recent(name: string): number[] {
    const since = this.clock.now() - this.limit.within;
    return (this.#times.get(name) ?? []).filter((time) => time > since);
  }
}
