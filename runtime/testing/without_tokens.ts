import { checkHost, type Connection } from "../connections/connection.ts";
import type { ConnectionTokens } from "../connections/with_token.ts";

/** The secret that a provider has given to the webhooks of a test. */
export const HANDSHAKE_SECRET = "made up for tests: handshake";

/** Connections for tests: nobody has to connect them, as stubs answer the requests. Their hosts are checked nevertheless. */
export function withoutTokens(connections: Connection[]): ConnectionTokens {
  return {
    async token(name, url) {
      const connection = connections.find((each) => each.name === name);
      if (connection !== undefined) checkHost(connection, url);
      return await Promise.resolve(`token of ${name}`);
    },
  };
}
