// Every form does what it says, with scripts and without.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { confirm, watch } from "./browser.mjs";
import { LIMIT, SCENES, browserForFile, nothing } from "./given.mjs";
import { GARAGE, hashOf } from "./places.mjs";
import { ADMIN, BANNED_ADDRESS, MINER_ADDRESS, OTHER_ADDRESS, until } from "./scene.mjs";

const withPage = browserForFile();
const url = SCENES.busy;

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with" : "without";
  /** Names of its own for each of the two ways: they run beside each other on one pool. */
  const mine = `${MINER_ADDRESS}.of-${how}`;

  describe(`forms ${how} JavaScript`, () => {
    test("a worker is looked up", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, SCENES.empty);
      await page.goto(`${SCENES.empty}/worker`);
      await page.getByLabel("Worker name").fill(GARAGE);
      const sent = page.waitForRequest(/\/worker\/sha256/);
      await page.locator("form", { has: page.getByLabel("Worker name") }).getByRole("button").click();
      // What was typed does not leave the browser, if the browser can help it; it is in no address either way.
      const request = await sent;
      assert.ok(!request.url().includes(MINER_ADDRESS), request.url());
      if (javaScriptEnabled) assert.ok(request.url().endsWith(`?hash=${hashOf(GARAGE)}`), request.url());
      else assert.equal(request.method(), "POST");
      assert.match(await page.locator("main [role='status']").first().textContent(), /\w/);
      await page.goto(`${SCENES.empty}/worker`);
      await page.getByLabel("Wallet address").fill(OTHER_ADDRESS);
      await page.locator("form", { has: page.getByLabel("Wallet address") }).getByRole("button").click();
      await page.getByRole("heading", { name: "Connected now" }).waitFor();
      assert.match(await page.locator("main [role='status']").textContent(), /No worker/);
      nothing(complaints.filter((text) => !text.includes("404")));
    }));

    test("a wallet's workers are found, and one of them shown in full", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, url);
      await page.goto(`${url}/worker/search`);
      await page.getByLabel("Wallet address").fill(`${OTHER_ADDRESS}.attic`);
      await page.locator("form", { has: page.getByLabel("Wallet address") }).getByRole("button").click();
      await page.getByRole("link", { name: /attic/ }).click();
      assert.ok(!(await page.locator("main").innerText()).includes(OTHER_ADDRESS), "it is shortened");
      await page.getByRole("link", { name: "Show them in full" }).click();
      assert.match(await page.locator("h1").textContent(), new RegExp(`${OTHER_ADDRESS}.attic`));
      // The proof: the coinbase pays to that very script, which is the address decoded.
      // On a busy machine a shard may not answer within the half second that a page waits for it.
      const proof = page.getByText("The bytes", { exact: true });
      await until("the proof", async () => await proof.count() === 1 || !await page.reload());
      await proof.click();
      const coinbase = await page.locator("code.hex").first().textContent();
      assert.match(coinbase, /^0[12]000000[0-9a-f]{200,}$/);
      assert.ok(coinbase.includes("00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"), "the miner's output");
      await page.getByRole("link", { name: "Shorten it again" }).click();
      assert.ok(!(await page.locator("main").innerText()).includes(OTHER_ADDRESS));
      nothing(complaints);
    }));

    test("a worker is saved, and removed again", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, url);
      const row = page.getByRole("row", { name: `of-${how}` });
      await page.goto(`${url}/saved-workers`);
      assert.equal(await row.count(), 0);
      await page.getByLabel("Worker name").fill(mine);
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.locator("main .notice.good").waitFor();
      await row.waitFor();
      await confirm(row, "Remove");
      await page.locator("main .notice.good").waitFor();
      await page.waitForLoadState();
      assert.equal(await row.count(), 0);
      // Sorted as wished.
      await page.getByLabel("Sort by").selectOption({ index: 1 });
      await page.getByRole("button", { name: "Sort" }).click();
      assert.match(page.url(), /sort=/);
      nothing(complaints);
    }));

    test("an operator signs in, bans, lifts the ban and signs out", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, url);
      await page.goto(`${url}/admin`);
      await page.getByLabel("Username").fill(ADMIN.username);
      await page.getByLabel("Password").fill("a wrong one");
      await page.getByRole("button", { name: "Sign in" }).click();
      assert.match(await page.getByRole("alert").textContent(), /\w/);
      await page.getByLabel("Username").fill(ADMIN.username);
      await page.getByLabel("Password").fill(ADMIN.password);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.waitForURL(/logged_in/);
      await page.getByRole("link", { name: "Bans" }).click();
      const ban = page.locator("form[action='/admin/bans/add']");
      const name = `${BANNED_ADDRESS}.of-${how}`;
      await ban.getByLabel("Worker, or wallet").fill(name);
      await ban.getByLabel("Reason").fill("a test");
      await ban.getByLabel("Your password").fill(ADMIN.password);
      await ban.getByRole("button").click();
      await page.waitForURL(/worker_banned/);
      const row = page.getByRole("row", { name: `of-${how}` });
      // It is carried out by another thread, and the page may be faster.
      const reloaded = (count) => until(`${count} of ${name}`, async () => (await page.goto(`${url}/admin/bans`)) && await row.count() === count);
      await reloaded(1);
      await row.getByRole("checkbox").check();
      const lift = page.locator("form[action='/admin/bans/remove']");
      await lift.getByLabel("Your password").fill(ADMIN.password);
      await lift.getByRole("button").click();
      await page.waitForURL(/bans_removed/);
      await reloaded(0);
      await page.getByRole("button", { name: /Sign out/ }).click();
      await page.waitForURL(/logged_out/);
      await page.goto(`${url}/admin/bans`);
      assert.equal(await page.getByLabel("Username").count(), 1, "nobody is signed in any more");
      nothing(complaints);
    }));
  });
}
