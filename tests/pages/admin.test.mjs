// An operator at the panel, with scripts and without: what is meant well, and what goes wrong.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { watch } from "./browser.mjs";
import { LIMIT, SCENES, browserForFile, nothing } from "./given.mjs";
import { send, signIn } from "./operator.mjs";
import { ADMIN } from "./scene.mjs";

const withPage = browserForFile();
const url = SCENES.busy;
/** What a refused form answers with is a page all the same. */
const unexpected = (complaints) => complaints.filter((text) => !/status of 4\d\d/.test(text));

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with" : "without";

  describe(`the panel ${how} JavaScript`, () => {
    test("who guesses passwords has to wait, and nobody else", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      await page.goto(`${url}/admin`);
      const statuses = [];
      page.on("response", (response) => { if (response.request().method() === "POST") statuses.push(response.status()); });
      for (let guess = 0; guess < 7; guess += 1) {
        await page.getByLabel("Username").fill(ADMIN.username);
        await page.getByLabel("Password").fill(`guess ${guess}`);
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByRole("alert").waitFor();
      }
      assert.deepEqual(statuses.slice(0, 5), Array(5).fill(401));
      assert.equal(statuses.at(-1), 429);
      await withPage({ javaScriptEnabled }, (other) => signIn(other, url));
    }));

    test("settings are changed, refused and looked at", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, url);
      await signIn(page, url);
      const tagline = `Changed ${how} scripts`;
      await send(page, "/admin/apply", { status_tagline: tagline }, { password: "a wrong one" });
      assert.match(await page.getByRole("alert").first().textContent(), /password/i);
      await page.goto(`${url}/admin`);
      await send(page, "/admin/apply", { status_tagline: tagline, fiat_currency: "no currency" });
      assert.match(await page.locator("main").innerText(), /three or\s+four letters/i);
      await page.goto(`${url}/admin`);
      assert.notEqual(await page.locator("[name='status_tagline']").inputValue(), tagline, "a bad value changes nothing");
      await send(page, "/admin/apply", { status_tagline: tagline });
      assert.match(page.url(), /settings_applied/);
      assert.equal(await page.locator("[name='status_tagline']").inputValue(), tagline);
      await page.goto(`${url}/admin/config`);
      assert.match(await page.locator("main").innerText(), new RegExp(tagline));
      await page.goto(`${url}/admin/operator`);
      assert.match(await page.locator("main").innerText(), new RegExp(tagline), "it is in the audit");
      nothing(unexpected(complaints));
    }));

    test("what needs a word is not done without it", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, url);
      await signIn(page, url);
      await send(page, "/admin/reboot", { confirm: "reboot" });
      assert.match(await page.getByRole("alert").first().textContent(), /REBOOT/);
      await page.goto(`${url}/admin`);
      await send(page, "/admin/persist", { confirm: "save" });
      assert.match(await page.getByRole("alert").first().textContent(), /SAVE/);
      await page.goto(`${url}/admin`);
      await send(page, "/admin/reload-ui", { confirm: "RELOAD" });
      assert.match(page.url(), /ui_reloaded/);
      assert.ok((await fetch(`${url}/healthz`)).ok, "the pool is still there");
      nothing(unexpected(complaints));
    }));

    test("a session that has ended in another tab asks for signing in", LIMIT, () => withPage({ javaScriptEnabled }, async (page, context) => {
      await signIn(page, url);
      const other = await context.newPage();
      await other.goto(`${url}/admin/miners`);
      await other.getByRole("button", { name: /Sign out/ }).click();
      await other.waitForURL(/logged_out/);
      await send(page, "/admin/apply", { status_tagline: "from a tab that knows nothing of it" });
      assert.equal(await page.getByLabel("Username").count(), 1);
      // And a form of the session before says so, although somebody is signed in.
      await signIn(page, url);
      await other.goto(`${url}/admin/miners`);
      await other.getByRole("button", { name: /Sign out/ }).click();
      await signIn(other, url);
      await send(page, "/admin/apply", { status_tagline: "of the session before" });
      assert.match(await page.getByRole("alert").textContent(), /another session/);
      assert.doesNotMatch(await page.locator(".brand").textContent(), /session before/);
    }));

    test("logs are read and followed", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, url);
      await signIn(page, url);
      await page.getByRole("link", { name: "Logs" }).click();
      const log = page.locator("pre.log");
      assert.match(await log.textContent(), /\[INFO\]/);
      await page.getByLabel("With this text").fill("component=admin");
      await page.getByRole("button", { name: "Show" }).click();
      await page.waitForURL(/search=/);
      const lines = (await log.textContent()).split("\n").filter(Boolean);
      assert.ok(lines.length > 0 && lines.every((line) => line.includes("component=admin")), lines.join("\n"));
      if (javaScriptEnabled) {
        // Somebody else signs in: the line comes by itself.
        const count = lines.length;
        await withPage({}, (other) => signIn(other, url));
        await page.waitForFunction((before) => document.querySelector("pre.log").textContent.split("\n").filter(Boolean).length > before, count);
      }
      await page.goto(`${url}/admin/logs?source=errors`);
      assert.match(await page.locator("h2").first().textContent(), /\w/);
      nothing(unexpected(complaints));
    }));

    test("miners are found, and none is disconnected without being ticked", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, url);
      await signIn(page, url);
      await page.goto(`${url}/admin/miners?q=nobody-of-this-name`);
      assert.match(await page.locator("main").innerText(), /No miner is like that/);
      await page.goto(`${url}/admin/miners`);
      assert.ok(await page.locator("input[name='connection_seq']").count() >= 2);
      await page.locator("form[action='/admin/miners/disconnect'] [name='password']").fill(ADMIN.password);
      await page.getByRole("button", { name: /Disconnect/ }).click();
      assert.match(await page.getByRole("alert").first().textContent(), /\w/);
      await page.goto(`${url}/admin/logins`);
      assert.equal(await page.locator("h1").count(), 1);
      nothing(unexpected(complaints));
    }));
  });
}
