import { randomBytes } from "node:crypto";
import { type Clock, sleepFor } from "../host/clock.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import { ConnectionError, fingerprintOf, type OAuthConnection, OUT_OF_BAND } from "./connection.ts";
import { type DeviceCode, type Granted, type OAuth, PendingError } from "./oauth.ts";
import type { Seal, StoredAttempt, Vault } from "./vault.ts";

/** Milliseconds within which a person allows a connection. */
export const ATTEMPT_LIFE = 600_000;
/** The most attempts that are kept; a new one displaces the oldest. */
const MOST_ATTEMPTS = 100;
/** Milliseconds by which a device polls less often when the server asks for it or fails (RFC 8628, section 3.5). */
const SLOWER = 5_000;
/** What the state of an attempt is sealed as. */
const STATE = "attempt/state";

/** An attempt that has begun, and what the person does next. Times are milliseconds since the epoch. */
export type Begun =
  | { kind: "code"; attempt: string; url: string; until: number; outOfBand: boolean }
  | { kind: "device"; attempt: string; uri: string; complete?: string; userCode: string; until: number };

/** The state of an attempt. */
export interface AttemptState {
  connection: string;
  state: "waiting" | "connected" | "failed";
  error?: string;
}

/** Who begins an attempt. */
export interface Starter {
  /** The name that is recorded. */
  by: string;
  /** The browser that must complete it; absent if it was begun by a command, whose user opens the address in any browser. */
  browser?: string;
}

/** What the answer of the server is checked and exchanged with. It is sealed. */
interface Code extends Pick<Starter, "browser"> {
  state: string;
  verifier: string;
  redirect: string;
}

/** A connection as it is set now, and its server. */
interface Target {
  connection: OAuthConnection;
  oauth: OAuth;
}

/** Options of `Attempts`. */
export interface AttemptsOptions {
  clock: Clock;
  vault: Vault<StoredAttempt>;
  /** Undefined without a key. */
  seal(): Seal | undefined;
  /** A connection with the settings of this fingerprint. @throws ConnectionError if it has others now */
  targetOf(name: string, fingerprint: string): Target;
  /**
   * Called when the server has granted tokens. The attempt succeeds when it resolves.
   * @param check rejects if the attempt was ended meanwhile; to be called where nobody can disconnect before the tokens are kept
   */
  onGranted(connection: OAuthConnection, granted: Granted, by: string, check: () => Promise<void>): Promise<void>;
  log(level: "warn", message: string): void;
}

/** A device whose code this program polls for. */
interface Polled {
  ended: AbortController;
  /** Why the last poll failed; the next one may succeed. */
  trouble?: string;
}

/**
 * Attempts to connect: each ends after ten minutes. They are kept in the data folder, so that the answer of the server may arrive at
 * another replica, or after a restart. Only a device is polled for by the program that began.
 *
 * The state that a browser brings is the id of its attempt, sealed: whoever invents one is refused without a look at the file. The
 * rest is not in the state but kept, as a state has to be valid once: a server may revoke the tokens if a code comes a second time
 * (RFC 6749, section 4.1.2), for example because the person reloads the last page.
 */
export class Attempts {
  readonly #polled = new Map<string, Polled>();
  /** Changes run one at a time, as each begins with the result of the one before. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: AttemptsOptions) {}

  /** Increases with each change of an attempt. */
  changes(): number {
    return this.options.vault.changes;
  }

  /** Begins with the address at which a person allows the connection. @param address of this program, for the callback */
  async beginCode({ connection, oauth }: Target, { by, browser }: Starter, address: string): Promise<Begun> {
    const redirect = connection.oauth.redirect ?? `${address}/connections/callback`;
    const id = randomId();
    const seal = this.options.seal()!;
    const state = seal.seal(STATE, id);
    const { url, verifier } = await oauth.authorization(redirect, state);
    const code: Code = { state, verifier, redirect, ...browser !== undefined && { browser } };
    const until = this.options.clock.now() + ATTEMPT_LIFE;
    await this.#add(id, { ...attemptOf(connection, by, until), sealed: seal.seal(ownName(id), JSON.stringify(code)) });
    return { kind: "code", attempt: id, url, until, outOfBand: redirect === OUT_OF_BAND };
  }

