import { createHash } from "node:crypto";
import { TerminalError } from "../model/errors.ts";
import type { Position } from "../model/problem.ts";

/*
 * A *connection* is a named account at another service, set in `whenthen.yaml`. A *bearer* connection is a token that somebody keeps as a
 * secret. An *OAuth* connection gets its tokens from an authorization server by a *grant*; *connecting* it makes an *attempt*, which a person
 * completes at that server. *Lost* is a connection whose tokens the server refuses to renew.
 */

/** The ways in which an OAuth connection gets its first tokens (RFC 6749 and RFC 8628). */
export const GRANTS = ["authorization_code", "device_code", "client_credentials"] as const;
export type Grant = typeof GRANTS[number];

/** The redirect address by which the server shows the code to the person instead of sending it. */
export const OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob";

/** The addresses of an authorization server, and its peculiarities. */
interface OAuthServer {
  /** Its metadata names the addresses that are not given here (RFC 8414, OpenID Connect Discovery). */
  issuer?: string;
  authorize?: string;
  token?: string;
  device?: string;
  revoke?: string;
  /** @default the program's own address */
  redirect?: string;
  /** How the client's secret is sent. @default as the metadata says, else in the body */
  auth?: "basic" | "post";
  /** Further parameters of the authorization request: `access_type: offline`. */
  parameters: Record<string, string>;
}

interface Common {
  name: string;
  /** The only hosts that get its token, with the port if it is not 443: `app.asana.com`. */
  hosts: string[];
  /** Its position in `whenthen.yaml`. */
  at: Position;
}

/** A token that somebody keeps as a secret. */
interface BearerConnection extends Common {
  kind: "bearer";
  /** Name of the secret. */
  bearer: string;
}

/** Tokens from an authorization server. */
export interface OAuthConnection extends Common {
  kind: "oauth";
  oauth: OAuthServer;
  /** Name of the secret with the client's id. */
  client: string;
  /** Name of the secret with the client's secret; absent for a public client. */
  secret?: string;
  scopes: string[];
  grant: Grant;
}

/** A connection as `whenthen.yaml` sets it. */
export type Connection = BearerConnection | OAuthConnection;

/** `locked`: its tokens were sealed with another `WHENTHEN_KEY`. `unused`: it has tokens, but is no longer in `whenthen.yaml`. */
export type ConnectionState = "connected" | "lost" | "unconnected" | "locked" | "unused";

/** A connection in listings; contains no secrets. Times are milliseconds since the epoch. */
export interface ConnectionListing {
  name: string;
  kind: "bearer" | Grant;
  state: ConnectionState;
  /** Why it is not connected, and what would help. */
  reason?: string;
  hosts: string[];
  /** The scopes that the server granted; before that, the requested ones. */
  scopes: string[];
  /** When the access token expires; absent if the server did not say. */
  expiresAt?: number;
  /** Whether it is renewed without a person. */
  renews: boolean;
  /** Who connected it, and when. */
  by?: string;
  at?: number;
}

/**
 * Identifies the server, the client and the scopes: tokens with another fingerprint must not be used. Hosts are not part of it, as
 * an added host gets the same token.
 */
export function fingerprintOf({ oauth, client, scopes }: OAuthConnection): string {
  const { issuer, authorize, token, device, revoke } = oauth;
  const facts = [issuer, authorize, token, device, revoke, client, [...scopes].sort()];
  return createHash("sha256").update(JSON.stringify(facts)).digest("base64url");
}

/** There is no token, and another attempt would not change that. The message says what would help. */
export class ConnectionError extends TerminalError {
  override name = "ConnectionError";
}

/**
 * Checks that a connection's token may be sent to an address: one of its hosts, by https, or by http on this machine.
 * @throws ConnectionError
 */
export function checkHost({ name, hosts }: Common, url: URL): void {
  if (!hosts.includes(url.host)) {
    const remedy = `add ${url.host} to its hosts in whenthen.yaml if that is right`;
    throw new ConnectionError(`The token of "${name}" goes to ${hosts.join(", ")} only, not to ${url.host}; ${remedy}`);
  }
  if (url.protocol !== "https:" && !isLoopback(url.hostname)) {
    throw new ConnectionError(`The token of "${name}" is not sent unencrypted: write https://${url.host}`);
  }
}

/** Whether only this machine can be reached by the name. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** Access tokens of connections for outgoing requests. */
export interface ConnectionTokens {
  /**
   * A token that may be sent to this address.
   * @param refused the token that the address has just answered with 401: it is renewed, unless that was done meanwhile. If it cannot be
   * renewed, the result is the same token
   * @throws ConnectionError if there is none, or if this host must not get it; Error if the authorization server cannot be reached
   */
  token(connection: string, url: URL, signal: AbortSignal, refused?: string): Promise<string>;
}

/**
 * Sends a request with a connection's token; after 401 the token is renewed once, and the request is sent once more.
 * @param send sends the request with this value of the header `authorization`
 * @throws what `token` and `send` throw
 */
export async function sendWithToken(
  tokens: ConnectionTokens,
  connection: string,
  url: URL,
  signal: AbortSignal,
  send: (authorization: string) => Promise<Response>,
): Promise<Response> {
  const token = await tokens.token(connection, url, signal);
  const response = await send(`Bearer ${token}`);
  if (response.status !== 401) return response;
  const renewed = await tokens.token(connection, url, signal, token).catch(async (error) => {
    await response.body?.cancel();
    throw error;
  });
  if (renewed === token) return response;
  await response.body?.cancel();
  return await send(`Bearer ${renewed}`);
}
