import { z } from "zod";
import { parseAddress } from "../../actions/mail/address.ts";
import type { SmtpSettings } from "../../actions/mail/mailer.ts";

/** RFC 8314: 465 for TLS from the first byte, 587 for connections that are upgraded to it. */
const PORTS = { secure: 465, upgraded: 587 };
const FROM = "expected whom mails are from, such as rules@example.org or Rules <rules@example.org>";

/** The keys of `smtp`. */
export const smtpShape = {
  host: z.string({ error: "expected the name of a mail server" }).min(1, "expected the name of a mail server"),
  port: z.int({ error: "expected a port from 1 to 65535" }).min(1, "expected a port from 1 to 65535")
    .max(65_535, "expected a port from 1 to 65535").optional(),
  secure: z.boolean({ error: "expected true (TLS from the start) or false" }).optional(),
  user: z.string({ error: "expected the name of an account" }).optional(),
  password: z.string({ error: "expected the name of a secret such as SMTP_PASSWORD" })
    .regex(/^[A-Za-z_][\w.-]*$/, "expected the name of a secret such as SMTP_PASSWORD, never the password itself")
    .optional(),
  from: z.string({ error: FROM }),
};

/** `smtp`: the server that sends mails. */
export const smtpSchema = z.strictObject(smtpShape, {
  error: "expected a mail server, such as { host: mail.example.org, from: rules@example.org }",
}).transform(({ port, secure = port === PORTS.secure, from, ...smtp }, context): SmtpSettings => {
  const refuse = (key: string, message: string) => context.addIssue({ code: "custom", path: [key], message });
  const address = parseAddress(from);
  if (address === undefined) refuse("from", FROM);
  if (smtp.user !== undefined && smtp.password === undefined) {
    refuse("user", "an account needs its password: add password: with the name of a secret");
  }
  if (smtp.password !== undefined && smtp.user === undefined) {
    refuse("password", "a password needs its account: add user:");
  }
  return { ...smtp, secure, port: port ?? (secure ? PORTS.secure : PORTS.upgraded), from: address! };
});
