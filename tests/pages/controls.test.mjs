// What can be done on a page, with a mouse and with a keyboard.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { backLightness, open, watch } from "./browser.mjs";
import { LIMIT, SCENES, admit, browserForFile, nothing } from "./given.mjs";
import { PLACES } from "./places.mjs";
import { until } from "./scene.mjs";

/** Scripts that come late would show a page in the wrong colours meanwhile, if any did. */
const LATE_MS = 700;
/** A button says "Copied" for as long. */
const COPIED_MS = 3400;

const withPage = browserForFile();
const url = SCENES.busy;

const isDark = async (page) => (await page.evaluate(backLightness)) < 0.3;

/** Notes the colour behind each frame from the first one on. */
async function watchColours(page) {
  await page.addInitScript(`
    window.lightness = [];
    const look = () => {
      if (document.body) window.lightness.push(${backLightness});
      requestAnimationFrame(look);
    };
    look();
  `);
  await page.route("**/app.js*", async (route) => {
    await new Promise((resolve) => { setTimeout(resolve, LATE_MS); });
    await route.continue();
  });
}

describe("controls", { concurrency: 2 }, () => {
  test("a theme is chosen, kept, and given back to the system", LIMIT, () => withPage({ colorScheme: "light" }, async (page) => {
    const complaints = watch(page, url);
    await open(page, url);
    const choice = (name) => page.locator(`[data-theme-choice='${name}']`);
    const pressed = () => page.locator("[data-theme-choice][aria-pressed='true']").getAttribute("data-theme-choice");
    assert.deepEqual([await pressed(), await isDark(page)], ["system", false]);
    await choice("dark").click();
    assert.deepEqual([await pressed(), await isDark(page)], ["dark", true]);
    await open(page, `${url}/pool`);
    assert.deepEqual([await pressed(), await isDark(page)], ["dark", true]);
    await page.emulateMedia({ colorScheme: "dark" });
    await choice("light").click();
    assert.deepEqual([await pressed(), await isDark(page)], ["light", false]);
    await page.reload();
    assert.deepEqual([await pressed(), await isDark(page)], ["light", false]);
    await choice("system").click();
    assert.deepEqual([await pressed(), await isDark(page)], ["system", true]);
    await page.emulateMedia({ colorScheme: "light" });
    assert.equal(await isDark(page), false);
    nothing(complaints);
  }));

  for (const [scheme, stored] of [["dark", null], ["light", null], ["light", "dark"], ["dark", "light"]]) {
    test(`the first frame has the right colours: ${stored ?? "nothing"} chosen, the system is ${scheme}`, LIMIT, () => withPage({ colorScheme: scheme }, async (page) => {
      if (stored) {
        await page.goto(`${url}/about`);
        await page.evaluate((theme) => localStorage.setItem("theme", theme), stored);
      }
      await watchColours(page);
      await page.goto(url);
      await page.waitForFunction(() => window.lightness.length > 5);
      const seen = await page.evaluate(() => window.lightness);
      const isRight = (lightness) => ((stored ?? scheme) === "dark" ? lightness < 0.3 : lightness > 0.7);
      assert.ok(seen.every(isRight), `lightness of frames: ${seen}`);
    }));
  }

  // One after the other: a browser has one clipboard for all its pages.
  describe("copy buttons", { concurrency: 1 }, () => {
    for (const hasClipboard of [true, false]) {
      test(`${hasClipboard ? "with" : "without"} the clipboard of secure pages`, LIMIT, () => withPage({ permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
        const complaints = watch(page, url);
        if (!hasClipboard) await page.addInitScript(() => { navigator.clipboard.writeText = () => Promise.reject(new Error("not here")); });
        await page.clock.install();
        await open(page, url);
        await page.locator("details.connect > summary").click();
        const buttons = page.locator("details.connect button[data-copy]:visible");
        const count = await buttons.count();
        assert.ok(count >= 2, "URL and password");
        const labels = () => buttons.allTextContents();
        const expected = (copied) => Array.from({ length: count }, (_, index) => (index === copied ? "Copied" : "Copy"));
        const spoken = () => page.locator("[data-spoken][role='status']").textContent();
        // What is said goes by itself, and how long a look takes is not to matter.
        await page.clock.pauseAt(await page.evaluate(() => Date.now() + 60_000));
        for (let index = 0; index < count; index += 1) {
          const button = buttons.nth(index);
          const text = await button.getAttribute("data-copy");
          assert.equal(text, await button.locator("xpath=preceding-sibling::code").textContent(), "it is what stands beside it");
          await button.click();
          // The old way to copy says nothing of when it is done.
          await until(`${text} on the clipboard`, async () => await page.evaluate(() => navigator.clipboard.readText()) === text, 10_000);
          await until(`"Copied" on button ${index}`, async () => (await labels())[index] === "Copied", 10_000);
          await page.clock.runFor(COPIED_MS - 400);
          assert.deepEqual(await labels(), expected(index), "of the last press alone, and as long as after the first");
          assert.match(await spoken(), /Copied/);
        }
        await page.clock.runFor(400);
        assert.deepEqual([await labels(), await spoken()], [expected(), ""]);
        const [address] = await page.locator("details.connect code.address").allTextContents();
        assert.match(address, /^stratum\+tcp:\/\/127\.0\.0\.1:\d+$/);
        nothing(complaints);
      }));
    }
  });

  test("the connect panel folds, and is open while nobody mines", LIMIT, () => withPage({}, async (page) => {
    const panel = page.locator("details.connect");
    const isOpen = () => panel.evaluate((element) => element.open);
    await open(page, url);
    assert.equal(await isOpen(), false);
    await panel.locator("> summary").click();
    assert.equal(await isOpen(), true);
    await panel.locator("> summary").focus();
    await page.keyboard.press("Enter");
    assert.equal(await isOpen(), false);
    await open(page, SCENES.empty);
    assert.equal(await isOpen(), true);
  }));

  for (const path of ["/", "/pool"]) {
    test(`the chart of ${path}`, LIMIT, () => withPage({ viewport: { width: 1024, height: 900 } }, async (page) => {
      const complaints = watch(page, url);
      await open(page, url + path);
      const figure = page.locator("figure.chart").first();
      const colours = await figure.locator("canvas").evaluate((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
      });
      assert.ok(colours > 4, `${colours} colours`);
      // Pointed at, it tells.
      await figure.locator(".u-over").hover();
      await page.waitForFunction(() => /\d.*H\/s/.test(document.querySelector(".u-legend")?.textContent));
      await figure.locator("details.behind > summary").click();
      const rows = figure.locator("details.behind tbody tr");
      assert.ok(await rows.count() >= 20, "about a row for each hour");
      assert.match(await rows.first().textContent(), /H\/s/);
      await page.setViewportSize({ width: 500, height: 900 });
      await page.waitForFunction(() => document.querySelector(".uplot").getBoundingClientRect().width < 500);
      nothing(complaints);
    }));
  }

  for (const place of PLACES.busy) {
    test(`${place.name} with the keyboard alone`, LIMIT, () => withPage({ viewport: { width: 1280, height: 900 } }, async (page, context) => {
      await admit(context, place);
      await open(page, url + place.path);
      // What is replaced meanwhile would be counted twice, be it that it has been asked for already.
      await page.locator("[data-section]").evaluateAll((all) => { for (const section of all) section.removeAttribute("data-section"); });
      await page.locator("details").evaluateAll((all) => { for (const details of all) details.open = true; });
      const stops = await page.evaluate(() => {
        const usable = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
          .filter((element) => !element.disabled && element.type !== "hidden" && element.checkVisibility());
        const radios = new Set();
        // A group of radio buttons is one stop.
        const single = usable.filter((element) => element.type !== "radio" || (!radios.has(element.name) && radios.add(element.name)));
        single.forEach((element, index) => { element.dataset.stop = index; });
        return single.length;
      });
      // Looked at in the page itself: a hundred questions from outside would take long.
      await page.evaluate(() => {
        window.seen = [];
        addEventListener("focusin", ({ target: element }) => {
          const { outlineStyle, outlineWidth } = getComputedStyle(element);
          const { top, bottom, width } = element.getBoundingClientRect();
          window.seen.push({
            stop: element.dataset.stop,
            isSkip: element.matches(".skip"),
            html: element.outerHTML.slice(0, 100),
            isMarked: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
            isInView: width > 0 && bottom > 0 && top < innerHeight,
          });
        });
      });
      // One more, which leads out of the page, or to its beginning.
      for (let press = 0; press <= stops; press += 1) await page.keyboard.press("Tab");
      const seen = await page.evaluate(() => window.seen);
      assert.ok(seen[0].isSkip, `first: ${seen[0].html}`);
      nothing(seen.filter(({ isMarked }) => !isMarked).map(({ html }) => `no visible focus: ${html}`));
      nothing(seen.filter(({ isInView }) => !isInView).map(({ html }) => `out of view: ${html}`));
      assert.equal(new Set(seen.map(({ stop }) => stop)).size, stops, "every control is reached, and there is a way on from each");
      // And the skip link does what it says.
      await page.evaluate(() => document.activeElement.blur());
      await page.locator(".skip").focus();
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    }));
  }
});
