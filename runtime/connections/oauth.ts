import type {
  AuthorizationServer,
  Client,
  ClientAuth,
  TokenEndpointRequestOptions,
  TokenEndpointResponse,
} from "oauth4webapi";
import { messageOf, networkReason } from "../model/errors.ts";
import { ConnectionError, isLoopback, type OAuthConnection } from "./connection.ts";

/** Milliseconds within which the authorization server answers. */
const TIMEOUT = 30_000;
/** Milliseconds after which its metadata are read again. */
const METADATA_LIFE = 3_600_000;

/** Tokens that the server granted. */
export interface Granted {
  access: string;
  refresh?: string;
  /** Seconds. */
  expiresIn?: number;
  scopes?: string[];
}

/** The code with which a person allows a device (RFC 8628, section 3.2). */
export interface DeviceCode {
  deviceCode: string;
  userCode: string;
  uri: string;
  /** The address with the code in it, if the server offers one. */
  complete?: string;
  /** Seconds. */
  expiresIn: number;
  interval: number;
}

/** The refresh token, or the permission of the person, is no longer valid (RFC 6749, section 5.2). */
export class InvalidGrantError extends ConnectionError {
  override name = "InvalidGrantError";
}

/** The person has not decided yet. */
export class PendingError extends Error {
  override name = "PendingError";
  /** @param slower whether the server asks for longer pauses */
  constructor(readonly slower: boolean) {
    super("The authorization is pending");
  }
}

/** The client's id and secret, from the secrets. */
export interface Credentials {
  id: string;
  secret?: string;
}

type Library = typeof import("oauth4webapi");

/** The library, and its view of the server and the client. */
interface Opened {
  library: Library;
  server: AuthorizationServer;
  client: Client;
  auth: ClientAuth;
}

/** Speaks OAuth with the authorization server of one connection, by oauth4webapi. */
export class OAuth {
  #metadata: { server: AuthorizationServer; until: number } | undefined;

  /** @param credentials throws ConnectionError if a secret is not set */
  constructor(
    private readonly connection: OAuthConnection,
    private readonly credentials: () => Credentials,
    private readonly now: () => number,
  ) {}

  /**
   * The address at which a person allows the connection.
   * @param state comes back with the code
   * @returns also the verifier that the code needs (PKCE, RFC 7636)
   */
  async authorization(redirect: string, state: string): Promise<{ url: string; verifier: string }> {
    const { scopes, oauth: { parameters } } = this.connection;
    const { library, server, client } = await this.#open();
    const endpoint = this.#endpoint(server.authorization_endpoint, "authorize");
    const verifier = library.generateRandomCodeVerifier();
    const url = new URL(endpoint);
    const all = {
      ...parameters,
      response_type: "code",
      client_id: client.client_id,
      redirect_uri: redirect,
      ...scopes.length > 0 && { scope: scopes.join(" ") },
      state,
      code_challenge: await library.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
    };
    for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
    return { url: url.href, verifier };
  }

