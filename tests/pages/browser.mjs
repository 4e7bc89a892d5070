// Debian's Chromium, and nothing that a browser does of its own accord: either what people have, or its
// shell, which has the same engine and no windows, and costs half as much.

import axe from "axe-core";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];
/** All that depends on the theme; the rest is the same in both. */
const COLOUR_RULES = ["color-contrast", "link-in-text-block"];
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** It is given an empty folder, which goes when it is closed. */
export function launch({ isWhole = false } = {}) {
  const whole = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({
    executablePath: isWhole ? whole : process.env.CHROMIUM_SHELL ?? whole,
    headless: true,
    args: FLAGS,
    // A page that keeps room for a scrollbar looks crooked without one.
    ignoreDefaultArgs: ["--hide-scrollbars"],
  });
}

/** What a page must not do: complain, miss something, or ask anybody but the pool and those it may ask. */
export function watch(page, ...urls) {
  const hosts = urls.map((url) => new URL(url).host);
  const complaints = [];
  page.on("console", (message) => {
    if (!["error", "warning"].includes(message.type())) return;
    // The browser's own note on the status of the page itself, which the caller looks at.
    if (message.text().startsWith("Failed to load resource") && message.location().url === page.url()) return;
    complaints.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error.stack ?? error}`));
  page.on("requestfailed", (request) => {
    // A stream of events ends with the page that listens to it, and so does what the page was asking for.
    if (request.failure()?.errorText === "net::ERR_ABORTED") return;
    complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`);
  });
  page.on("response", (response) => {
    // The page itself may be one that is not there; it asks for itself again, too.
    if (response.status() >= 400 && response.url() !== page.url() && response.request().resourceType() !== "document") complaints.push(`${response.status()}: ${response.url()}`);
  });
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.protocol !== "data:" && !hosts.includes(asked.host)) complaints.push(`another host: ${asked}`);
  });
  return complaints;
}

/** Opens a page and waits for what its scripts draw at first. */
export async function open(page, url) {
  const response = await page.goto(url, { waitUntil: "load" });
  const hasDrawing = await page.locator("[data-chart] [data-drawing]").count() > 0;
  const hasScripts = await page.locator("html.js").count() > 0;
  // Without a pointer charts are drawn when they are touched.
  const hasPointer = hasScripts && await page.evaluate(() => matchMedia("(hover: hover)").matches);
  if (hasDrawing && hasPointer) await page.locator(".uplot canvas").first().waitFor();
  return response;
}

/** What axe has to say, a line for each element. */
export async function violations(page, { onlyColours = false } = {}) {
  // By the debugger, which the page's content policy does not bind.
  if (!await page.evaluate(() => "axe" in window)) await page.evaluate(axe.source);
  const runOnly = onlyColours ? { type: "rule", values: COLOUR_RULES } : { type: "tag", values: TAGS };
  const found = await page.evaluate(async (runOnly) => {
    const { violations } = await window.axe.run(document, { runOnly, resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.any[0]?.message ?? node.all[0]?.message ?? node.failureSummary}`));
  }, runOnly);
  return found.flat();
}

/** Presses a button that asks first, and the one that it asks with. */
export async function confirm(row, words) {
  await row.locator("summary", { hasText: words }).click();
  await row.getByRole("button", { name: new RegExp(`^${words} now: `) }).click();
}

/** Another window; what watches sizes has had its turn when this returns. */
export async function resize(page, width, height) {
  await page.setViewportSize({ width, height });
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(resolve)))));
}

/** How far the page is wider than its window. */
export function overflow(page) {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return "";
    const wide = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > clientWidth + 1 && !element.closest(".scroll"));
    return `${scrollWidth - clientWidth} px: ${wide.slice(0, 3).map((element) => element.outerHTML.slice(0, 80)).join(" | ")}`;
  });
}

/** How light what is behind everything is, from 0 to 1. */
export const backLightness = `(() => {
  const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number);
  return (red + green + blue) / 765;
})()`;
