import type { Hono } from "hono";
import type { WebContext } from "../context.ts";
import { markup } from "./markup.ts";
import { page } from "./shell.ts";
import type { ConsoleEnv } from "./viewer.ts";

export function addRule(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get(
    "/rules/:id{.+}",
    (c) => page(c, context, { title: "Overview", at: "/rules", body: markup`<h1>Overview</h1>` }),
  );
}
