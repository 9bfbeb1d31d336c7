/** Access tokens of connections for outgoing requests. */
export interface ConnectionTokens {
  /**
   * A token that may be sent to this address.
   * @param refused the token that the address has just answered with 401: it is renewed, unless that was done meanwhile. If it cannot be
   * renewed, the result is the same token
   * @throws ConnectionError if there is none, or if this host must not get it; Error if the authorization server cannot be reached
   */
  token(connection: string, url: URL, signal: AbortSignal, refused?: string): Promise<string>;
}

/**
 * Sends a request with a connection's token; after 401 the token is renewed once, and the request is sent once more.
 * @param send sends the request with this value of the header `authorization`
 * @throws what `token` and `send` throw
 */
export async function sendWithToken(
  tokens: ConnectionTokens,
  connection: string,
  url: URL,
  signal: AbortSignal,
  send: (authorization: string) => Promise<Response>,
): Promise<Response> {
  const token = await tokens.token(connection, url, signal);
  const response = await send(`Bearer ${token}`);
  if (response.status !== 401) return response;
  const renewed = await tokens.token(connection, url, signal, token).catch(async (error) => {
    await response.body?.cancel();
    throw error;
  });
  if (renewed === token) return response;
  await response.body?.cancel();
  return await send(`Bearer ${renewed}`);
}
