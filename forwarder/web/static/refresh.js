// Keeps the marked parts of a page up to date. Without this file the page is the same, only as old as its last load.
"use strict";

(() => {
  const EVERY = 10000;
  const fresh = document.getElementById("fresh");
  if (!fresh) return;

  let paused = false;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  fresh.after(button);
  const label = () => {
    button.textContent = paused ? "Resume updates" : "Pause updates";
  };
  button.addEventListener("click", () => {
    paused = !paused;
    label();
    if (!paused) refresh();
  });
  label();

  // A part in which somebody types, selects text or has something open is left alone until they are done.
  const inUse = (part) => {
    const selection = document.getSelection();
    return (
      part.contains(document.activeElement) ||
      part.querySelector("details[open]") !== null ||
      (selection !== null && !selection.isCollapsed && selection.containsNode(part, true))
    );
  };

  const take = (page) => {
    document.title = page.title;
    for (const part of document.querySelectorAll("[data-live], header nav")) {
      const news = part.id ? page.getElementById(part.id) : page.querySelector("header nav");
      if (news && news.outerHTML !== part.outerHTML && !inUse(part)) part.replaceWith(document.adoptNode(news));
    }
  };

  const refresh = async () => {
    if (paused || document.hidden) return;
    const shown = document.getElementById("fresh");
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(EVERY) });
      if (answer.redirected) {
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      document.getElementById("fresh").classList.remove("stale");
    } catch {
      // The forwarder may be restarting: say how old this is, and go on asking.
      shown.classList.add("stale");
      if (!shown.textContent.startsWith("No answer")) shown.prepend("No answer; what you see is ");
    }
  };

  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
})();