  /**
   * Exchanges the code that the server sent for tokens.
   * @param answer the query of the callback
   * @throws ConnectionError if the person declined, or the server refuses the code
   */
  async exchange(
    answer: URLSearchParams,
    { redirect, state, verifier }: { redirect: string; state: string; verifier: string },
  ): Promise<Granted> {
    return await this.#grant("exchange the code", async ({ library, server, client, auth, options }) => {
      const checked = library.validateAuthResponse(server, client, answer, state);
      const response = await library.authorizationCodeGrantRequest(
        server,
        client,
        auth,
        checked,
        redirect,
        verifier,
        options,
      );
      return await library.processAuthorizationCodeResponse(server, client, await withoutIdToken(response));
    });
  }

  /** The query of a callback, for a code that a person has pasted. */
  async pasted(code: string, state: string): Promise<URLSearchParams> {
    const { server } = await this.#open();
    const issuer = server.authorization_response_iss_parameter_supported && { iss: server.issuer };
    return new URLSearchParams({ code, state, ...issuer });
  }

  /** @throws InvalidGrantError if the refresh token is no longer valid */
  async refresh(token: string): Promise<Granted> {
    return await this.#grant("refresh its tokens", async ({ library, server, client, auth, options }) => {
      const response = await library.refreshTokenGrantRequest(server, client, auth, token, options);
      return await library.processRefreshTokenResponse(server, client, await withoutIdToken(response));
    });
  }

  async clientCredentials(): Promise<Granted> {
    return await this.#grant("get a token for its client", async ({ library, server, client, auth, options }) => {
      const response = await library.clientCredentialsGrantRequest(server, client, auth, this.#scope(), options);
      return await library.processClientCredentialsResponse(server, client, response);
    });
  }

  async deviceCode(): Promise<DeviceCode> {
    const { library, server, client, auth } = await this.#open();
    return await this.#ask("ask for a device code", async () => {
      const options = this.#options(library, this.#endpoint(server.device_authorization_endpoint, "device"));
      const parameters = { ...this.connection.oauth.parameters, ...this.#scope() };
      const response = await library.deviceAuthorizationRequest(server, client, auth, parameters, options);
      const answer = await library.processDeviceAuthorizationResponse(server, client, response);
      return {
        deviceCode: answer.device_code,
        userCode: answer.user_code,
        uri: answer.verification_uri,
        complete: answer.verification_uri_complete,
        expiresIn: answer.expires_in,
        // RFC 8628, section 3.5: 5 seconds if the server names no interval.
        interval: answer.interval ?? 5,
      };
    });
  }

  /** @throws PendingError while the person has not decided; InvalidGrantError or ConnectionError if there is nothing to wait for */
  async deviceTokens(deviceCode: string): Promise<Granted> {
    return await this.#grant("get the tokens of the device", async ({ library, server, client, auth, options }) => {
      const response = await library.deviceCodeGrantRequest(server, client, auth, deviceCode, options);
      return await library.processDeviceCodeResponse(server, client, await withoutIdToken(response));
    });
  }

  /** Revokes a token (RFC 7009). @returns false if the server offers no revocation */
  async revoke(token: string): Promise<boolean> {
    const { library, server, client, auth } = await this.#open();
    const { revocation_endpoint: endpoint } = server;
    if (endpoint === undefined) return false;
    await this.#ask("revoke its tokens", async () => {
      const options = this.#options(library, endpoint);
      await library.processRevocationResponse(await library.revocationRequest(server, client, auth, token, options));
    });
    return true;
  }

  /** Loads the library on first use: most programs have no connections. */
  async #open(): Promise<Opened> {
    const library = await import("oauth4webapi");
    const server = await this.#server(library);
    const { id, secret } = this.credentials();
    return { library, server, client: { client_id: id }, auth: this.#authOf(library, server, secret) };
  }

  async #server(library: Library): Promise<AuthorizationServer> {
    const { oauth: { issuer, authorize, token, device, revoke } } = this.connection;
    const given = Object.entries({
      authorization_endpoint: authorize,
      token_endpoint: token,
      device_authorization_endpoint: device,
      revocation_endpoint: revoke,
    }).filter(([, endpoint]) => endpoint !== undefined);
    const found = issuer === undefined ? { issuer: token! } : await this.#discovered(library, new URL(issuer));
    return { ...found, ...Object.fromEntries(given) };
  }

  async #discovered(library: Library, issuer: URL): Promise<AuthorizationServer> {
    const known = this.#metadata;
    if (known !== undefined && known.until > this.now()) return known.server;
    const server = await this.#ask(`read the metadata of ${issuer.href}`, async () => {
      const read = (algorithm: "oidc" | "oauth2") =>
        library.discoveryRequest(issuer, { ...this.#options(library, issuer.href), algorithm });
      let response = await read("oidc");
      if (response.status === 404) {
        await response.body?.cancel();
        response = await read("oauth2");
      }
      return await library.processDiscoveryResponse(issuer, response);
    });
    this.#metadata = { server, until: this.now() + METADATA_LIFE };
    return server;
  }

  #authOf(library: Library, server: AuthorizationServer, secret: string | undefined): ClientAuth {
    if (secret === undefined) return library.None();
    const offered = server.token_endpoint_auth_methods_supported;
    // Without metadata the secret goes into the body, as nearly all platforms document it.
    const basic = this.connection.oauth.auth === undefined
      ? offered?.includes("client_secret_basic")
      : this.connection.oauth.auth === "basic";
    return basic ? library.ClientSecretBasic(secret) : library.ClientSecretPost(secret);
  }

  #options(library: Library, endpoint: string) {
    const isLocal = isLoopback(new URL(endpoint).hostname);
    return { signal: () => AbortSignal.timeout(TIMEOUT), [library.allowInsecureRequests]: isLocal };
  }

  #scope(): Record<string, string> {
    const { scopes } = this.connection;
    return scopes.length > 0 ? { scope: scopes.join(" ") } : {};
  }

  #endpoint(address: string | undefined, key: string): string {
    if (address !== undefined) return address;
    const { name } = this.connection;
    throw new ConnectionError(
      `Cannot connect "${name}" this way: its server names no address for it; add ${key}: to its oauth in whenthen.yaml`,
    );
  }

  /** Gets tokens from the token endpoint. */
  async #grant(
    what: string,
    request: (at: Opened & { options: TokenEndpointRequestOptions }) => Promise<TokenEndpointResponse>,
  ): Promise<Granted> {
    const opened = await this.#open();
    return grantedOf(
      await this.#ask(what, () => {
        const endpoint = this.#endpoint(opened.server.token_endpoint, "token");
        return request({ ...opened, options: this.#options(opened.library, endpoint) });
      }),
    );
  }

  /**
   * Runs a request.
   * @param what is attempted, for errors. They contain no token: servers name what is wrong, not its value
   */
  async #ask<T>(what: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      const failure = await withBody(error instanceof Error ? error : new Error(String(error)));
      throw explain(`Cannot ${what} for "${this.connection.name}"`, failure, this.connection);
    }
  }
}

