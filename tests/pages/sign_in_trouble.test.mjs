// Signing in when Clerk is not there, slow, changes its keys, or ends a session: each with a pool of its own, which
// needs no node for it. Most of them wait for half a minute, side by side.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { open, watch } from "./browser.mjs";
import { LIMIT, nothing } from "./given.mjs";
import { checkLooks, looking } from "./looks.mjs";
import { FORM, asked, cookieOf, isSignedIn, personForFile, signIn, somebody, tokenOf } from "./person.mjs";
import { OTHER_ADDRESS, people, until } from "./scene.mjs";

const DASHBOARD = "/saved-workers";
/** RETRY_FIRST and REFRESH_DISTANCE of src/clerk/keys.rs, and room. */
const KEYS_MS_MAX = 45_000;
/** From now on, for who was first asked `begun` ms ago: the first wait is RETRY_FIRST, and each is twice the one before. */
const nextTryMsMax = (begun) => begun + KEYS_MS_MAX;
/** FRESH_MS of web/clerk.js is less, so that a page is never without a token; a pause of web/app.js on top, and room. */
const TOKEN_SECONDS = 40;
const NOTICED_MS_MAX = (TOKEN_SECONDS + 30) * 1000;
/** TIMEOUT of src/clerk. Nobody waits for it who does not sign in or out: most of it is too long, however busy this
 *  machine is. Pages are looked at for most of it. */
const CLERK_MS_MAX = 5000;
const AT_ONCE_MS_MAX = 0.8 * CLERK_MS_MAX;
const WAITED_MS = 0.8 * CLERK_MS_MAX;
const PUBLIC = ["/", "/pool", "/blocks", "/node", "/server", "/help", "/about", "/privacy", "/terms", "/worker", "/sign-in", "/login", "/api/overview", "/api/server", "/metrics", "/healthz"];
/** One leads to Clerk, and one says that there is no work. */
const STATUSES = { "/login": [303], "/": [200, 503] };
/** More than may wait for Clerk at once. */
const CROWD = 24;

const withPage = personForFile();

/** A pool for one test, and its end. */
const withPool = (options, use) => async () => {
  const scene = await people(options);
  try {
    await use(scene);
  } finally {
    await scene.end();
  }
};
const canSignIn = (scene, limitMs = KEYS_MS_MAX) => until("a way to sign in", async () => (await asked(scene, "/sign-in")).status === 200, limitMs);

/** A token of a key that nobody has seen; the one before is withdrawn. */
async function rotated(scene) {
  await scene.clerk.ask("POST", "rotate", { keep: false });
  return (await tokenOf(scene, { seconds: 300 })).token;
}

