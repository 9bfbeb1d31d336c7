import type { Hono } from "hono";
import type { WebContext } from "../context.ts";
import { markup } from "./markup.ts";
import { page } from "./shell.ts";
import type { ConsoleEnv } from "./viewer.ts";

export function addOverview(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/", (c) => page(c, context, { title: "Overview", at: "/", body: markup`<h1>Overview</h1>` }));
}
