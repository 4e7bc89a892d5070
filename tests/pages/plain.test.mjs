// The same without a line of JavaScript; and whether every link leads somewhere.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { overflow, watch } from "./browser.mjs";
import { LIMIT, SESSION, SCENES, admit, browserForFile, nothing, someone } from "./given.mjs";
import { PLACES } from "./places.mjs";

const withPage = browserForFile();
const url = SCENES.busy;

describe("without JavaScript", () => {
  for (const [scene, address] of Object.entries(SCENES)) {
    for (const place of PLACES[scene]) {
      test(`${scene}: ${place.name}`, LIMIT, () => withPage({ javaScriptEnabled: false, viewport: { width: 390, height: 900 } }, async (page, context) => {
        await admit(context, place);
        const complaints = watch(page, address);
        const response = await page.goto(address + place.path);
        assert.ok([place.status ?? 200, place.lateStatus].includes(response.status()), `status ${response.status()}`);
        assert.equal(await page.locator("main h1").count(), 1);
        assert.ok((await page.locator("main").innerText()).length > 30, "content");
        // Buttons that do nothing are not shown.
        assert.equal(await page.locator("button[data-copy]:visible, [data-theme-switch]:visible").count(), 0);
        assert.match(await page.locator("time[data-as-of]").textContent(), /UTC$/);
        nothing([...complaints, ...[await overflow(page)].filter(Boolean)]);
      }));
    }
  }

  test("the overview is complete", LIMIT, () => withPage({ javaScriptEnabled: false }, async (page) => {
    await page.goto(url);
    const figures = await page.locator("[data-live]").allTextContents();
    assert.ok(figures.length >= 6 && figures.every((text) => text.trim().length > 0), `${figures}`);
    assert.match(await page.locator("[data-live='blocks_accepted']").first().textContent(), /^[1-9]/);
    assert.ok(await page.locator("[data-section='blocks'] tbody tr").count() >= 3);
    assert.match(await page.locator("[data-section='banned']").textContent(), /hopeless.*too many invalid/s);
    // The chart is a picture, with its table behind it.
    const box = await page.locator("figure.chart svg path.area").boundingBox();
    assert.ok(box.width > 300 && box.height > 30, JSON.stringify(box));
    await page.locator("details.behind > summary").click();
    assert.ok(await page.locator("details.behind tbody tr:visible").count() >= 20);
    await page.locator("details.connect > summary").click();
    assert.match(await page.locator("details.connect code.address").first().innerText(), /^stratum\+tcp:/);
  }));

  test("from page to page by the navigation", LIMIT, () => withPage({ javaScriptEnabled: false }, async (page) => {
    await page.goto(url);
    const names = await page.locator("nav[aria-label='Main'] a").allTextContents();
    for (const name of names) {
      await page.locator("nav[aria-label='Main'] a", { hasText: name }).click();
      assert.equal(await page.locator("nav[aria-label='Main'] [aria-current='page']").textContent(), name);
      assert.equal(await page.locator("h1").count(), 1);
    }
  }));

  test("a pool that waits for its node says so", LIMIT, () => withPage({ javaScriptEnabled: false }, async (page) => {
    await page.goto(SCENES.nodeless);
    assert.match(await page.locator("[data-section='notice'] h2").textContent(), /node/i);
    assert.equal(await page.locator("noscript meta[http-equiv='refresh'], meta[http-equiv='refresh']").count(), 1, "it looks again by itself");
  }));
});

test("every link leads somewhere", LIMIT, () => withPage({ javaScriptEnabled: false }, async (page, context) => {
  const links = new Map();
  for (const place of PLACES.busy) {
    await context.clearCookies();
    await context.setExtraHTTPHeaders(someone());
    await admit(context, place);
    await page.goto(url + place.path);
    const here = await page.evaluate(() => [...document.querySelectorAll("a[href]")].map((link) => link.href));
    for (const link of here) {
      const { host, protocol, pathname, search, hash } = new URL(link);
      if (protocol === "bitcoin:") continue;
      if (`${protocol}//${host}` !== url) { assert.equal(protocol, "https:", link); continue; }
      if (hash && pathname === place.path) assert.ok(await page.locator(hash).count(), `${place.path}: ${hash} is nowhere`);
      links.set(pathname + search, place.path);
    }
  }
  const broken = [];
  for (const [link, from] of links) {
    // A stream of events has no end: its head is enough.
    const abort = new AbortController();
    const { status } = await fetch(url + link, { signal: abort.signal, headers: { Cookie: SESSION, ...someone() } });
    abort.abort();
    if (status >= 400 && !PLACES.busy.some((place) => place.path === link && place.status === status)) broken.push(`${status}: ${link} on ${from}`);
  }
  nothing(broken);
}));