describe("signing in, and Clerk", { concurrency: 5 }, () => {
  test("an open page keeps its session, until it is ended", { timeout: 2 * LIMIT.timeout }, withPool({}, (scene) => withPage({}, async (page, context) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    await canSignIn(scene);
    await scene.clerk.ask("POST", "settings", { token_seconds: TOKEN_SECONDS });
    const user = await somebody(scene, "patient");
    const first = await signIn(page, scene, user);
    await page.evaluate(() => { window.isSamePage = true; });
    await sleep(first.expires * 1000 - Date.now() + 2000);
    assert.ok(await isSignedIn(context, scene), "the first token is over, and a newer one is there");
    assert.notEqual((await cookieOf(context, scene)).value, first.value);
    assert.equal(await page.locator("[data-session-ended]").isVisible(), false);
    // What Clerk has ended is over when its last token is. This one is short, taken when the page is looked at again.
    await scene.clerk.ask("POST", "settings", { token_seconds: TOKEN_SECONDS / 4 });
    const before = (await cookieOf(context, scene)).value;
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await until("a newer token", async () => (await cookieOf(context, scene)).value !== before);
    const [{ id: session }] = (await scene.clerk.ask("GET", "sessions")).filter((one) => one.user_id === user);
    await scene.clerk.ask("POST", "end", { session });
    const notice = page.locator("[data-session-ended]");
    await notice.waitFor({ timeout: NOTICED_MS_MAX });
    assert.ok(await page.evaluate(() => window.isSamePage), "what was there can still be read");
    assert.match(await notice.textContent(), /session has ended/);
    assert.ok(!await isSignedIn(context, scene));
    await scene.clerk.ask("POST", "settings", { token_seconds: TOKEN_SECONDS });
    await notice.getByRole("link").click();
    assert.equal(new URL(page.url()).pathname, "/sign-in");
    await signIn(page, scene, user);
    assert.ok(await isSignedIn(context, scene));
    assert.equal(await notice.isVisible(), false);
    // Clerk's refusal of a token for a session that it has ended is a line of the console's.
    nothing(complaints.filter((text) => !text.includes(`/sessions/${session}/tokens`)));
  })));

  test("Clerk is down at the start: it is said, and goes by itself", { timeout: 2 * LIMIT.timeout }, withPool({ before: (clerk) => clerk.fault({ match: "/", kind: "refuse" }) }, async (scene) => {
    await scene.clerk.seen("/.well-known", 1);
    const begun = Date.now();
    for (const colorScheme of ["light", "dark"]) {
      await withPage(looking(colorScheme), async (page) => {
        await checkLooks(page, scene.url, { path: "/sign-in?redirect=/pool", status: 503 }, colorScheme);
        assert.match(await page.locator("main").innerText(), /Nobody can sign in now/);
        assert.match(await page.getByRole("alert").textContent(), /Clerk/);
      });
    }
    assert.equal((await asked(scene, "/sign-in")).headers.get("retry-after"), "60");
    assert.equal((await asked(scene, "/login")).headers.get("location"), "/worker");
    assert.deepEqual([(await asked(scene, "/worker")).status, (await asked(scene, DASHBOARD)).status], [200, 303]);
    await scene.clerk.ask("DELETE", "fault");
    await canSignIn(scene, nextTryMsMax(Date.now() - begun));
    console.log(`Clerk was down at the start: people can sign in ${((Date.now() - begun) / 1000).toFixed(1)} s after the first try`);
    await withPage({}, async (page, context) => {
      await signIn(page, scene, await somebody(scene, "early"));
      assert.ok(await isSignedIn(context, scene));
    });
  }));

  test("Clerk hangs, and nobody else does", LIMIT, withPool({}, async (scene) => {
    await canSignIn(scene);
    const [{ token: stays }, { token: goes }, strange] = await Promise.all([tokenOf(scene), tokenOf(scene), tokenOf(scene, { header: { kid: "ins_unknown" } })]);
    await scene.clerk.fault({ match: "/", kind: "hang", seconds: 30 });
    // A key to be fetched, sessions to be ended, and people who come back: all of it waits.
    const unknown = await asked(scene, DASHBOARD, strange.token);
    assert.equal(unknown.headers.get("location"), "/worker");
    const origin = { Origin: scene.url };
    const waiting = Array.from({ length: CROWD }, (_, one) => asked(scene, ...(one % 2
      ? ["/logout", goes, { method: "POST", headers: origin }]
      : ["/clerk/callback?__clerk_db_jwt=dvb_1"])));
    const begun = performance.now();
    const answered = Promise.all(waiting).then((answers) => ({ answers, all: performance.now() - begun }));
    await scene.clerk.seen("/v1/", 1);
    const took = new Map();
    while (performance.now() - begun < WAITED_MS) {
      for (const [path, ...rest] of [...PUBLIC.map((path) => [path]), [DASHBOARD, stays], ["/api/saved-workers", stays]]) {
        const since = performance.now();
        const response = await asked(scene, path, ...rest);
        await response.arrayBuffer();
        took.set(path, Math.max(took.get(path) ?? 0, performance.now() - since));
        assert.ok((STATUSES[path] ?? [200]).includes(response.status), `${path}: ${response.status}`);
      }
    }
    const [slowest, longest] = [...took].reduce((one, other) => (one[1] > other[1] ? one : other));
    console.log(`Clerk hangs: of all pages ${slowest} took longest, ${longest.toFixed(0)} ms`);
    assert.ok(longest < AT_ONCE_MS_MAX, `${slowest}: ${longest} ms`);
    // Who waits is signed out here all the same, and the others are where they can try again.
    const { answers, all } = await answered;
    assert.ok(all < 4 * CLERK_MS_MAX, `${all} ms`);
    for (const [one, response] of answers.entries()) {
      assert.equal(response.headers.get("location"), one % 2 ? "/worker" : "/sign-in?redirect=%2Fsaved-workers");
      if (one % 2) assert.match(response.headers.get("set-cookie"), /^__session=; .*1970/);
    }
  }));

  test("Clerk's script does not come, and there is another way", LIMIT, withPool({}, async (scene) => {
    await canSignIn(scene);
    const user = await somebody(scene, "other-way");
    for (const [fault, words] of [
      [{ match: "/npm/", kind: "refuse" }, /cannot be loaded/], [{ match: "/npm/", kind: "text" }, /cannot be loaded/],
      [{ match: "/v1/dev_browser", kind: "status", status: 500 }, /does not begin/], [{ match: "/npm/", kind: "hang", seconds: 60 }, /not answered within 15 seconds/],
    ]) {
      await scene.clerk.fault(fault);
      await withPage({}, async (page) => {
        await page.goto(`${scene.url}/sign-in?redirect=/pool`, { waitUntil: "commit" });
        const help = page.locator("[data-sign-in-help]");
        await help.waitFor();
        assert.match(await page.locator("[data-sign-in-state]").textContent(), words);
        await help.getByRole("link").click();
        await page.locator(`button[value="${user}"]`).click();
        await page.waitForURL(`${scene.url}/pool`);
        // The list works without the script, too.
        await page.goto(scene.url + DASHBOARD, { waitUntil: "commit" });
        await page.getByLabel("Worker name").fill(`${OTHER_ADDRESS}.${fault.kind}`);
        await page.getByRole("button", { name: "Save", exact: true }).click({ noWaitAfter: true });
        await page.locator("main .notice.good").waitFor();
      });
      await scene.clerk.ask("DELETE", "fault");
    }
    await withPage({}, async (page) => {
      await open(page, `${scene.url}/sign-in`);
      await page.locator(FORM).first().waitFor();
      assert.equal(await page.locator("[data-sign-in-help]").isVisible(), false);
    });
  }));

  test("Clerk's keys change, and the pool follows", LIMIT, withPool({}, (scene) => withPage({}, async (page, context) => {
    await canSignIn(scene);
    await signIn(page, scene, await somebody(scene, "keys"));
    const old = await tokenOf(scene, { seconds: 300 });
    const status = async (token) => (await asked(scene, "/api/saved-workers", token)).status;
    const fetched = async () => (await scene.clerk.seen("/.well-known/jwks.json")).length;
    assert.equal(await status(old.token), 200);
    // Since they were fetched last it may be long enough for a key that is not known: for the next it is not.
    const before = await rotated(scene);
    await until("the first new key", async () => await status(before) === 200, KEYS_MS_MAX);
    const count = await fetched();
    const token = await rotated(scene);
    const begun = Date.now();
    assert.equal(await status(token), 401, "the key is not known yet");
    assert.equal(await status(before), 200, "and what was known stays good");
    let tries = 0;
    await until("the new key", async () => { tries += 1; return await status(token) === 200; }, KEYS_MS_MAX);
    console.log(`keys have changed: the new one is taken after ${((Date.now() - begun) / 1000).toFixed(1)} s and ${tries} tries`);
    for (const gone of [old.token, before]) assert.equal(await status(gone), 401, "a key that is gone is good for nothing");
    assert.equal(await fetched() - count, 1, "once for all those tries");
    // The open page is given a token of the new key.
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await until("its cookie", () => isSignedIn(context, scene));
  })));
});