function grantedOf({ access_token, refresh_token, expires_in, scope }: TokenEndpointResponse): Granted {
  return {
    access: access_token,
    ...refresh_token !== undefined && { refresh: refresh_token },
    ...expires_in !== undefined && { expiresIn: expires_in },
    ...scope !== undefined && { scopes: scope.split(" ").filter((one) => one !== "") },
  };
}

/** The properties of the library's errors that are used here. */
interface OAuthFailure extends Error {
  /** RFC 6749, section 5.2: `invalid_grant`. */
  error?: string;
  error_description?: string;
  status?: number;
  /** Of a challenge (401 with `WWW-Authenticate`), whose body is not read. */
  response?: Response;
  cause?: unknown;
}

/** Adds the error in the body of a challenge (RFC 6749, section 5.2), which the library does not read. */
async function withBody(failure: OAuthFailure): Promise<OAuthFailure> {
  const { error, response } = failure;
  if (error !== undefined || response === undefined || response.bodyUsed) return failure;
  const body = await response.json().catch(() => null);
  const says = typeof body?.error === "string" ? body : { error: "invalid_client" };
  return Object.assign(failure, { error: says.error, error_description: says.error_description });
}

function explain(attempt: string, failure: OAuthFailure, { client, secret }: OAuthConnection): Error {
  const { error, error_description: description, status } = failure;
  if (failure instanceof ConnectionError) return failure;
  if (error === "authorization_pending" || error === "slow_down") return new PendingError(error === "slow_down");
  if (error !== undefined) {
    const says = description === undefined ? error : `${error} (${description})`;
    const message = `${attempt}: the server answers ${says}`;
    if (error === "invalid_grant") return new InvalidGrantError(message);
    if (error === "invalid_client") {
      const secrets = secret === undefined ? `the secret ${client}` : `the secrets ${client} and ${secret}`;
      return new ConnectionError(`${message}; check ${secrets}, and oauth: { auth: basic or post } in whenthen.yaml`);
    }
    const isBusy = status !== undefined && (status >= 500 || status === 429);
    return isBusy ? new Error(message) : new ConnectionError(message);
  }
  const response = failure.cause instanceof Response ? failure.cause : undefined;
  const says = response === undefined
    ? networkReason(failure)
    : `the server answers ${response.status}: ${messageOf(failure)}`;
  return new Error(`${attempt}: ${says}`);
}

/** Removes the ID token: the person's identity is not needed, and its checks could only fail. */
async function withoutIdToken(response: Response): Promise<Response> {
  if (!response.ok) return response;
  const text = await response.text();
  const { status, headers } = response;
  try {
    const { id_token: _unused, ...rest } = JSON.parse(text);
    return new Response(JSON.stringify(rest), { status, headers });
  } catch {
    return new Response(text, { status, headers });
  }
}
