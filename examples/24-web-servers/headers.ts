/** The headers of a server's answer. */
export async function headers({ url }: { url: string }): Promise<Record<string, string>> {
  const response = await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(8_000) });
  return Object.fromEntries(response.headers);
}
