import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { TIMEOUT } from "./until.ts";

/** A mail that a {@link MailServer} got. */
export interface Received {
  from: string;
  to: string[];
  /** Names in lower case; folded lines put together. */
  headers: Record<string, string>;
  /** As sent; decoded if its transfer encoding is quoted-printable. */
  body: string;
  /** Over TLS. */
  secure: boolean;
  user?: string;
}

/** The authority that signed its certificate; only programs with it in NODE_EXTRA_CA_CERTS trust it. */
export const AUTHORITY = new URL("fixtures/authority.crt", import.meta.url).pathname;
/** For 127.0.0.1 and localhost. */
const CERTIFICATE = new URL("fixtures/localhost.crt", import.meta.url).pathname;
const KEY = new URL("fixtures/localhost.key", import.meta.url).pathname;

/** What it refuses: the response to a recipient, or to a mail by its number from 1; undefined accepts it. */
export interface Refusals {
  recipient?: (address: string) => Refusal | undefined;
  mail?: (count: number) => Refusal | undefined;
}

export interface Refusal {
  code: number;
  message: string;
}

/** A real SMTP server on a free port of the loopback; keeps received mails, ends with `await using`. */
export class MailServer implements AsyncDisposable {
  readonly mails: Received[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #server: SMTPServer;
  #tried = 0;

  private constructor(options: SMTPServerOptions, private readonly refusals: Refusals) {
    this.#server = new SMTPServer({
      disableReverseLookup: true,
      hidePIPELINING: true,
      onRcptTo: ({ address }, _session, done) => done(errorOf(this.refusals.recipient?.(address))),
      onData: (stream, session, done) => {
        const chunks: Uint8Array[] = [];
        stream.on("data", (chunk) => chunks.push(chunk));
        stream.on("end", async () => {
          const refused = this.refusals.mail?.(++this.#tried);
          if (refused) return done(errorOf(refused));
          const text = await new Blob(chunks as BlobPart[]).text();
          const { mailFrom, rcptTo } = session.envelope;
          this.mails.push({
            from: mailFrom === false ? "" : mailFrom.address,
            to: rcptTo.map(({ address }) => address),
            ...parseMessage(text),
            secure: session.secure,
            ...session.user !== undefined && { user: String(session.user) },
          });
          done();
          this.#waiting.forEach((look) => look());
        });
      },
      ...options,
    });
    // A client that rejects the certificate hangs up; that is the test.
    this.#server.on("error", () => {});
  }

  /** Without TLS and accounts unless the options say otherwise. */
  static async start(options: SMTPServerOptions = {}, refusals: Refusals = {}): Promise<MailServer> {
    const plain: SMTPServerOptions = { disabledCommands: ["STARTTLS", "AUTH"] };
    const server = new MailServer({ ...plain, ...options }, refusals);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", () => resolve()));
    return server;
  }

  /** With TLS, from the start or by STARTTLS, and one account. */
  static async startSecure(secure: boolean, account: { user: string; password: string }): Promise<MailServer> {
    return await MailServer.start({
      secure,
      key: await readFile(KEY),
      cert: await readFile(CERTIFICATE),
      disabledCommands: [],
      onAuth: ({ username, password }, _session, done) =>
        username === account.user && password === account.password
          ? done(null, { user: username })
          : done(new Error("Wrong password")),
    });
  }

  get port(): number {
    return (this.#server.server.address() as AddressInfo).port;
  }

  /** Waits until it has received `count` matching mails in all. */
  waitFor(count: number, matches: (mail: Received) => boolean = () => true, timeout = TIMEOUT): Promise<Received[]> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        settle();
      };
      const look = () => {
        const found = this.mails.filter(matches);
        if (found.length >= count) finish(() => resolve(found));
      };
      const timer = setTimeout(
        () => finish(() => reject(new Error(`${count} mails expected, got ${JSON.stringify(this.mails, null, 2)}`))),
        timeout,
      );
      this.#waiting.add(look);
      look();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function errorOf(refusal: Refusal | undefined): Error | null {
  return refusal ? Object.assign(new Error(refusal.message), { responseCode: refusal.code }) : null;
}

/** Headers and body of a message, RFC 5322. */
function parseMessage(text: string): Pick<Received, "headers" | "body"> {
  const end = text.indexOf("\r\n\r\n");
  const lines = text.slice(0, end).replaceAll(/\r\n(?=[ \t])/g, "").split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
  const body = text.slice(end + 4);
  const quoted = headers["content-transfer-encoding"] === "quoted-printable";
  return { headers, body: quoted ? unquote(body) : body };
}

/** Quoted-printable, RFC 2045. */
function unquote(text: string): string {
  const joined = text.replaceAll("=\r\n", "");
  const bytes = joined.replaceAll(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return new TextDecoder().decode(Uint8Array.from(bytes, (character) => character.charCodeAt(0)));
}
