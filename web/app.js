// Keeps a page that is open fresh. Everything shown is in the page already; this only replaces
// it: figures from /api/server by their data-figure path, tables from the page itself.
"use strict";

const FIGURES_MS = 5000; // Snapshots are a few seconds apart: asking faster brings nothing new.
const SECTIONS_MS = 60000; // Tables cost a whole page, so they follow more slowly.
const BACKOFF_MS_MAX = 60000; // While the pool is away, somebody is still looking at the page.
const COPIED_MS = 3400;
const NOTHING = "—";

// The rules of src/status/format.rs, kind by kind.
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
  bitcoin: (v) => `${Math.floor(v / 1e8)}.${String(v % 1e8).padStart(8, "0")} BTC`,
  percent: (v) => `${v.toFixed(2)}%`,
  bytes: (v) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (v >= 1024 && unit + 1 < units.length) { v /= 1024; unit += 1; }
    return unit === 0 ? `${v} B` : `${v.toFixed(2)} ${units[unit]}`;
  },
  latency: (v) => (v > 0 ? `${(v * 1e3).toFixed(3)} ms` : NOTHING),
  load: (v) => v.toFixed(2),
  uptime: (v) => {
    const s = Math.floor(v / 1e9);
    const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
    if (d) return `${d}d ${h}h ${m}m`;
    if (h) return `${h}h ${m}m ${s % 60}s`;
    return m ? `${m}m ${s % 60}s` : `${s}s`;
  },
  online: (v) => (v ? "online" : "offline"),
  sum: (v) => format.integer(Object.values(v).reduce((a, b) => a + b, 0)),
  age: (v) => ago((serverNow() - Date.parse(v)) / 1000),
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

// Ages are those of the server's clock: the browser's may be wrong by minutes.
let clockOffset = 0;
const serverNow = () => Date.now() + clockOffset;

let updatedAt = 0;
let sectionsAt = Date.now();
let sectionsKey;
let failures = 0;
let timer;

async function refresh() {
  clearTimeout(timer);
  if (document.hidden) return; // Taken up again when the tab is shown.
  try {
    const response = await fetch("/api/server", { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const server = await response.json();
    clockOffset = (Date.parse(response.headers.get("Date")) || Date.now()) - Date.now();
    showFigures(server);
    showUpdatedAt(response.headers.get("X-JSON-Updated-At"));
    // What changes the tables or the notice: work appearing or going, and blocks.
    const key = JSON.stringify([server.job === null, !server.job_feed.block_time, server.rpc_healthy, server.blocks]);
    if ((sectionsKey !== undefined && key !== sectionsKey) || Date.now() - sectionsAt >= SECTIONS_MS) await showSections();
    sectionsKey = key;
    failures = 0;
    say("");
  } catch (error) {
    failures += 1;
    const since = updatedAt ? ` The figures are from ${ago((serverNow() - updatedAt) / 1000)}.` : "";
    say(`The pool does not answer.${since}`, "offline");
  }
  timer = setTimeout(refresh, Math.min(FIGURES_MS * 2 ** failures, BACKOFF_MS_MAX));
}

function showFigures(server) {
  for (const element of document.querySelectorAll("[data-figure]")) {
    const value = element.dataset.figure.split(".").reduce((at, key) => at?.[key], server);
    if (element.dataset.format === "age") element.dateTime = value ?? "";
    const text = value === undefined || value === null ? NOTHING : format[element.dataset.format](value);
    if (element.dataset.format === "online") element.dataset.state = text;
    show(element, text);
  }
}

function show(element, text) {
  if (element.textContent === text) return;
  element.textContent = text;
  // Ages and uptime change with every look: flashing them would only be restless.
  if (["age", "uptime"].includes(element.dataset.format)) return;
  element.classList.remove("changed");
  requestAnimationFrame(() => element.classList.add("changed"));
}

async function showSections() {
  const response = await fetch("/", { signal: AbortSignal.timeout(10000) });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const section of document.querySelectorAll("[data-section]")) {
    const fresh = page.querySelector(`[data-section="${section.dataset.section}"]`);
    // Left alone while somebody is in it, or nothing has changed.
    if (!fresh || section.contains(document.activeElement)) continue;
    if (fresh.textContent !== section.textContent) section.replaceChildren(...fresh.childNodes);
  }
  showCopyButtons();
  sectionsAt = Date.now();
}

function showUpdatedAt(time) {
  const element = document.querySelector("[data-as-of]");
  if (!time || !element) return;
  updatedAt = Date.parse(time);
  element.dateTime = time;
  element.textContent = time.replace("T", " ").replace("Z", " UTC");
}

function tickAges() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[datetime]:not([data-as-of])")) {
    if (element.dateTime) show(element, format.age(element.dateTime));
  }
}

function say(text, state = "") {
  const element = document.querySelector("[data-live]");
  if (!element || element.textContent === text) return;
  element.textContent = text;
  element.dataset.state = state;
}

function showCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
}

async function copy(button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Without https there is no clipboard: the text is selected, ready for the old command.
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    done = document.execCommand("copy");
  }
  const spoken = document.querySelector("[data-spoken]");
  button.textContent = done ? "Copied" : "Press Ctrl+C";
  spoken.textContent = done ? "Address copied." : "Address selected.";
  setTimeout(() => { button.textContent = "Copy"; spoken.textContent = ""; }, COPIED_MS);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
document.addEventListener("visibilitychange", refresh);
setInterval(tickAges, 1000);
showCopyButtons();
refresh();
