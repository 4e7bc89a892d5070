// The logs page of the admin panel: new lines come by themselves, and stay in view for whoever looks
// at the end. Without this script the page shows the last lines each time it is loaded.
"use strict";

(() => {
  // What a browser can show without becoming slow; older lines are in the file.
  const LINES_MAX = 4000;
  // Nearer to the end than this many pixels is at the end.
  const END_PIXELS = 24;

  const log = document.querySelector("[data-log]");
  if (!log) return;
  const interval = document.querySelector("[data-log-interval]");
  const state = document.querySelector("[data-log-state]");
  const meta = document.querySelector("[data-log-meta]");
  let lines = log.textContent === "" ? [] : log.textContent.replace(/\n$/, "").split("\n");
  let timer = 0;
  let isAsking = false;

  const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < END_PIXELS;
  const toEnd = () => { log.scrollTop = log.scrollHeight; };
  const say = (words) => { if (state.textContent !== words) state.textContent = words; };

  function show(tail) {
    const follows = isAtEnd();
    if (tail.continued) {
      if (tail.truncated) lines.push("[lines are left out here]");
      lines = lines.concat(tail.lines);
    } else {
      lines = tail.lines;
    }
    if (lines.length > LINES_MAX) lines = lines.slice(lines.length - LINES_MAX);
    if (!tail.continued || tail.lines.length > 0) log.textContent = lines.map((line) => line + "\n").join("");
    if (follows) toEnd();
    log.dataset.cursor = tail.cursor || "";
    if (tail.file) meta.textContent = `${tail.file}, last written ${tail.last_modified}`;
  }

  async function ask() {
    if (isAsking) return;
    isAsking = true;
    clearTimeout(timer);
    const { source, level, search, cursor } = log.dataset;
    const query = new URLSearchParams({ source, level, search, cursor });
    try {
      const response = await fetch(`${log.dataset.log}?${query}`, { cache: "no-store" });
      if (response.status === 401 || response.status === 404) {
        say("You are signed out: sign in again to go on.");
        return;
      }
      if (!response.ok) throw new Error(String(response.status));
      show(await response.json());
      say("");
    } catch {
      say("New lines cannot be loaded at this moment.");
    } finally {
      isAsking = false;
      plan();
    }
  }

  function plan() {
    clearTimeout(timer);
    const seconds = Number(interval.value);
    if (seconds > 0 && !document.hidden) timer = setTimeout(ask, seconds * 1000);
  }

  document.querySelector("[data-log-controls]").hidden = false;
  document.querySelector("[data-log-refresh]").addEventListener("click", ask);
  interval.addEventListener("change", plan);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) plan(); });
  toEnd();
  plan();
})();
