/** The part of oidc-provider that the tests use; the package has no types of its own. */
interface Token {
  accountId?: string;
  destroy(): Promise<void>;
}
interface TokenClass {
  find(token: string): Promise<Token | undefined>;
  revokeByGrantId(grant: string): Promise<void>;
}
export default class Provider {
  constructor(issuer: string, configuration: Record<string, unknown>);
  // deno-lint-ignore no-explicit-any
  on(event: string, listener: (argument: any) => void): void;
  // deno-lint-ignore no-explicit-any
  callback(): (request: any, response: any) => Promise<void>;
  AccessToken: TokenClass;
  RefreshToken: TokenClass;
  ClientCredentials: TokenClass;
}
