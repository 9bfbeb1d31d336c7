/// <reference lib="dom" />
import "htmx.org";
import "htmx.org/dist/ext/hx-sse.js";

/** Set once the page was reloaded for the viewer's zone: a browser without cookies must not reload for ever. */
const ZONE_ASKED = "whenthen-zone";

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
    // The page may not use storage: the next page will be in the right zone.
  }
}

/** If the server sends nothing for this long, the page is not live: heartbeats come every 25 s. */
const SILENCE = 60_000;

/** Shows in the head whether the page is live, is one of too many live pages, or has lost contact, and since when. */
function sayLive(): void {
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
    const { status } = (event as CustomEvent).detail.ctx.response;
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
    const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
    const open: string[] = navigation?.type === "back_forward" ? JSON.parse(sessionStorage.getItem(key) ?? "[]") : [];
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
sayLive();
keepOpen();
