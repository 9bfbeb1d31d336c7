import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
// @ts-types="./oidc_provider.d.ts"
import Provider from "oidc-provider";

/** A client of the test's authorization server. */
export const CLIENT = { id: "whenthen-under-test", secret: "secret-of-the-client-0123456789" };

/** A real authorization server (oidc-provider) and an API that takes its tokens, both on loopback. */
export interface AuthorizationServer extends AsyncDisposable {
  issuer: string;
  /** The API: answers 200 with `{ path, account }`, or 401 if the token is not valid. */
  api: string;
  /** `127.0.0.1:port` of the API. */
  apiHost: string;
  /** Requests to the token endpoint by grant, in order. */
  grants: string[];
  /** What the API got in the header `authorization`, in order. */
  presented: string[];
  /** All access and refresh tokens that were issued. */
  issued: string[];
  /** Called when the API has got a request, before it answers. */
  onPresented: () => Promise<void>;
  /** Makes one access token invalid, as if it had expired. */
  expire(token: string): Promise<void>;
  /** Makes all tokens that a refresh token descends from invalid. */
  revokeGrants(): Promise<void>;
  /** Allows a connection as a person with a browser would. @returns the address that the browser is sent to, unopened */
  allow(url: string): Promise<string>;
  /** Types in a user code at another device, and allows it. */
  allowDevice(url: string): Promise<void>;
}

/** @param redirects addresses that the client registered */
export async function openAuthorizationServer(redirects: string[]): Promise<AuthorizationServer> {
  const grants: string[] = [];
  const presented: string[] = [];
  const server = createServer();
  const issuer = await listen(server);
  const provider = new Provider(issuer, {
    clients: [{
      client_id: CLIENT.id,
      client_secret: CLIENT.secret,
      redirect_uris: redirects,
      grant_types: [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:device_code",
      ],
      application_type: "native",
    }],
    features: {
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
    },
    scopes: ["openid", "offline_access", "tasks"],
    cookies: { keys: ["a key of the cookies of this test"] },
    issueRefreshToken: () => true,
    rotateRefreshToken: true,
    pkce: { required: () => true },
    ttl: { AccessToken: 3_600, ClientCredentials: 3_600, Grant: 86_400, Session: 86_400, Interaction: 3_600 },
    conformIdTokenClaims: false,
    findAccount: (_context: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  const grantIds = new Set<string>();
  provider.on("grant.success", (context: { oidc: { params: { grant_type: string } } }) => {
    grants.push(context.oidc.params.grant_type);
  });
  const issued: string[] = [];
  provider.on("access_token.saved", ({ grantId, jti }: { grantId: string; jti: string }) => {
    grantIds.add(grantId);
    issued.push(jti);
  });
  provider.on("refresh_token.saved", ({ jti }: { jti: string }) => issued.push(jti));
  const handle = provider.callback();
  server.on("request", handle);
  const api = createServer(async (request, response) => {
    const { authorization = "" } = request.headers;
    presented.push(authorization);
    await opened.onPresented();
    const [, token = ""] = /^Bearer (.+)$/.exec(authorization) ?? [];
    const found = await provider.AccessToken.find(token) ?? await provider.ClientCredentials.find(token);
    response.setHeader("content-type", "application/json");
    response.statusCode = found === undefined ? 401 : 200;
    response.end(
      JSON.stringify(found ? { path: request.url, account: found.accountId ?? null } : { error: "invalid" }),
    );
  });
  const apiUrl = await listen(api);
  const opened: AuthorizationServer = {
    issuer,
    api: apiUrl,
    apiHost: new URL(apiUrl).host,
    grants,
    presented,
    issued,
    onPresented: () => Promise.resolve(),
    expire: async (token) => await (await provider.AccessToken.find(token))!.destroy(),
    async revokeGrants() {
      for (const grant of grantIds) {
        await provider.RefreshToken.revokeByGrantId(grant);
        await provider.AccessToken.revokeByGrantId(grant);
      }
    },
    allow: (url) => new Browser(issuer).allow(url),
    async allowDevice(url) {
      await new Browser(issuer).allow(url);
    },
    async [Symbol.asyncDispose]() {
      for (const each of [server, api]) {
        each.closeAllConnections();
        await new Promise((resolve) => each.close(resolve));
      }
    },
  };
  return opened;
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  );
}

/** Follows links and sends forms, with cookies, as long as it is on the authorization server's pages. */
class Browser {
  readonly #cookies = new Map<string, string>();

  constructor(private readonly origin: string) {}

  async allow(url: string): Promise<string> {
    let at = url;
    let form: { action: string; fields: URLSearchParams } | undefined;
    for (let pages = 0; pages < 20; pages++) {
      const response = await this.#open(at, form?.fields);
      const location = response.headers.get("location");
      form = undefined;
      if (location !== null) {
        await response.body?.cancel();
        at = new URL(location, at).href;
        if (!at.startsWith(`${this.origin}/`)) return at;
        continue;
      }
      form = formIn(await response.text());
      if (form === undefined) return at;
      at = new URL(form.action, at).href;
    }
    throw new Error(`No end of pages at ${at}`);
  }

  async #open(url: string, fields: URLSearchParams | undefined): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { accept: "text/html", ...cookie && { cookie } };
    const method = fields === undefined ? "GET" : "POST";
    const response = await fetch(url, { method, headers, body: fields, redirect: "manual" });
    for (const set of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
      this.#cookies.set(name, value);
    }
    return response;
  }
}

/** The form of a page with its hidden inputs, filled in; undefined if the page has none to send. */
function formIn(html: string): { action: string; fields: URLSearchParams } | undefined {
  const [, attributes, content] = /<form([^>]*)>([^]*?)<\/form>/.exec(html) ?? [];
  if (content === undefined) return undefined;
  const action = /action="([^"]*)"/.exec(attributes)?.[1] ?? "";
  const fields = new URLSearchParams();
  for (const [input] of content.matchAll(/<(?:input|button)[^>]*>/g)) {
    const name = /name="([^"]*)"/.exec(input)?.[1];
    if (name === undefined || name === "abort") continue;
    fields.set(name, /value="([^"]*)"/.exec(input)?.[1] ?? "ada");
  }
  return { action: action.replaceAll("&amp;", "&"), fields };
}
