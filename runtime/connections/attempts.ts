import { randomBytes } from "node:crypto";
import { type Clock, sleepFor } from "../host/clock.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import { ConnectionError, type OAuthConnection, OUT_OF_BAND } from "./connection.ts";
import { type DeviceCode, type Granted, type OAuth, PendingError } from "./oauth.ts";

/** Milliseconds within which a person allows a connection. */
export const ATTEMPT_LIFE = 600_000;
/** The most attempts that are remembered; a new one displaces the oldest. */
const MOST_ATTEMPTS = 100;
/** Milliseconds by which a device polls less often when the server asks for it or fails (RFC 8628, section 3.5). */
const SLOWER = 5_000;

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

interface Attempt extends Starter, Pick<AttemptState, "state" | "error"> {
  id: string;
  settings: OAuthConnection;
  until: number;
  oauth: OAuth;
  /** Absent for a device, and after it was used: a state is valid once. */
  code?: { state: string; verifier: string; redirect: string };
  /** Why the last poll of a device failed; the next one may succeed. */
  trouble?: string;
  ended: AbortController;
}

/** Called when the server has granted tokens. The attempt succeeds when it resolves. */
type OnGranted = (connection: OAuthConnection, granted: Granted, by: string) => Promise<void>;

/** Attempts to connect: each ends after ten minutes, and with the program. */
export class Attempts {
  /** Counts the attempts that have ended. */
  ends = 0;
  readonly #attempts = new Map<string, Attempt>();

  constructor(private readonly clock: Clock, private readonly onGranted: OnGranted) {}

  /** Begins with the address at which a person allows the connection. @param address of this program, for the callback */
  async beginCode(connection: OAuthConnection, oauth: OAuth, starter: Starter, address: string): Promise<Begun> {
    const redirect = connection.oauth.redirect ?? `${address}/connections/callback`;
    const state = random();
    const { url, verifier } = await oauth.authorization(redirect, state);
    const { id, until } = this.#add(connection, oauth, starter, { state, verifier, redirect });
    return { kind: "code", attempt: id, url, until, outOfBand: redirect === OUT_OF_BAND };
  }

  /** Begins with a code that a person types in at another device. */
  async beginDevice(connection: OAuthConnection, oauth: OAuth, starter: Starter): Promise<Begun> {
    const device = await oauth.deviceCode();
    const attempt = this.#add(connection, oauth, starter);
    attempt.until = Math.min(attempt.until, this.clock.now() + device.expiresIn * 1_000);
    void this.#pollDevice(attempt, device);
    const { uri, complete, userCode } = device;
    return { kind: "device", attempt: attempt.id, uri, ...complete && { complete }, userCode, until: attempt.until };
  }

  /**
   * Takes the answer of the server, which the person's browser brings.
   * @returns the name of the connection
   * @throws UsageError if there is no such attempt, another browser has begun it, or it is too late; the error of the exchange
   */
  async callback(answer: URLSearchParams, browser: string | undefined): Promise<string> {
    const state = answer.get("state");
    const attempt = [...this.#attempts.values()].find(({ code }) => code !== undefined && code.state === state);
    if (attempt === undefined || attempt.until <= this.clock.now()) {
      throw new UsageError(
        "Nobody waits for this answer: it was used before, is older than 10 minutes, or was begun elsewhere",
      );
    }
    if (attempt.browser !== undefined && attempt.browser !== browser) {
      throw new UsageError("Another browser has begun this: open the connections page in this one, and connect there");
    }
    await this.#finish(attempt, () => Promise.resolve(answer));
    return attempt.settings.name;
  }

  /** Takes a code that the person has pasted, or the address of the page that the server sent the person to. */
  async paste(id: string, text: string): Promise<void> {
    const attempt = this.#attempts.get(id);
    if (attempt?.code === undefined || attempt.until <= this.clock.now()) {
      throw new UsageError(
        "Nobody waits for this code: it was used before, or is older than 10 minutes; connect again",
      );
    }
    const { state } = attempt.code;
    const query = URL.canParse(text) ? new URL(text).searchParams : undefined;
    await this.#finish(
      attempt,
      async () => query?.has("state") ? query : await attempt.oauth.pasted(text.trim(), state),
    );
  }

  get(id: string): AttemptState | undefined {
    const attempt = this.#attempts.get(id);
    if (attempt === undefined) return undefined;
    if (attempt.state === "waiting" && attempt.until <= this.clock.now()) this.#expire(attempt);
    const { settings: { name: connection }, state, error } = attempt;
    return { connection, state, ...error !== undefined && { error } };
  }

  /** Ends all attempts, or those of one connection. */
  end(connection?: string): void {
    for (const [id, attempt] of this.#attempts) {
      if (connection !== undefined && attempt.settings.name !== connection) continue;
      attempt.ended.abort();
      this.#attempts.delete(id);
      this.ends++;
    }
  }

  #add(settings: OAuthConnection, oauth: OAuth, starter: Starter, code?: Attempt["code"]): Attempt {
    const oldest = this.#attempts.size >= MOST_ATTEMPTS ? this.#attempts.keys().next().value : undefined;
    if (oldest !== undefined) {
      this.#attempts.get(oldest)!.ended.abort();
      this.#attempts.delete(oldest);
    }
    const attempt: Attempt = {
      ...starter,
      id: random(),
      settings,
      state: "waiting",
      until: this.clock.now() + ATTEMPT_LIFE,
      oauth,
      code,
      ended: new AbortController(),
    };
    this.#attempts.set(attempt.id, attempt);
    return attempt;
  }

  /** Exchanges the answer for tokens. The attempt cannot be used again, even if that fails. */
  async #finish(attempt: Attempt, answer: () => Promise<URLSearchParams>): Promise<void> {
    const code = attempt.code!;
    attempt.code = undefined;
    try {
      await this.#granted(attempt, await attempt.oauth.exchange(await answer(), code));
    } catch (error) {
      this.#fail(attempt, messageOf(error));
      throw error;
    }
  }

  async #pollDevice(attempt: Attempt, { deviceCode, interval }: DeviceCode): Promise<void> {
    const { signal } = attempt.ended;
    for (let pause = interval * 1_000;;) {
      await sleepFor(this.clock, pause, signal);
      if (signal.aborted) return;
      if (attempt.until <= this.clock.now()) return this.#expire(attempt);
      let granted: Granted;
      try {
        granted = await attempt.oauth.deviceTokens(deviceCode);
      } catch (error) {
        if (error instanceof ConnectionError) return this.#fail(attempt, messageOf(error));
        const isPending = error instanceof PendingError;
        attempt.trouble = isPending ? undefined : messageOf(error);
        if (!isPending || error.slower) pause += SLOWER;
        continue;
      }
      return await this.#granted(attempt, granted).catch((error) => this.#fail(attempt, messageOf(error)));
    }
  }

  async #granted(attempt: Attempt, granted: Granted): Promise<void> {
    // It may have been ended during the exchange. After a disconnect no tokens may be left.
    if (attempt.ended.signal.aborted) {
      throw new ConnectionError(`Cannot connect "${attempt.settings.name}": the attempt was ended; connect it again`);
    }
    await this.onGranted(attempt.settings, granted, attempt.by);
    attempt.state = "connected";
    this.ends++;
  }

  #expire(attempt: Attempt): void {
    this.#fail(attempt, attempt.trouble ?? "nobody allowed it in time");
  }

  #fail(attempt: Attempt, error: string): void {
    attempt.state = "failed";
    attempt.error = error;
    this.ends++;
  }
}

function random(): string {
  return randomBytes(24).toString("base64url");
}
