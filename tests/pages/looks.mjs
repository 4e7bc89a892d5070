// How a page looks: the same rules for every page, whoever opens it.

import assert from "node:assert/strict";

import { backLightness, open, overflow, resize, violations, watch } from "./browser.mjs";
import { nothing } from "./given.mjs";
import { WIDTHS } from "./places.mjs";

/** WCAG's 1.4.10: content is the same at this width, without scrolling in two directions. */
const NARROWEST = 320;
const HEIGHT = 900;
/** What nobody has written for a reader. */
const LEFTOVERS = /\{\{|\{%|<{7}|>{7}|\bNaN\b|\bInfinity\b|\bundefined\b|@HOST@|\[object /;

/** How pages are opened for this. */
export const looking = (colorScheme) => ({ colorScheme, viewport: { width: WIDTHS[0], height: HEIGHT } });

/** At every width nothing complains, nothing is too wide, everybody can read it. */
export async function checkLooks(page, url, place, colorScheme) {
  const complaints = watch(page, url, ...(place.asks ?? []));
  const response = await open(page, url + place.path);
  if (place.shows) await page.locator(place.shows).first().waitFor();
  assert.ok([place.status ?? 200, place.lateStatus].includes(response.status()), `status ${response.status()}`);
  const lightness = await page.evaluate(backLightness);
  assert.ok(colorScheme === "dark" ? lightness < 0.3 : lightness > 0.7, `lightness of the background: ${lightness}`);
  await checkOutline(page);
  const [leftover] = (await page.locator("body").innerText()).match(LEFTOVERS) ?? [];
  assert.equal(leftover, undefined, "of a template, a merge or a calculation");
  const found = [];
  for (const width of [NARROWEST, ...WIDTHS]) {
    await resize(page, width, HEIGHT);
    found.push(...[await overflow(page)].filter(Boolean).map((text) => `${width}: too wide by ${text}`));
    // What axe sees of 320 px it sees at 390 px too.
    if (width === NARROWEST) continue;
    // A machine that is late makes a page old, which is shown: live.test.mjs looks at that.
    await page.locator("html:not(.is-stale)").waitFor({ state: "attached" });
    found.push(...(await violations(page, { onlyColours: colorScheme === "dark" })).map((text) => `${width}: ${text}`));
  }
  nothing([...found, ...complaints]);
}

/** One heading of the first level, none left out on the way down; the landmarks, each once. */
async function checkOutline(page) {
  const { levels, landmarks, title, language } = await page.evaluate(() => ({
    levels: [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((heading) => Number(heading.tagName[1])),
    landmarks: ["body > header", "main", "body > footer", "nav[aria-label='Main']"].map((selector) => document.querySelectorAll(selector).length),
    title: document.title,
    language: document.documentElement.lang,
  }));
  assert.equal(levels.filter((level) => level === 1).length, 1, "one h1");
  assert.equal(levels[0], 1, "h1 comes first");
  for (const [index, level] of levels.entries()) assert.ok(index === 0 || level <= levels[index - 1] + 1, `headings: ${levels}`);
  assert.deepEqual(landmarks, [1, 1, 1, 1], "header, main, footer, navigation");
  assert.match(title, /^Example pool – ./);
  assert.equal(language, "en");
}
