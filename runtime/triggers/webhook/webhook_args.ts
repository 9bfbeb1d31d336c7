import { z } from "zod";
import { duration, expression, secret, size } from "../../language/fields/field.ts";
import type { Args, ReadArgs } from "../../language/kind.ts";

const SECOND = 1_000;

/** Who may send to a webhook: a preset, or an HMAC of the body in a header. */
const authSchema = z.union([
  z.enum(["none", "standard", "github", "stripe", "slack", "basic", "bearer"]),
  z.strictObject({
    hmac: z.enum(["sha256", "sha1", "sha512"]),
    header: z.string().regex(/^[\w-]+$/, { error: "expected the name of a header such as X-Signature" }),
    encoding: z.enum(["hex", "base64"]).default("hex"),
    prefix: z.string().default(""),
  }),
]);

/** The arguments of a webhook trigger. */
export const schemas = {
  kind: "webhook",
  main: z.string(),
  options: {
    auth: authSchema,
    secret: secret().optional(),
    method: z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]).default("POST"),
    dedupe: expression({ names: ["event"] }).optional(),
    within: duration().optional(),
    replyWithin: duration().default(10 * SECOND),
    maxBody: size().default(1_000_000),
  },
} as const;

export type WebhookArgs = Args<typeof schemas>;
export type ReadWebhookArgs = ReadArgs<typeof schemas>;
