// Keeps the marked parts of a page up to date, and says so at once when nothing answers any more.
// Without this file the page is the same, only as old as its last load.
"use strict";

(() => {
  const EVERY = 10000; // between two looks
  const HIDDEN = 30000; // the same in a tab that nobody sees: its title still tells how things stand
  const AGAIN = 2000; // while there is no answer
  const PATIENCE = 10000; // for one answer
  if (!document.getElementById("fresh")) return;

  const own = document.currentScript.src;
  const live = document.querySelector("main [data-live]") !== null;
  // A page of which nothing is renewed only asks whether the forwarder is there.
  const target = live ? location.href : own.replace(/static\/refresh\.js.*/, "healthz");
  const alarm = own.replace("refresh.js", "icon-bad.svg");
  new Image().src = alarm; // fetched now: later there may be nobody to ask for it

  let shownAt = Date.now();
  let next = shownAt + EVERY;
  let asking = false;
  let paused = false;
  let lost = null;

  const banner = document.createElement("section");
  banner.id = "banner";
  banner.setAttribute("aria-label", "No answer");
  const said = document.createElement("div");
  said.setAttribute("role", "alert");
  const since = document.createElement("p");
  banner.append(said, since);
  document.querySelector("header").before(banner);

  const ago = (milliseconds) => {
    const seconds = Math.max(Math.round(milliseconds / 1000), 0);
    const parts = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
    const told = parts.map((count, at) => `${count}${"dhms"[at]}`).filter((_, at) => parts[at]);
    return told.length ? `${told.slice(0, 2).join(" ")} ago` : "just now";
  };

  const site = () => document.title.split(" · ").pop().split(" – ").pop();
  const setIcon = (address) => {
    const link = document.querySelector("link[rel=icon]");
    if (link.href !== address) link.href = address;
  };

  // Times come in UTC, and are shown in the zone of whoever reads them; a line to point at keeps the UTC.
  const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const two = (number) => String(number).padStart(2, "0");
  const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const localize = (root) => {
    const fresh = root.querySelector("#fresh time");
    if (!fresh) return;
    const today = day(new Date(fresh.dateTime));
    for (const time of root.querySelectorAll("time[data-moment]")) {
      const date = new Date(time.dateTime);
      if (Number.isNaN(date.getTime()) || date.getTimezoneOffset() === 0) continue;
      time.title = `${time.textContent} UTC`;
      const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
      time.textContent = day(date) === today ? `${clock}:${two(date.getSeconds())}` : `${day(date)} ${clock}`;
    }
    const offset = new Date(fresh.dateTime).getTimezoneOffset();
    for (const zone of offset ? root.querySelectorAll("[data-zone]") : []) {
      zone.textContent = zone.dataset.zone ? `times are in your zone, ${ZONE}; those within sentences in UTC` : "";
    }
  };

  const showAge = () => {
    const fresh = document.getElementById("fresh");
    fresh.classList.toggle("stale", lost !== null);
    fresh.querySelector(".age").textContent = `, ${ago(Date.now() - shownAt)}`;
    const when = fresh.querySelector("time").textContent;
    const zone = fresh.querySelector("[data-zone]").textContent;
    since.textContent = lost ? `What you see here is as of ${when}${zone}, ${ago(Date.now() - shownAt)}.` : "";
  };

  // A part in which somebody types, selects text or has something open is left alone until they are done.
  const inUse = (part) => {
    const selection = document.getSelection();
    return (
      part.contains(document.activeElement) ||
      part.querySelector("details[open]") !== null ||
      (selection !== null && !selection.isCollapsed && selection.containsNode(part, true))
    );
  };

  // How things stand is told whatever one does there; the focus stays where it was, as far as that is still there.
  const replaceAtOnce = (part, news) => {
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    part.replaceWith(news);
    if (focused !== null) {
      const same = [...news.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused);
      (same || document.getElementById("main")).focus();
    }
  };

  const take = (page) => {
    localize(page);
    const recovered = lost !== null;
    for (const part of document.querySelectorAll("[data-live], header nav")) {
      const news = part.id ? page.getElementById(part.id) : page.querySelector("header nav");
      if (!news || news.outerHTML === part.outerHTML) continue;
      if (recovered || part.id === "standing" || part.id === "fresh") replaceAtOnce(part, document.adoptNode(news));
      else if (!inUse(part)) part.replaceWith(document.adoptNode(news));
    }
    document.title = page.title;
    setIcon(new URL(page.querySelector("link[rel=icon]").getAttribute("href"), location.href).href);
    shownAt = Date.now();
  };

  // Nothing that is green, nor that says "working", stays while it is not known whether it still is so.
  const lose = (trouble) => {
    if (lost && lost.title === trouble.title && lost.text === trouble.text) return;
    lost = trouble;
    document.title = `No answer – ${site()}`;
    setIcon(alarm);
    document.documentElement.classList.add("lost");
    const title = document.createElement("p");
    const text = document.createElement("p");
    title.className = "title";
    title.textContent = trouble.title;
    text.textContent = trouble.text;
    if (trouble.link) {
      const link = document.createElement("a");
      link.href = location.href;
      link.textContent = trouble.link;
      text.append(" ", link);
    }
    said.replaceChildren(title, text);
    const standing = document.getElementById("standing");
    if (standing) {
      standing.className = "standing bad";
      standing.querySelector("h1 span").textContent = "How things stand is not known.";
      standing.querySelector("ul")?.remove();
    }
    for (const state of document.querySelectorAll(".card .state")) state.textContent = "not known";
  };

  const found = () => {
    lost = null;
    document.documentElement.classList.remove("lost");
    said.replaceChildren();
  };

  const isOurs = (page) => page.querySelector("meta[name=application-name][content=sentrytex-forwarder]") !== null;

  const SILENT = {
    title: "The forwarder does not answer.",
    text:
      "It may have ended, or cannot be reached from here: whether alerts are still delivered is not known. " +
      "Look at the machine on which it runs. This page keeps asking, and recovers by itself.",
  };
  const SIGNED_OUT = {
    title: "You are signed out.",
    text: "The answer leads elsewhere, as to sign in: nothing here is kept up to date until you have.",
    link: "Sign in",
  };
  const FOREIGN = {
    title: "Something else answers in place of the forwarder.",
    text:
      "What comes from this address is not the forwarder's page: another program, or a proxy that does not reach it. " +
      "Whether alerts are still delivered is not known.",
  };
  const failed = (status, page) => ({
    title: `The forwarder cannot show how things stand (error ${status}).`,
    text:
      page && isOurs(page) && page.querySelector(".lead")
        ? page.querySelector(".lead").textContent
        : "It, or a proxy in front of it, answers with an error: whether alerts are still delivered is not known.",
  });

  // What is wrong with an answer, and the page that it holds; neither where a page without news was told that all works.
  const judge = async (answer) => {
    if (answer.type === "opaqueredirect") return [SIGNED_OUT, null];
    const text = await answer.text();
    if (!live && answer.ok) return [/^\s*\{\s*"alive"\s*:\s*true\b/.test(text) ? null : FOREIGN, null];
    const page = new DOMParser().parseFromString(text, "text/html");
    if (!answer.ok) return [failed(answer.status, page), null];
    return isOurs(page) && page.getElementById("fresh") ? [null, page] : [FOREIGN, null];
  };

  const look = async () => {
    if (asking) return;
    asking = true;
    let trouble = SILENT;
    let page = null;
    try {
      const answer = await fetch(target, {
        redirect: "manual",
        cache: "no-store",
        headers: live ? { Accept: "text/html" } : {},
        signal: AbortSignal.timeout(PATIENCE),
      });
      [trouble, page] = await judge(answer);
    } catch {
      // Refused, cut or too late: it may be restarting.
    }
    asking = false;
    if (trouble) {
      lose(trouble);
    } else if (page && (!paused || lost)) {
      take(page);
      found();
    } else if (lost) {
      // There is nothing to take over, and what was on the page was overwritten.
      location.reload();
    }
    next = Date.now() + (trouble ? AGAIN : document.hidden ? HIDDEN : EVERY);
    showAge();
  };

  const lookNow = () => {
    next = 0;
    tick();
  };
  // Once a second, and by the clock: a machine that slept looks as soon as it is awake.
  const tick = () => {
    showAge();
    if (Date.now() >= next) look();
  };
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", () => document.hidden || lookNow());
  addEventListener("pageshow", (event) => event.persisted && lookNow());
  addEventListener("online", lookNow);
  addEventListener("offline", lookNow);

  if (live) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Pause updates";
    document.getElementById("fresh").after(button);
    button.addEventListener("click", () => {
      paused = !paused;
      button.textContent = paused ? "Resume updates" : "Pause updates";
      if (paused && !lost) document.title = `Paused – ${site()}`;
      else lookNow();
    });
  }
  localize(document);
  showAge();
})();
