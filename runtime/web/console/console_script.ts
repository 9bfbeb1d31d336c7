/// <reference lib="dom" />
import "htmx.org";
import "htmx.org/dist/ext/hx-sse.js";

/** Set once the viewer's zone was asked for: a browser without cookies must not load for ever. */
const ZONE_ASKED = "whenthen-zone";

keepZone();

/** Has the server write times in the viewer's zone: the page names the zone that it was written in, if it is not the viewer's. */
function keepZone(): void {
  const { zone } = document.documentElement.dataset;
  const own = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone === undefined || zone === own) return;
  document.cookie = `whenthen_zone=${encodeURIComponent(own)}; path=/; max-age=34560000; samesite=lax`;
  try {
    if (sessionStorage.getItem(ZONE_ASKED) === own) return;
    sessionStorage.setItem(ZONE_ASKED, own);
    location.reload();
  } catch {
    // Storage is refused to this page: the next page will be in the right zone.
  }
}
