import { layout } from "./layout.ts";
import { type Markup, markup } from "./markup.ts";

/** The contents of the sign-in page. */
export interface SignInPage {
  /** The form that the person wants to open. */
  form?: string;
  /** The name typed before. */
  name?: string;
  problem?: string;
}

/** The page on which people with an account sign in. */
export function signInPage({ form, name = "", problem }: SignInPage): Markup {
  const summary = problem !== undefined && markup`<div class="summary" role="alert" tabindex="-1" autofocus>
<p class="error">${problem}</p>
</div>`;
  const body = markup`<h1>Sign in</h1>
${summary}
<form method="post" action="/forms/sign-in" accept-charset="utf-8">
${form !== undefined && markup`<input type="hidden" name="form" value="${form}">`}
<div class="field">
<label for="name">Name or e-mail address</label>
<input id="name" name="name" type="text" value="${name}" required autocomplete="username" autocapitalize="none" spellcheck="false">
</div>
<div class="field">
<label for="password">Password</label>
<input id="password" name="password" type="password" required autocomplete="current-password">
</div>
<p><button class="main">Sign in</button></p>
</form>
<p class="soft">Without an account, use the link that you were sent.</p>`;
  return layout({ title: problem === undefined ? "Sign in" : "Error: Sign in", body });
}
