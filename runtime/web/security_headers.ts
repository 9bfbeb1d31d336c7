import type { MiddlewareHandler } from "hono";
import { every } from "hono/combine";
import { secureHeaders } from "hono/secure-headers";

/** Security headers of every response except those to webhooks: nothing is loaded, framed, sent elsewhere or cached. */
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
      // Not `no-referrer`: with that a browser sends `Origin: null` from our own pages. Links are credentials, so no other
      // site may see them.
      referrerPolicy: "same-origin",
    }),
    async (c, next) => {
      await next();
      c.header("cache-control", "no-store");
    },
  );
}
