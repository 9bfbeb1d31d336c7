/** How the tokens and keys of well-known services begin: GitHub, GitLab, Slack, Stripe, Shopify, AWS, Google, OpenAI, npm, JWT. */
const PREFIXES = [
  "gh[opsu]_",
  "ghr_",
  "github_pat_",
  "glpat-",
  "xox[abeprs]-",
  "xapp-",
  "[spr]k_(?:live|test)_",
  "whsec_",
  "shp(?:at|ss|ca|pa)_",
  "A[KS]IA",
  "AIza",
  "ya29\\.",
  "sk-",
  "npm_",
  "eyJ",
].join("|");
const TOKENS = new RegExp(`(?<![A-Za-z0-9])(?:${PREFIXES})[A-Za-z0-9._-]{12,}`, "g");
/** Letters and digits without a pattern of words, as generators of passwords make them. */
const RANDOM = [/^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w.-]{20,}$/, /^(?=.*\d)[0-9a-f]{32,}$/i];

/** Whether a text looks like the value of a secret rather than like its name. */
export function looksLikeToken(text: string): boolean {
  return hideTokens(text) !== text || RANDOM.some((pattern) => pattern.test(text));
}

/** Replaces the tokens of well-known services in a text by as many asterisks, so that columns keep their meaning. */
export function hideTokens(text: string): string {
  return text.replace(TOKENS, (token) => "*".repeat(token.length));
}
