import { type Clock, orAborted, waitAtMost } from "../host/clock.ts";
import { hintAtUnknown } from "../language/hints.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import type { Problem } from "../model/problem.ts";
import { Attempts, type AttemptsOptions, type AttemptState, type Begun, type Starter } from "./attempts.ts";
import { type ClientToken, ClientTokens } from "./client_tokens.ts";
import {
  checkHost,
  type Connection,
  ConnectionError,
  type ConnectionListing,
  type ConnectionTokens,
  fingerprintOf,
  type OAuthConnection,
} from "./connection.ts";
import { InvalidGrantError, type OAuth } from "./oauth.ts";
import { OAuthClients } from "./oauth_clients.ts";
import { KEY_NAME, SealedTokens, type SealedTokensOptions, type StoredConnection, type Tokens } from "./vault.ts";

/** A token is renewed this many milliseconds before it expires, so that it is still valid when it arrives. */
const EARLY = 30_000;
/** Why tokens of other settings are not used. */
const CHANGED = "its server, client or scopes in whenthen.yaml have changed since";

/** Options of `Connections`. */
interface ConnectionsOptions extends SealedTokensOptions {
  clock: Clock;
  /** The attempts to connect. */
  attempts: AttemptsOptions["vault"];
  /** The value of a setting that is kept with the secrets but is not secret. */
  plainOf(name: string): string | undefined;
  /** The address at which people reach the program. */
  address(): string;
  /** Called with the reason if a connection is lost, and undefined if it is not: at each change, and by {@link Connections.reportStates}. */
  onState(name: string, lost: string | undefined): void;
  log(level: "info" | "warn", message: string): void;
}

/** The result of disconnecting. */
export interface Disconnected {
  /** Whether the server has revoked the tokens. False if it does not offer that, or could not be reached. */
  revoked: boolean;
  reason?: string;
}

/** The connections of `whenthen.yaml`, with their tokens. */
export class Connections implements ConnectionTokens {
  #settings = new Map<string, Connection>();
  readonly #clients: OAuthClients;
  readonly #attempts: Attempts;
  readonly #sealed: SealedTokens;
  /** Renewals in progress: one at a time for each connection. */
  readonly #renewing = new Map<string, Promise<string>>();
  /** Other changes of its tokens, during which none is renewed. */
  readonly #changing = new Map<string, Promise<unknown>>();
  readonly #ofClients = new ClientTokens((connection) => this.#clientToken(connection));

  /** Increases with each change of a connection or of an attempt. */
  readonly changes = () => this.options.vault.changes + this.#attempts.changes();

