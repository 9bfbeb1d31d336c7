import { messageOf } from "../model/errors.ts";
import { type ConnectionListing, fingerprintOf, type OAuthConnection } from "./connection.ts";

/** A token, and its time of expiry in milliseconds since the epoch. */
export interface ClientToken {
  access: string;
  expiresAt?: number;
}

/** The results of the last requests. */
interface Known {
  token?: ClientToken;
  /** Why the last one failed; absent if it succeeded. */
  failure?: string;
}

/** Tokens of clients (client credentials). They are in memory only, as the server gives new ones at any time. */
export class ClientTokens {
  readonly #known = new Map<string, Known & { fingerprint: string }>();
  readonly #requests = new Map<string, Promise<string>>();

  /** @param request asks the server for a token */
  constructor(private readonly request: (connection: OAuthConnection) => Promise<ClientToken>) {}

  /** The last token that was requested with these settings. */
  get(connection: OAuthConnection): ClientToken | undefined {
    return this.#of(connection).token;
  }

  /** Requests a new token, or joins the request in progress if that has the same settings. */
  ask(connection: OAuthConnection): Promise<string> {
    const key = `${connection.name} ${fingerprintOf(connection)}`;
    const pending = this.#requests.get(key) ?? this.#requestToken(connection).finally(() => this.#requests.delete(key));
    this.#requests.set(key, pending);
    return pending;
  }

  async #requestToken(connection: OAuthConnection): Promise<string> {
    try {
      const token = await this.request(connection);
      this.#keep(connection, { token });
      return token.access;
    } catch (error) {
      this.#keep(connection, { ...this.#of(connection), failure: messageOf(error) });
      throw error;
    }
  }

  /** How a connection is listed. */
  listing(connection: OAuthConnection): Pick<ConnectionListing, "state" | "reason" | "expiresAt"> {
    const { token, failure } = this.#of(connection);
    if (token === undefined || failure !== undefined) {
      const remedy = `it gets a token when it is first used; try it with: whenthen connect ${connection.name}`;
      return { state: "unconnected", reason: failure ?? remedy };
    }
    const { expiresAt } = token;
    return { state: "connected", ...expiresAt !== undefined && { expiresAt } };
  }

  #of(connection: OAuthConnection): Known {
    const known = this.#known.get(connection.name);
    return known?.fingerprint === fingerprintOf(connection) ? known : {};
  }

  #keep(connection: OAuthConnection, known: Known): void {
    this.#known.set(connection.name, { ...known, fingerprint: fingerprintOf(connection) });
  }
}
