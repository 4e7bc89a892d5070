// Keeps an open page fresh. Everything shown is in the page already; this only replaces it: the headline
// figures when /api/events tells new ones, the rest from the page itself, asked for again.
"use strict";

const SECTIONS_MS = 10000; // A page is six kilobytes or so: less than 2 KiB/s for each that is open.
const BACKOFF_MS_MAX = 60000; // While the pool is away, somebody is still looking at the page.
const STALE_MS = 25000; // Nothing new for this long is worth a word.
const COPIED_MS = 3400;
const NOTHING = "—";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);

// The rules of src/status/format.rs, for what events tell.
const format = {
  integer: (v) => Math.round(v).toLocaleString("en-US"),
  hashrate: (v) => {
    if (!(v > 0)) return NOTHING;
    const units = ["H/s", "KH/s", "MH/s", "GH/s", "TH/s", "PH/s", "EH/s", "ZH/s"];
    let unit = 0;
    while (v >= 999.995 && unit + 1 < units.length) { v /= 1000; unit += 1; }
    return `${v.toFixed(2)} ${units[unit]}`;
  },
  rate: (v) => (!(v > 0) ? "0" : scaled(v, [[1e9, "G"], [1e6, "M"], [1e3, "K"]]) ?? v.toFixed(1)),
  difficulty: (v) => {
    if (!(v > 0)) return NOTHING;
    if (v < 1) return smallDifficulty(v);
    return scaled(v, [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"]]) ?? String(Math.round(v));
  },
};

function scaled(v, steps) {
  for (const [step, letter] of steps) if (v >= step) return (v / step).toFixed(1) + letter;
  return undefined;
}

function smallDifficulty(v) {
  const decimals = Math.min(8, Math.max(3, Math.ceil(-Math.log10(v)) + 2));
  // The nudge keeps 0.3 from being cut to 0.299.
  const cut = Math.floor(v * 10 ** decimals + 1e-6) / 10 ** decimals;
  return cut > 0 ? String(Number(cut.toFixed(decimals))) : String(Number(v.toPrecision(3)));
}

function ago(seconds) {
  const s = Math.floor(seconds);
  if (s < 5) return "just now";
  const steps = [[31536000, "yr"], [2592000, "mo"], [604800, "wk"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [step, unit] = steps.find(([step]) => s >= step);
  return `${Math.floor(s / step)} ${unit} ago`;
}

function ahead(seconds) {
  const text = ago(seconds);
  return text === "just now" ? "now" : `in ${text.slice(0, -4)}`;
}

function uptime(s) {
  const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `${d}d ${h}h ${m}m`;
  if (h) return `${h}h ${m}m ${s % 60}s`;
  return m ? `${m}m ${s % 60}s` : `${s}s`;
}

// Ages are those of the server's clock: the browser's may be wrong by minutes.
let clockOffset = 0;
const serverNow = () => Date.now() + clockOffset;
function setClock(time) {
  const at = Date.parse(time);
  if (at) clockOffset = at - Date.now();
}

// --- What counts on by itself -----------------------------------------------------------------------

const inZone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const hourInZone = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Times in the reader's zone; UTC stays where the pointer finds it. */
function localise(root) {
  for (const time of all("time[data-when]", root)) {
    const at = Date.parse(time.dateTime);
    if (!at) continue;
    if (time.textContent.endsWith("UTC")) time.title = time.textContent;
    write(time, inZone.format(at));
  }
  for (const text of all("[data-hour]", root)) write(text, hourInZone.format(Date.parse(text.dataset.hour)));
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function countOn() {
  const now = serverNow();
  for (const time of all("time[data-age]")) write(time, ago((now - Date.parse(time.dateTime)) / 1000));
  for (const time of all("time[data-until]")) write(time, ahead((Date.parse(time.dateTime) - now) / 1000));
  const timer = one("[data-tip]");
  if (timer) {
    const passed = (now - Date.parse(timer.dataset.tip)) / 1000;
    const left = Math.round(600 - passed);
    write(one("[data-timer-text]", timer), uptime(Math.abs(left)));
    write(one("[data-timer-word]", timer), left >= 0 ? "expected" : "overdue");
    timer.classList.toggle("overdue", left < 0);
    one("[data-timer-bar]", timer).style.transform = `scaleX(${Math.min(1, Math.max(0, passed / 600))})`;
  }
  showState(now);
}

// --- Fresh figures ----------------------------------------------------------------------------------

let heardAt = Date.now();
let asOf = Date.parse(document.body.dataset.asOf) || Date.now();
let failures = 0;
let timer;

function showFigures(figures) {
  for (const element of all("[data-live]")) {
    const value = figures[element.dataset.live];
    const text = value === undefined || value === null ? NOTHING : format[element.dataset.kind](value);
    if (element.textContent === text) continue;
    element.textContent = text;
    element.classList.remove("changed");
    requestAnimationFrame(() => element.classList.add("changed"));
  }
}

/** Takes the parts of the page that have changed, but for one in which somebody is. */
async function refresh() {
  clearTimeout(timer);
  if (document.hidden || !one("[data-section]")) return; // Taken up again when the tab is shown.
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(10000) });
    // An overview without work is 503 and a page all the same.
    if (!(response.headers.get("Content-Type") ?? "").startsWith("text/html")) throw new Error(`status ${response.status}`);
    setClock(response.headers.get("Date"));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    // Who is not signed in any more is led to another page, which has nothing for this one.
    const ended = one("[data-session-ended]");
    if (ended) ended.hidden = !response.redirected;
    if (!response.redirected) asOf = Date.parse(page.body.dataset.asOf) || asOf;
    for (const section of response.redirected ? [] : all("[data-section]")) {
      const fresh = one(`[data-section="${section.dataset.section}"]`, page);
      if (!fresh || section.contains(document.activeElement) || one("details.behind[open], details.ask[open]", section)) continue;
      if (fresh.innerHTML === section.dataset.html) continue;
      section.dataset.html = fresh.innerHTML;
      if (one("[data-chart]", section) && window.chart?.isDrawn(section)) continue;
      for (const [index, details] of all("details", section).entries()) {
        const its = all("details", fresh)[index];
        if (its) its.open = details.open;
      }
      section.replaceChildren(...fresh.childNodes);
      prepare(section);
    }
    const time = one("time[data-as-of]");
    if (time) { time.dateTime = page.body.dataset.asOf; time.textContent = inZone.format(asOf); }
    failures = 0;
    heardAt = Date.now();
  } catch {
    failures += 1;
  }
  timer = setTimeout(refresh, Math.min(SECTIONS_MS * 2 ** failures, BACKOFF_MS_MAX));
  countOn();
}

/** What is old is marked as old. */
function showState() {
  const state = one("[data-state]");
  if (!state || !one("[data-section]")) return;
  const silent = Date.now() - heardAt;
  const isStale = silent > STALE_MS;
  document.documentElement.classList.toggle("is-stale", isStale);
  state.dataset.kind = isStale ? "stale" : "fresh";
  write(state, isStale ? `The pool does not answer. These figures are ${ago((serverNow() - asOf) / 1000).replace("ago", "old")}.` : "");
}

let events;
function listen() {
  events?.close();
  events = undefined;
  if (document.hidden || !document.body.dataset.events || !one("[data-live]")) return;
  events = new EventSource(document.body.dataset.events);
  events.addEventListener("figures", (event) => {
    const figures = JSON.parse(event.data);
    heardAt = Date.now();
    asOf = Date.parse(figures.updated_at) || asOf;
    showFigures(figures);
  });
  for (const name of ["tip", "block"]) {
    events.addEventListener(name, () => { clearTimeout(timer); timer = setTimeout(refresh, 300); });
  }
}

// --- Controls ---------------------------------------------------------------------------------------

function showTheme() {
  const theme = localStorage.getItem("theme");
  const choice = theme === "light" || theme === "dark" ? theme : "system";
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  for (const button of all("[data-theme-choice]")) button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  document.dispatchEvent(new Event("themechange"));
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages that came over plain HTTP have no clipboard of their own.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    // What is outside of an open dialog cannot be selected.
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  showCopied(button);
}

let copied;

/** Said of the last press alone, which is what the clipboard has. */
function showCopied(button) {
  copied?.end();
  button.classList.add("done");
  button.textContent = "Copied";
  say("Copied to the clipboard.");
  const end = () => {
    clearTimeout(copied.timer);
    copied = undefined;
    button.classList.remove("done");
    button.textContent = "Copy";
    say("");
  };
  copied = { end, timer: setTimeout(end, COPIED_MS) };
}

/** For those who listen. */
function say(text) {
  const spoken = one("[data-spoken]");
  if (spoken) spoken.textContent = text;
}

/** What is new in the page, or the whole of it at first. */
function prepare(root) {
  for (const button of all("[data-copy][hidden]", root)) button.hidden = false;
  localise(root);
  window.chart?.draw(root);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (button?.dataset.copy) copy(button);
  if (button?.dataset.themeChoice) {
    if (button.dataset.themeChoice === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", button.dataset.themeChoice);
    showTheme();
  }
});

document.addEventListener("visibilitychange", () => {
  listen();
  if (!document.hidden) refresh();
});

try {
  showTheme();
  for (const control of all("[data-theme-switch]")) control.hidden = false;
} catch { /* Without storage there is nothing to choose. */ }
for (const section of all("[data-section]")) section.dataset.html = section.innerHTML;
prepare(document);
countOn();
setInterval(countOn, 1000);
listen();
timer = setTimeout(refresh, SECTIONS_MS);

/** Charts are drawn once the page can be used; on a device without a pointer, when one of them is touched: there is
 *  nothing to point with before, and drawing is a long task for a phone. */
function loadCharts() {
  if (document.documentElement.dataset.charts) return;
  document.documentElement.dataset.charts = "asked for";
  for (const url of one('meta[name="chart-scripts"]')?.content.split(" ") ?? []) {
    const script = document.createElement("script");
    script.src = url;
    script.async = false; // One after the other.
    document.head.append(script);
  }
}
if (matchMedia("(hover: none)").matches) {
  document.addEventListener("pointerdown", (event) => { if (event.target.closest?.("[data-chart]")) loadCharts(); });
} else {
  addEventListener("load", () => (globalThis.requestIdleCallback ?? setTimeout)(loadCharts));
}
