import { type Context, Hono } from "hono";
import { z } from "zod";
import type { Begun } from "../connections/attempts.ts";
import { ConnectionError } from "../connections/connection.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import { answerJson } from "./answer.ts";
import type { WebContext } from "./context.ts";
import { bodyOf } from "./given.ts";

/** The answer of `POST /api/connections/<name>/connect`: what to do next, or that it is connected. */
export type BegunAnswer = Begun | { kind: "connected" };

const by = z.string().trim().min(1).max(100).default("an operator");
const CONNECT = z.strictObject({ by, way: z.enum(["code", "device"]).optional() });
const PASTE = z.strictObject({ attempt: z.string(), code: z.string().trim().min(1).max(8_000) });
const DISCONNECT = z.strictObject({ by });

/** `/api/connections`: lists, connects and disconnects. */
export function connectionsApi(context: WebContext): Hono {
  const { connections } = context;
  const app = new Hono();
  app.onError((error, c) => {
    // Its message is about an account and a server, and says what would help: the request as such is all right.
    if (error instanceof ConnectionError) return c.json({ error: context.mask(error.message) }, 409);
    throw error;
  });
  const answer = (c: Context, value: unknown) => answerJson(c, context.maskJson(value as Json));

  app.get("/", (c) => answer(c, connections.list()));
  app.post("/:name/connect", async (c) => {
    const { by, way } = await bodyOf(c, CONNECT);
    const begun: BegunAnswer = await attempted(() => connections.begin(c.req.param("name"), { by }, way)) ??
      { kind: "connected" };
    // Not masked: the address must work, and nothing in it is secret but the state, which is for the asker.
    return answerJson(c, begun as unknown as Json);
  });
  app.post("/:name/code", async (c) => {
    const { attempt, code } = await bodyOf(c, PASTE);
    await attempted(() => connections.paste(attempt, code));
    return answer(c, { connection: c.req.param("name"), state: "connected" });
  });
  app.get("/attempts/:id", (c) => {
    const attempt = connections.attempt(c.req.param("id"));
    return attempt === undefined ? c.json({ error: "There is no such attempt" }, 404) : answer(c, attempt);
  });
  app.post("/:name/disconnect", async (c) => {
    const name = c.req.param("name");
    const disconnected = await connections.disconnect(name, (await bodyOf(c, DISCONNECT)).by);
    if (disconnected !== undefined) return answer(c, { connection: name, ...disconnected });
    return c.json({ error: `"${name}" has no tokens that could be forgotten` }, 404);
  });
  return app;
}

/** A server that cannot be reached is no fault of this program. */
export async function attempted<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof UsageError || error instanceof ConnectionError) throw error;
    throw new ConnectionError(messageOf(error));
  }
}