  /** Begins with a code that a person types in at another device. */
  async beginDevice({ connection, oauth }: Target, { by }: Starter): Promise<Begun> {
    const device = await oauth.deviceCode();
    const id = randomId();
    const until = this.options.clock.now() + Math.min(ATTEMPT_LIFE, device.expiresIn * 1_000);
    const stored = attemptOf(connection, by, until);
    await this.#add(id, stored);
    const polled = { ended: new AbortController() };
    this.#polled.set(id, polled);
    void this.#pollDevice(id, stored, { connection, oauth }, device, polled)
      .finally(() => this.#polled.delete(id));
    const { uri, complete, userCode } = device;
    return { kind: "device", attempt: id, uri, ...complete && { complete }, userCode, until };
  }

  /**
   * Takes the answer of the server, which the person's browser brings.
   * @returns the name of the connection
   * @throws UsageError if there is no such attempt, another browser has begun it, or it is too late; the error of the exchange
   */
  async callback(answer: URLSearchParams, browser: string | undefined): Promise<string> {
    const nobody = () =>
      new UsageError(
        "Nobody waits for this answer: it was used before, is older than 10 minutes, or was begun elsewhere",
      );
    const id = this.options.seal()?.open(STATE, answer.get("state") ?? "");
    if (id === undefined) throw nobody();
    const used = await this.#use(id, nobody, (code) => {
      if (code.browser === undefined || code.browser === browser) return;
      throw new UsageError("Another browser has begun this: open the connections page in this one, and connect there");
    });
    await this.#finish(id, used, () => Promise.resolve(answer));
    return used.stored.connection;
  }

  /** Takes a code that the person has pasted, or the address of the page that the server sent the person to. */
  async paste(id: string, text: string): Promise<void> {
    const used = await this.#use(
      id,
      () =>
        new UsageError("Nobody waits for this code: it was used before, or is older than 10 minutes; connect again"),
    );
    const query = URL.canParse(text) ? new URL(text).searchParams : undefined;
    await this.#finish(id, used, async (oauth) => {
      return query?.has("state") ? query : await oauth.pasted(text.trim(), used.code.state);
    });
  }

  async get(id: string): Promise<AttemptState | undefined> {
    const { vault } = this.options;
    // Another replica may have begun it just now.
    if (vault.get(id) === undefined) await vault.refresh();
    const stored = vault.get(id);
    if (stored === undefined) return undefined;
    const { connection, state, error } = stored;
    if (state === "waiting" && this.#isOver(stored)) {
      return { connection, state: "failed", error: this.#polled.get(id)?.trouble ?? LATE };
    }
    return { connection, state, ...error !== undefined && { error } };
  }

  /** Ends the attempts of a connection, also those of other replicas. After this, none keeps tokens any more. */
  async end(connection: string): Promise<void> {
    const { vault } = this.options;
    await this.#alone(async () => {
      await vault.refresh();
      for (const id of vault.names().filter((id) => vault.get(id)!.connection === connection)) {
        await vault.put(id, undefined);
        this.#polled.get(id)?.ended.abort();
      }
    });
  }

  /** Ends the attempts for which this program polls. */
  async stop(): Promise<void> {
    const polled = [...this.#polled];
    for (const [, { ended }] of polled) ended.abort();
    await Promise.all(
      polled.map(([id]) => this.#settle(id, "failed", "the program that polled for it has ended; connect again")),
    );
  }

  async #add(id: string, attempt: StoredAttempt): Promise<void> {
    const { vault, clock } = this.options;
    await this.#alone(async () => {
      const before = vault.names().toSorted((a, b) => vault.get(a)!.until - vault.get(b)!.until);
      const displaced = before.slice(0, Math.max(0, before.length - MOST_ATTEMPTS + 1));
      const old = before.filter((id) => vault.get(id)!.until + ATTEMPT_LIFE <= clock.now());
      for (const id of new Set([...displaced, ...old])) {
        await vault.put(id, undefined);
        this.#polled.get(id)?.ended.abort();
      }
      await vault.put(id, attempt);
    });
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    const changing = this.#changing.then(() => this.options.vault.alone("", change));
    this.#changing = changing.catch(() => {});
    return changing;
  }

  /**
   * Uses up the code of an attempt: it cannot be used again, even if the rest fails.
   * @param nobody the error if it has none
   * @param check throws if it may not be used
   */
  #use(id: string, nobody: () => Error, check?: (code: Code) => void): Promise<{ stored: StoredAttempt; code: Code }> {
    const { vault, seal } = this.options;
    return this.#alone(async () => {
      const stored = vault.get(id);
      if (stored?.sealed === undefined || this.#isOver(stored)) throw nobody();
      const text = seal()?.open(ownName(id), stored.sealed);
      if (text === undefined) throw nobody();
      const code: Code = JSON.parse(text);
      check?.(code);
      const { sealed: _used, ...rest } = stored;
      await vault.put(id, rest);
      return { stored, code };
    });
  }

  /** Exchanges the answer for tokens. */
  async #finish(
    id: string,
    { stored, code }: { stored: StoredAttempt; code: Code },
    answer: (oauth: OAuth) => Promise<URLSearchParams>,
  ): Promise<void> {
    try {
      const target = this.options.targetOf(stored.connection, stored.fingerprint);
      const { oauth } = target;
      await this.#granted(id, stored, target, await oauth.exchange(await answer(oauth), code));
    } catch (error) {
      await this.#settle(id, "failed", messageOf(error));
      throw error;
    }
  }

  async #pollDevice(
    id: string,
    stored: StoredAttempt,
    target: Target,
    { deviceCode, interval }: DeviceCode,
    polled: Polled,
  ): Promise<void> {
    const { clock, vault } = this.options;
    const { signal } = polled.ended;
    const fail = (error: unknown) => this.#settle(id, "failed", messageOf(error));
    for (let pause = interval * 1_000;;) {
      await sleepFor(clock, pause, signal);
      // Another replica may have ended it.
      if (signal.aborted || vault.get(id) === undefined) return;
      if (this.#isOver(stored)) return await fail(polled.trouble ?? LATE);
      let granted: Granted;
      try {
        granted = await target.oauth.deviceTokens(deviceCode);
      } catch (error) {
        if (error instanceof ConnectionError) return await fail(error);
        const isPending = error instanceof PendingError;
        polled.trouble = isPending ? undefined : messageOf(error);
        if (!isPending || error.slower) pause += SLOWER;
        continue;
      }
      return await this.#granted(id, stored, target, granted).catch(fail);
    }
  }

  async #granted(id: string, { by }: StoredAttempt, { connection }: Target, granted: Granted): Promise<void> {
    const { vault, onGranted } = this.options;
    await onGranted(connection, granted, by, async () => {
      await vault.refresh();
      if (vault.get(id) !== undefined) return;
      throw new ConnectionError(`Cannot connect "${connection.name}": the attempt was ended; connect it again`);
    });
    await this.#settle(id, "connected");
  }

  /** Notes how an attempt has ended, for those who look at it. */
  async #settle(id: string, state: "connected" | "failed", error?: string): Promise<void> {
    const { vault, log } = this.options;
    const settled = this.#alone(async () => {
      const stored = vault.get(id);
      // Tokens that came while the program stopped are kept, whatever was said before.
      if (stored === undefined || (stored.state !== "waiting" && state === "failed")) return;
      const { sealed: _over, error: _former, ...rest } = stored;
      await vault.put(id, { ...rest, state, ...error !== undefined && { error } });
    });
    await settled.catch((problem) =>
      log("warn", `Cannot note that an attempt to connect is over: ${messageOf(problem)}`)
    );
  }

  #isOver({ until }: StoredAttempt): boolean {
    return until <= this.options.clock.now();
  }
}

/** The error of an attempt that nobody has completed. */
const LATE = "nobody allowed it in time";

function attemptOf(connection: OAuthConnection, by: string, until: number): StoredAttempt {
  return { connection: connection.name, fingerprint: fingerprintOf(connection), by, until, state: "waiting" };
}

/** What the code of an attempt is sealed as. */
function ownName(id: string): string {
  return `attempt/${id}/code`;
}

function randomId(): string {
  return randomBytes(24).toString("base64url");
}
