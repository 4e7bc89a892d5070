// The page of a pool that has had no work for five minutes since its start. Its pools have been waiting since the
// scenes were made, while all other tests ran.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";

import { open, overflow, watch } from "./browser.mjs";
import { LIMIT, SCENES, STOPPED_NODE, browserForFile, nothing } from "./given.mjs";
import { checkLooks, looking } from "./looks.mjs";
import { SCHEMES } from "./places.mjs";
import { until } from "./scene.mjs";

/** START_GRACE of src/status/health.rs, and room. */
const DOWN_MS_MAX = 330_000;
/** A pause between two questions of the feed, between two of the page, and room. */
const BACK_MS_MAX = 60_000;
/** What a visitor is told, and nothing that an attacker would like to know: no address, no words of the node's. */
const DOWN = {
  nodeless: { title: "No connection to the node", says: [/There is no work yet/], saysNot: [/block download/i] },
  syncing: { title: /\w/, says: [/There is no work yet/, /Initial block download: yes; 0 of 1 blocks/], saysNot: [] },
};
const PRIVATE = [/127\.0\.0\.1/, /getblock/, /code -?\d/, /cookie/i];

const withPage = browserForFile();
before(async () => {
  for (const scene of Object.keys(DOWN)) {
    await until(`the end of patience with the node of "${scene}"`, async () => !["ready", "no job yet"].includes(await readiness(scene)), DOWN_MS_MAX);
  }
}, { timeout: 2 * DOWN_MS_MAX });

const readiness = async (scene) => (await (await fetch(`${SCENES[scene]}/readyz`)).text()).trim();
const notice = (page) => page.locator("[data-section='notice'] section");

for (const [scene, { title, says, saysNot }] of Object.entries(DOWN)) {
  describe(`down: ${scene}`, { concurrency: 2 }, () => {
    for (const colorScheme of SCHEMES) {
      test(`it looks right, ${colorScheme}`, LIMIT, () => withPage(looking(colorScheme), (page) => checkLooks(page, SCENES[scene], { path: "/", status: 503 }, colorScheme)));
    }

    for (const javaScriptEnabled of [true, false]) {
      test(`it says what is known, ${javaScriptEnabled ? "with" : "without"} JavaScript`, LIMIT, () => withPage({ javaScriptEnabled, viewport: { width: 390, height: 900 } }, async (page) => {
        const complaints = watch(page, SCENES[scene]);
        const response = await open(page, SCENES[scene]);
        assert.deepEqual([response.status(), response.headers()["retry-after"]], [503, "10"]);
        assert.match(await notice(page).locator("h2").textContent(), title instanceof RegExp ? title : new RegExp(title));
        const text = await notice(page).innerText();
        for (const words of [...says, new RegExp(`Reason: ${await readiness(scene)}`), /Miners: .*reconnect/, /Operator: .*RPC and ZMQ/]) assert.match(text, words);
        for (const words of [...saysNot, ...PRIVATE]) assert.doesNotMatch(text, words);
        assert.match(await page.locator("[data-section='warnings']").innerText(), /Node updates are late/);
        await page.goto(`${SCENES[scene]}/node`);
        assert.match(await page.locator("[data-section='warnings']").innerText(), /Node updates are late/, "other pages are there, and say so too");
        nothing([...complaints, ...[await overflow(page)].filter(Boolean)]);
      }));
    }
  });
}

test("when the node is back, so is the overview", LIMIT, () => withPage({}, (page) => withPage({ javaScriptEnabled: false }, async (plain) => {
  const url = SCENES.nodeless;
  const complaints = [page, plain].flatMap((one) => watch(one, url));
  for (const one of [page, plain]) {
    await open(one, url);
    assert.equal(await notice(one).count(), 1);
  }
  await page.evaluate(() => { window.isSamePage = true; });
  process.kill(STOPPED_NODE, "SIGCONT");
  for (const one of [page, plain]) {
    await notice(one).waitFor({ state: "detached", timeout: BACK_MS_MAX });
    assert.doesNotMatch(await one.locator("[data-section='warnings']").innerText(), /Node updates are late/);
  }
  assert.ok(await page.evaluate(() => window.isSamePage), "scripts do not load it again");
  assert.equal(await page.locator("html.is-stale").count(), 0);
  assert.equal((await plain.reload()).status(), 200);
  assert.match(await plain.locator("details.connect code.address").first().textContent(), /^stratum\+tcp:/);
  nothing(complaints);
})));
