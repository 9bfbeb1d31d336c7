import type { MiddlewareHandler } from "hono";
import { every } from "hono/combine";
import { secureHeaders } from "hono/secure-headers";

/**
 * Security headers of every response except those to webhooks: only our own scripts, styles and images are loaded, none of them
 * inline; nothing is framed, sent elsewhere or cached. Script code in text is never evaluated.
 */
export function securityHeaders(): MiddlewareHandler {
  return every(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        connectSrc: ["'self'"],
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
      if (!c.res.headers.has("cache-control")) c.header("cache-control", "no-store");
    },
  );
}
