import type { Hono } from "hono";
import type { WebContext } from "../context.ts";
import { markup } from "./markup.ts";
import { page } from "./shell.ts";
import type { ConsoleEnv } from "./viewer.ts";
import { SECTIONS, type Word } from "./words.ts";

/** `/help`: explains each word that the pages use; `/help#busy` is the address of one. */
export function addHelp(app: Hono<ConsoleEnv>, context: WebContext): void {
  app.get("/help", (c) => {
    const sections = Object.entries(SECTIONS).map(([title, words]: [string, Record<string, Word>]) =>
      markup`<section>
<h2>${title}</h2>
<dl class="words">
${
        Object.entries(words).map(([name, { icon, tone, sentence }]) =>
          markup`<div id="${name}"><dt class="word ${tone}"><span aria-hidden="true">${icon}</span> ${name}</dt><dd>${sentence}</dd></div>\n`
        )
      }</dl>
</section>
`
    );
    const body = markup`<h1>Words</h1>
<p class="soft">What the pages say, and what it means. whenthen ${context.version}.</p>
${sections}`;
    return page(c, context, { title: "Words", at: "/help", body });
  });
}
