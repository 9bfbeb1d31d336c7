import type { MiddlewareHandler } from "hono";
import { every } from "hono/combine";
import { secureHeaders } from "hono/secure-headers";

/** What every answer says to browsers, but for those to webhooks: nothing is loaded, framed, sent elsewhere or kept. */
export function securityHeaders(): MiddlewareHandler {
  return every(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        styleSrc: ["'unsafe-inline'"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
      strictTransportSecurity: false,
      xFrameOptions: "DENY",
      // Not `no-referrer`: with that a browser says `Origin: null` of our own pages. Links are credentials, so no other site sees them.
      referrerPolicy: "same-origin",
    }),
    async (c, next) => {
      await next();
      c.header("cache-control", "no-store");
    },
  );
}
