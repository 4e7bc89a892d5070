// A page that stays open: figures come by themselves, nothing jumps, and what is old is called old.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { open, watch } from "./browser.mjs";
import { LIMIT, SCENES, browserForFile, nothing } from "./given.mjs";
import { PLACES } from "./places.mjs";
import { empty, until } from "./scene.mjs";

/** Long enough for two or three blocks, two refreshes of the sections and many of the figures. */
const WATCH_MS = 25_000;
/** What Core Web Vitals call good is 0.1 over a whole visit. */
const SHIFT_MAX = 0.02;
/** STALE_MS of app.js, and room; then a pause of up to a minute between two tries. */
const STALE_WAIT_MS = 45_000;
const FRESH_WAIT_MS = 75_000;

const WORKER = PLACES.busy.find(({ name }) => name === "worker");

const withPage = browserForFile();

describe("live", { concurrency: true }, () => {
  for (const width of [390, 1280]) {
    test(`blocks come in and nothing jumps, ${width} px`, LIMIT, () => withPage({ viewport: { width, height: 900 } }, async (page) => {
      const complaints = watch(page, SCENES.busy);
      await page.addInitScript(() => {
        window.shifts = [];
        new PerformanceObserver((list) => {
          for (const { value, startTime, sources } of list.getEntries()) {
            window.shifts.push({ value, startTime, of: sources.map(({ node }) => node?.outerHTML?.slice(0, 60) ?? node?.textContent) });
          }
        }).observe({ type: "layout-shift", buffered: true });
      });
      await open(page, SCENES.busy);
      await page.evaluate(() => { window.isSamePage = true; });
      const figures = () => page.evaluate(() => ({
        height: document.querySelector("[data-live='block_height']").textContent,
        rows: document.querySelectorAll("[data-section='blocks'] tbody tr").length,
        texts: [...document.querySelectorAll("[data-live]")].map((element) => element.textContent).join(),
        asOf: document.querySelector("time[data-as-of]").dateTime,
      }));
      const before = await figures();
      await sleep(WATCH_MS);
      // A lucky chain may be late: what must change is waited for, but not for ever.
      await until("another block", async () => (await figures()).height !== before.height, 60_000);
      // The figures come at once, the rows with the sections.
      await until("its row", async () => (await figures()).rows > before.rows || before.rows === 10, 60_000);
      const after = await figures();
      assert.notEqual(after.texts, before.texts);
      assert.notEqual(after.asOf, before.asOf);
      assert.ok(await page.evaluate(() => window.isSamePage), "it was not loaded again");
      const shifts = await page.evaluate(() => window.shifts);
      const sum = shifts.reduce((sum, { value }) => sum + value, 0);
      assert.ok(sum < SHIFT_MAX, `layout shifts of ${sum.toFixed(4)}: ${JSON.stringify(shifts, null, 1)}`);
      nothing(complaints);
    }));
  }

  test("a worker's page stays fresh for longer than a limit's window", LIMIT, () => withPage({}, async (page) => {
    const complaints = watch(page, SCENES.busy);
    await open(page, SCENES.busy + WORKER.path);
    const accepted = () => page.locator("[data-section='now'] dd").nth(2).textContent();
    for (let count = 0; count < 3; count += 1) {
      const before = await accepted();
      await sleep(WATCH_MS);
      await until("more shares", async () => await accepted() !== before, FRESH_WAIT_MS);
    }
    nothing(complaints);
  }));

  test("what is old is called old, until the pool is back", LIMIT, async () => {
    const scene = await empty();
    try {
      await withPage({ reducedMotion: "reduce" }, async (page) => {
        const exceptions = [];
        page.on("pageerror", (error) => exceptions.push(String(error)));
        await open(page, scene.url);
        const state = page.locator("[data-state]");
        assert.equal(await state.textContent(), "");
        scene.pool.signal("SIGSTOP");
        await state.filter({ hasText: "The pool does not answer" }).waitFor({ timeout: STALE_WAIT_MS });
        assert.ok(await page.locator("html.is-stale").count(), "the page shows it");
        assert.match(await state.textContent(), /These figures are \d+ (s|min) old/);
        scene.pool.signal("SIGCONT");
        await page.locator("html:not(.is-stale)").waitFor({ state: "attached", timeout: FRESH_WAIT_MS });
        assert.equal(await state.textContent(), "");
        nothing(exceptions);
      });
    } finally {
      await scene.end();
    }
  });

  test("times are those of the reader", LIMIT, () => withPage({ timezoneId: "Asia/Kathmandu", locale: "en-GB" }, async (page) => {
    for (const path of ["/", "/pool"]) {
      await open(page, SCENES.busy + path);
      const times = await page.evaluate(() => [...document.querySelectorAll("time[data-when]")].map((time) => ({
        shown: time.textContent,
        kept: time.title,
        meant: new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: "Asia/Kathmandu" }).format(Date.parse(time.dateTime)),
      })));
      assert.ok(times.length > 1, "the foot and the rows of the chart's table");
      for (const { shown, meant, kept } of times) {
        assert.equal(shown, meant);
        assert.match(kept, /UTC$/);
      }
    }
  }));

  test("without movement for those who want none", LIMIT, () => withPage({ reducedMotion: "reduce" }, async (page) => {
    await open(page, SCENES.busy);
    await page.evaluate(() => {
      window.moved = new Set();
      const look = () => {
        for (const animation of document.getAnimations()) window.moved.add(animation.effect.target.outerHTML.slice(0, 80));
        requestAnimationFrame(look);
      };
      look();
    });
    const text = () => page.evaluate(() => [...document.querySelectorAll("[data-live]")].map((element) => element.textContent).join());
    const before = await text();
    await until("other figures", async () => (await text()) !== before, 60_000);
    nothing(await page.evaluate(() => [...window.moved]));
  }));
});