  constructor(private readonly options: ConnectionsOptions) {
    this.#sealed = new SealedTokens(options);
    this.#clients = new OAuthClients(options);
    this.#attempts = new Attempts({
      clock: options.clock,
      vault: options.attempts,
      seal: () => this.#sealed.seal,
      targetOf: (name, fingerprint) => this.#targetOf(name, fingerprint),
      onGranted: this.#connected,
      log: options.log,
    });
  }

  /** Sets the connections, and reads `WHENTHEN_KEY` again. */
  async set(connections: Connection[]): Promise<void> {
    this.#settings = new Map(connections.map((connection) => [connection.name, connection]));
    if (this.#sealed.names().length === 0 && !connections.some(({ kind }) => kind === "oauth")) return;
    for (const name of this.#sealed.readKey()) {
      await this.#sealAgain(name).catch((error) => {
        const fault = `could not be sealed with the first key of ${KEY_NAME}: ${messageOf(error)}`;
        this.options.log("warn", `The tokens of "${name}" ${fault}; keep the old key until the next start`);
      });
    }
  }

  async #sealAgain(name: string): Promise<void> {
    await this.#change(name, async () => {
      const found = this.#sealed.get(name);
      // Another replica may have removed it meanwhile.
      if (found !== undefined) await this.#sealed.keep(name, found.stored, found.tokens);
    });
    this.options.log("info", `The tokens of "${name}" are now sealed with the first key of ${KEY_NAME}`);
  }

  /** See {@link ConnectionTokens.token}. */
  async token(name: string, url: URL, signal: AbortSignal, refused?: string): Promise<string> {
    const connection = this.#settingsOf(name);
    checkHost(connection, url);
    if (connection.kind === "bearer") return this.#bearer(name, connection.bearer);
    // A renewal is shared, so aborting one of its callers does not abort the renewal.
    return await orAborted(this.#oauthToken(connection, refused), signal);
  }

  /**
   * Begins to connect. @param way by a code that a person types in at another device, instead of by the browser
   * @returns undefined if that was all, because the program connects by itself
   * @throws UsageError or ConnectionError with what would help
   */
  async begin(name: string, starter: Starter, way: "code" | "device" | undefined): Promise<Begun | undefined> {
    const connection = this.#settingsOf(name);
    if (connection.kind === "bearer") {
      throw new UsageError(`"${name}" needs no connecting: it uses the secret ${connection.bearer}`);
    }
    if (connection.grant === "client_credentials") {
      await this.#ofClients.ask(connection);
      return undefined;
    }
    if (this.#sealed.fault !== undefined) throw new UsageError(`Cannot connect "${name}": ${this.#sealed.fault}`);
    const target = { connection, oauth: this.#clients.of(connection) };
    const isDevice = (way ?? (connection.grant === "device_code" ? "device" : "code")) === "device";
    return isDevice
      ? await this.#attempts.beginDevice(target, starter)
      : await this.#attempts.beginCode(target, starter, this.options.address());
  }

  /** How far an attempt is, at whichever replica it began; undefined if there is none. */
  attempt(id: string): Promise<AttemptState | undefined> {
    return this.#attempts.get(id);
  }

  /** See {@link Attempts.callback}. */
  callback(answer: URLSearchParams, browser: string | undefined): Promise<string> {
    return this.#attempts.callback(answer, browser);
  }

  /** See {@link Attempts.paste}. */
  paste(attempt: string, text: string): Promise<void> {
    return this.#attempts.paste(attempt, text);
  }

  /** Forgets the tokens, and revokes them if the server offers that. @returns undefined if there are none */
  async disconnect(name: string, by: string): Promise<Disconnected | undefined> {
    await this.#attempts.end(name);
    const found = await this.#change(name, async () => {
      // If the newest tokens cannot be written, those on disk are forgotten all the same.
      await this.#sealed.save(name).catch(() => {});
      if (this.#sealed.stored(name) === undefined) return undefined;
      const found = this.#sealed.get(name);
      await this.#sealed.put(name, undefined);
      return { tokens: found?.tokens, fingerprint: found?.stored.fingerprint };
    });
    if (found === undefined) return undefined;
    this.options.onState(name, undefined);
    this.options.log("info", `The connection "${name}" was disconnected by ${by}`);
    return found.tokens === undefined
      ? { revoked: false, reason: "it had no tokens that could be read" }
      : await this.#revoke(name, found.tokens, found.fingerprint);
  }

  async #revoke(name: string, { access, refresh }: Tokens, fingerprint: string | undefined): Promise<Disconnected> {
    const connection = this.#settings.get(name);
    if (connection?.kind !== "oauth") return { revoked: false, reason: "it is no longer in whenthen.yaml" };
    if (fingerprint !== fingerprintOf(connection)) return { revoked: false, reason: CHANGED };
    try {
      // With the refresh token, servers revoke the access tokens too (RFC 7009, section 2.1).
      const revoked = await this.#clients.of(connection).revoke(refresh ?? access);
      return revoked ? { revoked } : { revoked, reason: "its server offers no revocation" };
    } catch (error) {
      return { revoked: false, reason: messageOf(error) };
    }
  }

  /** All connections of `whenthen.yaml`, and others that still have tokens, by name. */
  list(): ConnectionListing[] {
    const known = [...this.#settings.values()].map((connection) => this.#listing(connection));
    const unused = this.#sealed.names().filter((name) => !this.#settings.has(name)).map((name): ConnectionListing => {
      const { renews, scopes, by, at } = this.#sealed.stored(name)!;
      const reason = `it is no longer in whenthen.yaml; forget its tokens with: whenthen disconnect ${name}`;
      return { name, kind: "authorization_code", state: "unused", reason, hosts: [], scopes, renews, by, at };
    });
    return [...known, ...unused].sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** Problems of connections that were connected and cannot be used now. */
  problems(): Problem[] {
    return this.list().filter(({ state }) => state === "lost" || state === "locked").map((
      { name, reason },
    ): Problem => ({
      severity: "error",
      file: "whenthen.yaml",
      at: this.#settings.get(name)!.at,
      message: `the connection "${name}" cannot be used: ${reason}`,
    }));
  }

  /** Reports the state of each connection again, as a crash may have come before a report. */
  reportStates(): void {
    for (const name of this.#sealed.names()) {
      const connection = this.#settings.get(name);
      const stored = connection?.kind === "oauth" ? this.#storedOf(connection) : this.#sealed.stored(name);
      this.options.onState(name, stored?.lost?.reason);
    }
  }

  /** See {@link Attempts.stop}. */
  stop(): Promise<void> {
    return this.#attempts.stop();
  }

  /** Waits up to `ms` for renewals: a program that ends before a new token is on disk may lose the connection. */
  settled(ms: number): Promise<void> {
    const changes = Promise.allSettled([...this.#renewing.values(), ...this.#changing.values()]);
    return waitAtMost(this.options.clock, ms, changes);
  }

  #settingsOf(name: string): Connection {
    const connection = this.#settings.get(name);
    if (connection !== undefined) return connection;
    const names = [...this.#settings.keys()];
    throw new ConnectionError(`There is no connection "${name}" in whenthen.yaml; ${hintAtUnknown(name, names)}`);
  }

  #bearer(name: string, secret: string): string {
    const token = this.options.secretOf(secret);
    if (token !== undefined) return token;
    throw new ConnectionError(`Cannot use the connection "${name}": the secret ${secret} is not set`);
  }

  async #oauthToken(connection: OAuthConnection, refused: string | undefined): Promise<string> {
    const { name, grant } = connection;
    if (grant === "client_credentials") {
      const known = this.#ofClients.get(connection);
      const isGood = known !== undefined && known.access !== refused && !this.#isOver(known.expiresAt);
      return isGood ? known.access : await this.#ofClients.ask(connection);
    }
    await this.#sealed.save(name);
    while (this.#changing.has(name)) await this.#changing.get(name)!.catch(() => {});
    // No await from here until the renewal begins, so that two callers with the same old token join one renewal.
    return this.#good(connection, refused) ?? await this.#once(name, () => this.#renewInTurn(connection, refused));
  }

  /** The token, if it is still valid. */
  #good(connection: OAuthConnection, refused: string | undefined): string | undefined {
    const found = this.#usable(connection);
    if (found === undefined || found.tokens.access === refused || this.#isOver(found.stored.expiresAt)) {
      return undefined;
    }
    return found.tokens.access;
  }

  #usable(connection: OAuthConnection): { stored: StoredConnection; tokens: Tokens } | undefined {
    return this.#storedOf(connection) && this.#sealed.get(connection.name);
  }

  /** Renews the token, unless another replica has done that meanwhile. */
  #renewInTurn(connection: OAuthConnection, refused: string | undefined): Promise<string> {
    return this.#sealed.alone(connection.name, async () => {
      const found = this.#usable(connection);
      if (found === undefined) throw this.#unusable(connection);
      return this.#good(connection, refused) ?? await this.#renew(connection, found);
    });
  }

  /** The connection as it is on disk, if it was connected with these settings. */
  #storedOf(connection: OAuthConnection): StoredConnection | undefined {
    const stored = this.#sealed.stored(connection.name);
    return stored?.fingerprint === fingerprintOf(connection) ? stored : undefined;
  }

  /** Joins the renewal in progress, or begins one. */
  #once(name: string, renew: () => Promise<string>): Promise<string> {
    const renewing = this.#renewing.get(name) ?? renew().finally(() => this.#renewing.delete(name));
    this.#renewing.set(name, renewing);
    return renewing;
  }

  /** Changes the tokens of a connection while none is renewed. */
  async #change<T>(name: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(name);
    const changing = (async () => {
      await before?.catch(() => {});
      await this.#renewing.get(name)?.catch(() => {});
      return await this.#sealed.alone(name, change);
    })();
    this.#changing.set(name, changing);
    try {
      return await changing;
    } finally {
      if (this.#changing.get(name) === changing) this.#changing.delete(name);
    }
  }

  #isOver(expiresAt = Infinity): boolean {
    return expiresAt - EARLY <= this.options.clock.now();
  }

  async #clientToken(connection: OAuthConnection): Promise<ClientToken> {
    const { access, expiresIn } = await this.#clients.of(connection).clientCredentials();
    this.#sealed.mask(connection.name, { access });
    return { access, ...this.#expiry(expiresIn) };
  }

  #expiry(expiresIn: number | undefined): { expiresAt?: number } {
    return expiresIn === undefined ? {} : { expiresAt: this.options.clock.now() + expiresIn * 1_000 };
  }

  /** @returns the new token, which is on disk then; the old one if it cannot be renewed and has not expired */
  async #renew(
    connection: OAuthConnection,
    { stored, tokens }: { stored: StoredConnection; tokens: Tokens },
  ): Promise<string> {
    const { name } = connection;
    if (tokens.refresh === undefined) {
      if (!this.#isOver(stored.expiresAt)) return tokens.access;
      await this.#lose(name, stored, "its token has expired, and the server gave none to renew it with");
      throw this.#unusable(connection);
    }
    const granted = await this.#clients.of(connection).refresh(tokens.refresh).catch(async (error) => {
      if (!(error instanceof InvalidGrantError)) throw error;
      await this.#lose(name, stored, error.message);
      throw this.#unusable(connection);
    });
    const { access, refresh = tokens.refresh, expiresIn, scopes = stored.scopes } = granted;
    const { expiresAt: _before, ...facts } = stored;
    await this.#sealed.keep(name, { ...facts, scopes, ...this.#expiry(expiresIn) }, { access, refresh });
    return access;
  }

  #targetOf(name: string, fingerprint: string): { connection: OAuthConnection; oauth: OAuth } {
    const connection = this.#settings.get(name);
    if (connection?.kind !== "oauth" || fingerprintOf(connection) !== fingerprint) {
      throw new ConnectionError(`Cannot connect "${name}": ${CHANGED}; connect it again`);
    }
    return { connection, oauth: this.#clients.of(connection) };
  }

  /** After a disconnect no tokens may be left, so it checks whether the attempt was ended meanwhile. */
  readonly #connected: AttemptsOptions["onGranted"] = async (connection, granted, by, check) => {
    const { name, scopes: asked } = connection;
    const fingerprint = fingerprintOf(connection);
    this.#targetOf(name, fingerprint);
    const { access, refresh, expiresIn, scopes = asked } = granted;
    const at = this.options.clock.now();
    const stored = { state: "connected" as const, renews: refresh !== undefined, scopes, fingerprint, by, at };
    const tokens = { access, ...refresh !== undefined && { refresh } };
    await this.#change(name, async () => {
      await check();
      await this.#sealed.keep(name, { ...stored, ...this.#expiry(expiresIn) }, tokens);
    });
    this.options.onState(name, undefined);
    this.options.log("info", `The connection "${name}" was connected by ${by}`);
  };

  #unusable(connection: OAuthConnection): ConnectionError {
    return new ConnectionError(`Cannot use the connection "${connection.name}": ${this.#reason(connection)}`);
  }

  /** Why it has no usable tokens, and what would help. */
  #reason(connection: OAuthConnection): string {
    const { name } = connection;
    const stored = this.#storedOf(connection);
    const remedy = `connect it with: whenthen connect ${name}`;
    if (stored === undefined) {
      return `${this.#sealed.stored(name) === undefined ? "nobody has connected it yet" : CHANGED}; ${remedy}`;
    }
    if (stored.lost !== undefined) return `it is lost: ${stored.lost.reason}; ${remedy}`;
    return this.#sealed.fault ??
      `its tokens were sealed with another ${KEY_NAME}; add that one after the new one and a comma, or ${remedy}`;
  }

  async #lose(name: string, { sealed: _sealed, ...stored }: StoredConnection, reason: string): Promise<void> {
    const { clock, log } = this.options;
    await this.#sealed.put(name, { ...stored, state: "lost", lost: { at: clock.now(), reason } });
    log("warn", `The connection "${name}" is lost: ${reason}; connect it with: whenthen connect ${name}`);
    this.options.onState(name, reason);
  }

  #listing(connection: Connection): ConnectionListing {
    const { name, hosts } = connection;
    if (connection.kind === "bearer") {
      const isSet = this.options.secretOf(connection.bearer) !== undefined;
      const facts = { name, kind: "bearer" as const, hosts, scopes: [], renews: false };
      return isSet
        ? { ...facts, state: "connected" }
        : { ...facts, state: "unconnected", reason: `the secret ${connection.bearer} is not set` };
    }
    const facts = { name, kind: connection.grant, hosts, scopes: connection.scopes };
    if (connection.grant === "client_credentials") {
      return { ...facts, renews: true, ...this.#ofClients.listing(connection) };
    }
    const stored = this.#storedOf(connection);
    if (!stored) return { ...facts, state: "unconnected", reason: this.#reason(connection), renews: false };
    const { state, scopes, expiresAt, renews, by, at } = stored;
    const isLocked = state === "connected" && this.#sealed.get(name) === undefined;
    const found = { ...facts, scopes, renews, by, at, ...expiresAt !== undefined && { expiresAt } };
    if (state === "connected" && !isLocked) return { ...found, state };
    return { ...found, state: isLocked ? "locked" : state, reason: this.#reason(connection) };
  }
}
