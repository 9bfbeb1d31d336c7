import type { Clock } from "../host/clock.ts";
import { ConnectionError, type OAuthConnection } from "./connection.ts";
import { type Credentials, OAuth } from "./oauth.ts";

/** Where the ids and secrets of clients come from. */
interface ClientSources {
  clock: Clock;
  /** The value of a setting that is kept with the secrets but is not secret. */
  plainOf(name: string): string | undefined;
  /** The value of a secret. */
  secretOf(name: string): string | undefined;
}

/** What speaks with the authorization server of each connection, as long as its settings stay the same. */
export class OAuthClients {
  readonly #clients = new Map<string, { settings: string; oauth: OAuth }>();

  constructor(private readonly sources: ClientSources) {}

  of(connection: OAuthConnection): OAuth {
    const settings = JSON.stringify(connection);
    const known = this.#clients.get(connection.name);
    if (known?.settings === settings) return known.oauth;
    const oauth = new OAuth(connection, () => this.#credentials(connection), () => this.sources.clock.now());
    this.#clients.set(connection.name, { settings, oauth });
    return oauth;
  }

  #credentials({ name, client, secret }: OAuthConnection): Credentials {
    const { plainOf, secretOf } = this.sources;
    const missing = (which: string) => new ConnectionError(`Cannot use the connection "${name}": ${which} is not set`);
    const id = plainOf(client);
    if (id === undefined) throw missing(client);
    if (secret === undefined) return { id };
    const value = secretOf(secret);
    if (value === undefined) throw missing(`the secret ${secret}`);
    return { id, secret: value };
  }
}
