import { hasTemplate, json, template } from "../language/arg_types.ts";
import { show } from "../language/hints.ts";
import { TerminalError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import { attemptKey, defineAction } from "./action.ts";
import { type MailAddress, parseAddress } from "./mailer.ts";
import { type ReadFile, readFile } from "./saved_files.ts";

const ADDRESS = "an e-mail address such as anna@example.org or Anna <anna@example.org>";

/**
 * Sends one mail by `smtp` of `whenthen.yaml`, to all recipients together. Its Message-ID is the same on each attempt, so that a
 * recipient can recognise a duplicate. Its result says which recipients the server accepted.
 */
export const mail = defineAction({
  kind: "mail",
  summary: "Sends a mail",
  main: json().refine((to) => typeof to === "string" || Array.isArray(to), {
    error: `expected ${ADDRESS}, or a list of them`,
  }).describe("The recipient: an e-mail address, or a list of them"),
  options: {
    subject: template().optional().describe("By default the rule's id"),
    text: template().optional().describe("The mail as text"),
    html: template().optional().describe("The mail as HTML, instead of text or in addition to it"),
    from: template().optional().describe("By default from of smtp in whenthen.yaml"),
    attach: json().optional().describe(
      "Files that were saved or uploaded: the results of steps with save, or event.files.photo",
    ),
  },
  defaults: { timeout: 120_000, attempts: 3 },
  check({ mail, text, html, from }) {
    const written = [...Array.isArray(mail) ? mail : [mail], ...from === undefined ? [] : [from]];
    const wrong = written.filter((one) => !hasTemplate(one) && (typeof one !== "string" || !parseAddress(one)));
    const problems = wrong.map((one) => `expected ${ADDRESS}, got ${show(one)}`);
    return text === undefined && html === undefined ? [...problems, `${EMPTY}; add text: …`] : problems;
  },
  async execute(args, context) {
    const { run, path, services, signal, recorded = args } = context;
    const { mail, subject = run.rule, text, html, from, attach = [] } = args;
    const to = (Array.isArray(mail) ? mail : [mail]).filter((one) => one !== null && one !== "").map((one) =>
      readAddress(one, args === recorded ? one : recorded.mail)
    );
    if (to.length === 0) throw new TerminalError("Cannot send mail: the list of recipients is empty");
    if (text === undefined && html === undefined) throw new TerminalError(`Cannot send mail: ${EMPTY}`);
    const attachments: ReadFile[] = [];
    for (const file of [attach].flat()) await readFile(file, "Cannot send mail", context, attachments);
    const sent = await services.sendMail({
      id: attemptKey({ run, path }),
      to,
      ...from !== undefined && { from: readAddress(from, recorded.from) },
      // A line break would end the header.
      subject: subject.replaceAll(/\s+/g, " ").trim(),
      ...text !== undefined && { text },
      ...html !== undefined && { html },
      ...attachments.length > 0 && { attachments },
    }, signal);
    return { output: { ...sent } };
  },
});

const EMPTY = "it has neither text nor html";

/** @param shown the text as it is recorded */
function readAddress(text: Json, shown: Json | undefined): MailAddress {
  const address = typeof text === "string" ? parseAddress(text) : undefined;
  if (address !== undefined) return address;
  throw new TerminalError(`Cannot send mail: expected ${ADDRESS}, got ${show(shown)}`);
}
