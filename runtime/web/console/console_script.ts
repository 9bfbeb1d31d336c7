/// <reference lib="dom" />
import "htmx.org";
import "htmx.org/dist/ext/hx-sse.js";

/** Set after the page was reloaded for the viewer's zone: a browser without cookies must not reload for ever. */
const ZONE_ASKED = "whenthen-zone";

/** Tells the server the viewer's time zone by a cookie, and reloads a page that was written in another zone. */
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
    // The page may not use storage: the next page will be in the right zone.
  }
}

/** Milliseconds without a message after which the page counts as not live: the server sends a heartbeat every 25 s. */
const SILENCE = 60_000;

/** Shows in the head whether the page is live, is one of too many live pages, or has lost contact, and since when. */
function showLive(): void {
  const mark = document.getElementById("live");
  if (mark === null) return;
  let heard = Date.now();
  const say = (state: "live" | "paused" | "lost") => {
    if (state === "live") heard = Date.now();
    const since = new Date(heard).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
    const text = state === "lost"
      ? `no contact since ${since}`
      : state === "paused"
      ? "paused: live in other tabs"
      : "live";
    mark.dataset.state = state;
    if (mark.textContent !== text) mark.textContent = text;
  };
  const on = (names: string[], act: (event: Event) => void) => {
    for (const name of names) mark.addEventListener(name, act);
  };
  on(["htmx:sse:after:connection", "htmx:sse:after:message", "beat"], () => say("live"));
  on(["htmx:sse:error", "htmx:sse:close", "htmx:error"], () => {
    if (!document.hidden) say("lost");
  });
  on(["htmx:after:request"], (event) => {
    if (!(event instanceof CustomEvent)) return;
    const { status } = event.detail.ctx.response;
    if (status < 400) return;
    // Otherwise htmx would replace the status with the answer.
    event.preventDefault();
    say(status === 429 ? "paused" : "lost");
  });
  setInterval(() => {
    if (!document.hidden && mark.dataset.state === "live" && Date.now() - heard > SILENCE) say("lost");
  }, 5_000);
  document.addEventListener("visibilitychange", () => {
    // The stream of a hidden tab is closed, so silence is expected.
    if (!document.hidden) heard = Date.now();
  });
}

/** Opens again, after Back, the rows that were open. */
function keepOpen(): void {
  const key = `whenthen-open ${location.pathname}${location.search}`;
  try {
    const [navigation] = performance.getEntriesByType("navigation");
    const isBack = navigation instanceof PerformanceNavigationTiming && navigation.type === "back_forward";
    const open: string[] = isBack ? JSON.parse(sessionStorage.getItem(key) ?? "[]") : [];
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    addEventListener("pagehide", () => {
      const ids = [...document.querySelectorAll<HTMLElement>("details[open][id]")].map(({ id }) => id);
      if (ids.length > 0) sessionStorage.setItem(key, JSON.stringify(ids));
      else sessionStorage.removeItem(key);
    });
  } catch {
    // The page may not use storage: rows are closed after Back.
  }
}

keepZone();
showLive();
keepOpen();
