import { Buffer } from "node:buffer";
import type { SMTPTransportOptions } from "nodemailer/lib/smtp-transport";
import { messageOf, TerminalError, withDetail } from "../model/errors.ts";
import type { JsonObject } from "../model/json.ts";

/** The address of a recipient or a sender. */
export interface MailAddress {
  /** Empty if there is none. */
  name: string;
  address: string;
}

/** Characters that would make several recipients of one text, or end a header, are not allowed in an address. */
// deno-lint-ignore no-control-regex
const ADDRESS = /^[^\s\x00-\x20\x7f@<>()[\]\\,;:"]+@[^\s\x00-\x20\x7f@<>()[\]\\,;:"]+$/;
// deno-lint-ignore no-control-regex
const NAMED = /^([^\x00-\x1f\x7f<>]*)<([^<>]+)>$/;

/**
 * Reads `anna@example.org` or `Anna Smith <anna@example.org>`: exactly one address.
 * @returns undefined if it is anything else
 */
export function parseAddress(text: string): MailAddress | undefined {
  const trimmed = text.trim();
  const [, name, address] = NAMED.exec(trimmed) ?? [trimmed, "", trimmed];
  if (!ADDRESS.test(address)) return undefined;
  return { name: name.trim().replace(/^"(.*)"$/, "$1"), address };
}

/** `smtp` in `whenthen.yaml`. */
export interface SmtpSettings {
  host: string;
  port: number;
  /** TLS from the first byte; else the connection is upgraded (STARTTLS) if the server offers that. */
  secure: boolean;
  user?: string;
  /** Name of the secret. */
  password?: string;
  /** The sender of mails that name none. */
  from: MailAddress;
}

/** One mail as it is sent. */
export interface Mail {
  /** The part of its Message-ID before the `@`: the same on each attempt. */
  id: string;
  to: MailAddress[];
  from?: MailAddress;
  subject: string;
  text?: string;
  html?: string;
  attachments?: { name: string; type: string; content: Uint8Array }[];
}

/** The answer of the server. */
export interface SentMail {
  messageId: string;
  accepted: string[];
  rejected: string[];
}

/** The most connections at once; servers refuse clients with too many. */
const MOST_CONNECTIONS = 5;
/** Milliseconds without an answer from the server. */
const SILENCE = 30_000;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

/** Sends mail by the SMTP server of `whenthen.yaml`. */
export class Mailer {
  #smtp: SmtpSettings | undefined;
  #connections = 0;
  readonly #waiting = new Set<() => void>();

  constructor(private readonly secretOf: (name: string) => string | undefined) {}

  setSmtp(smtp: SmtpSettings | undefined): void {
    this.#smtp = smtp;
  }

  /** Whether there is a server to send by. */
  canMail(): boolean {
    return this.#smtp !== undefined;
  }

  /**
   * Hands one mail to the server.
   * @throws TerminalError if another attempt would fail the same way (no `smtp`, a 5xx answer), Error if it may not (network, 4xx), the
   * signal's reason if it is aborted
   */
  async send(mail: Mail, signal: AbortSignal): Promise<SentMail> {
    const smtp = this.#smtp;
    if (smtp === undefined) {
      throw new TerminalError(
        "Cannot send mail: whenthen.yaml names no server; add smtp: { host: mail.example.org, from: rules@example.org }",
      );
    }
    const options = this.#optionsOf(smtp);
    await this.#takeConnection(signal);
    try {
      // Loaded with the first mail: most programs never send one, and it costs 20 ms of a start.
      const { createTransport } = await import("nodemailer");
      const { id, from = smtp.from, attachments = [], ...rest } = mail;
      const messageId = `<${id}@${from.address.split("@")[1]}>`;
      // RFC 3834: no "out of office" in return.
      const headers = { "Auto-Submitted": "auto-generated" };
      const attached = attachments.map(({ name, type, content }) => {
        return { filename: name, contentType: type, content: Buffer.from(content) };
      });
      const message = { ...rest, from, messageId, headers, attachments: attached, xMailer: false as const, signal };
      const { accepted, rejected } = await createTransport(options).sendMail(message);
      return { messageId, accepted: accepted.map(addressOf), rejected: rejected.map(addressOf) };
    } catch (error) {
      signal.throwIfAborted();
      throw explain(error, smtp);
    } finally {
      this.#connections--;
      this.#waiting.forEach((look) => look());
    }
  }

  #optionsOf({ host, port, secure, user, password }: SmtpSettings): SMTPTransportOptions {
    const pass = password === undefined ? undefined : this.secretOf(password);
    if (password !== undefined && pass === undefined) {
      throw new TerminalError(
        `Cannot send mail by ${host}: the secret ${password} is not set, which smtp.password in whenthen.yaml names`,
      );
    }
    return {
      host,
      port,
      secure,
      // A password is sent unencrypted only to this machine itself.
      requireTLS: !secure && user !== undefined && !LOOPBACK.test(host),
      ...(user !== undefined && { auth: { user, pass: pass ?? "" } }),
      connectionTimeout: SILENCE,
      greetingTimeout: SILENCE,
      socketTimeout: SILENCE,
      // Text is text: what came from outside never names a file or an address to read from.
      disableFileAccess: true,
      disableUrlAccess: true,
    };
  }

  async #takeConnection(signal: AbortSignal): Promise<void> {
    while (this.#connections >= MOST_CONNECTIONS) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      this.#waiting.delete(resolve);
      signal.throwIfAborted();
    }
    this.#connections++;
  }
}

/** The properties of nodemailer's errors that are used here. */
interface SmtpError extends Error {
  code?: string;
  command?: string;
  responseCode?: number;
  response?: string;
}

/**
 * RFC 5321, 4.2.1: 4yz may succeed later, 5yz will not (but 503 is about the session, not about this mail). Without an answer the cause
 * was the network, or the mail itself.
 */
function explain(error: unknown, { host, port }: SmtpSettings): Error {
  const { code = "", command, response, responseCode } = error as SmtpError;
  const final = responseCode === undefined ? OF_THE_MAIL.includes(code) : responseCode >= 500 && responseCode !== 503;
  const message = `Cannot send mail by ${host}:${port}: ${messageOf(error)}`;
  const failure = final ? new TerminalError(message, { cause: error }) : new Error(message, { cause: error });
  const detail: JsonObject = {};
  for (const [name, value] of Object.entries({ code, command, response })) {
    if (typeof value === "string") detail[name] = value;
  }
  return withDetail(failure, detail);
}

/** Codes of errors that the client itself finds in the mail or the account. */
const OF_THE_MAIL = ["EENVELOPE", "EMESSAGE", "EAUTH"];

function addressOf(recipient: string | { address: string }): string {
  return typeof recipient === "string" ? recipient : recipient.address;
}
