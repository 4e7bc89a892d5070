// People who sign in with Clerk, from the first page to the last: a pool of their own with a node and a miner, and a
// stand-in for Clerk.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";

import { confirm, open, watch } from "./browser.mjs";
import { LIMIT, nothing, someone } from "./given.mjs";
import { checkLooks, looking } from "./looks.mjs";
import { FORM, asked, buttonOf, cookieOf, isSignedIn, ownCookie, personForFile, signIn, somebody, tokenOf } from "./person.mjs";
import { GARAGE, SCHEMES, hashOf } from "./places.mjs";
import { MINER_ADDRESS, OTHER_ADDRESS, people, until } from "./scene.mjs";

const DASHBOARD = "/saved-workers";
/** Slow enough for a browser beside it. */
const HASHES_PER_SECOND = 20_000;
/** Whole minutes are kept of a worker, and of the first one nothing yet. */
const HISTORY_MS_MAX = 180_000;
/** What a visitor may write behind `redirect=`, to get somebody elsewhere. */
const ELSEWHERE = [
  "//evil.example", "/\\evil.example", "\\\\evil.example", "/%5Cevil.example", "/%2Fevil.example", "https://evil.example", "https:evil.example",
  "javascript:alert(1)", "/x\r\nLocation: https://evil.example", "/x%0d%0aSet-Cookie: a=b", "\t//evil.example", "/\t/evil.example",
];

const withPage = personForFile();
let scene;
/** A page of somebody else's: its form goes to the pool. */
let stranger;
before(async () => {
  scene = await people({ hasNode: true });
  scene.startMiner(GARAGE, HASHES_PER_SECOND);
  stranger = createServer((request, response) => {
    const [action, name, value] = new URL(request.url, "http://stranger").searchParams.values();
    response.setHeader("Content-Type", "text/html");
    response.end(`<!doctype html><title>A game</title><form method="post" action="${action}"><input name="${name}" value="${value}"><button>Play</button></form>`);
  }).listen(0, "127.0.0.1");
  await once(stranger, "listening");
});
after(async () => {
  stranger?.close();
  await scene?.end();
});

const row = (page, name) => page.getByRole("row", { name });
/** How much of a chart has the colour of its hashrates. */
const pixelsOfHashrate = (canvas) => {
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--hash").trim();
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) if (data[at] === red && data[at + 1] === green && data[at + 2] === blue && data[at + 3] === 255) count += 1;
  return count;
};
const listOf = async (context) => (await context.request.get(`${scene.url}/api/saved-workers`)).json();
const pathOf = (page) => new URL(page.url()).pathname;

async function save(page, worker) {
  await page.goto(scene.url + DASHBOARD);
  await page.getByLabel("Worker name").fill(worker);
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.locator("main .notice.good").waitFor();
}

describe("people who sign in", { concurrency: 3 }, () => {
  for (const colorScheme of SCHEMES) {
    test(`the pages that have Clerk's script look right, ${colorScheme}`, LIMIT, () => withPage(looking(colorScheme), async (page, context) => {
      const asks = [scene.clerk.url];
      await checkLooks(page, scene.url, { path: "/worker" }, colorScheme);
      await checkLooks(page, scene.url, { path: "/sign-in", asks, shows: FORM }, colorScheme);
      await signIn(page, scene, await somebody(scene, `looks-${colorScheme}`));
      await checkLooks(page, scene.url, { path: DASHBOARD, asks }, colorScheme);
      for (const name of [GARAGE, `${OTHER_ADDRESS}.cellar`]) await context.request.post(`${scene.url}/worker/save`, { form: { worker: name }, headers: { Origin: scene.url } });
      await checkLooks(page, scene.url, { path: DASHBOARD, asks }, colorScheme);
    }));
  }

  test("one press signs in, and Clerk is asked where it is needed", LIMIT, () => withPage({}, async (page, context) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    const user = await somebody(scene, "press");
    const hosts = new Map();
    page.on("request", (request) => hosts.set(new URL(request.url()).host, pathOf(page)));
    await page.goto(`${scene.url}/worker`);
    assert.deepEqual([...hosts.keys()], [new URL(scene.url).host], "looking up needs nobody else");
    await page.getByRole("link", { name: "Sign in" }).click();
    await buttonOf(page, user).click();
    await until("the list", () => pathOf(page) === DASHBOARD);
    await page.waitForLoadState();
    const cookie = await ownCookie(context, scene);
    assert.deepEqual([cookie.sameSite, cookie.path, cookie.secure], ["Lax", "/", false]);
    const left = cookie.expires - Date.now() / 1000;
    assert.ok(left > 30 && left <= 61, `it lasts ${left} s`);
    assert.ok(!(await page.evaluate(() => document.cookie)).includes("__session"), "no script reads it");
    assert.match(await page.locator("main").innerText(), /Save your first worker/);
    // Who is signed in is not asked to do it again.
    for (const path of ["/worker", "/sign-in"]) {
      await page.goto(scene.url + path);
      assert.equal(pathOf(page), DASHBOARD);
    }
    await page.goto("about:blank");
    hosts.clear();
    for (const path of ["/", "/help", `/worker/sha256?hash=${hashOf(GARAGE)}`]) await open(page, scene.url + path);
    assert.deepEqual([...hosts.keys()], [new URL(scene.url).host], "and only two pages have Clerk's script");
    nothing(complaints);
  }));

  test("a list is one's own, and so is what is done with it", LIMIT, () => withPage({}, (page, context) => withPage({}, async (other, elsewhere) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    const worker = `${MINER_ADDRESS}.bench`;
    const hash = hashOf(worker);
    const miner = scene.startMiner(worker, HASHES_PER_SECOND);
    await signIn(page, scene, await somebody(scene, "owner"));
    await signIn(other, scene, await somebody(scene, "neighbour"));
    await save(page, worker);
    const button = row(page, "bench").locator("summary", { hasText: "Reconnect" });
    await until("its row", async () => (await page.goto(scene.url + DASHBOARD)) && await button.count() === 1);
    assert.match(await page.locator(".cards").innerText(), /1\s+of 1 saved/);
    await row(page, "bench").getByRole("link").click();
    await page.getByText("Its last 24 hours").waitFor();
    assert.match(await page.locator("h1").textContent(), /bench/);
    // To the other it is a worker like any: nothing of the list is there, and nothing of it can be touched.
    await other.goto(scene.url + DASHBOARD);
    assert.match(await other.locator("main").innerText(), /Save your first worker/);
    assert.equal((await listOf(elsewhere)).saved_count, 0);
    const touch = (at, path) => at.request.post(scene.url + path, { form: { hash, enabled: "false" }, headers: { Origin: scene.url }, maxRedirects: 0 });
    const history = (at) => at.request.get(`${scene.url}/api/saved-workers/history?hash=${hash}`);
    assert.deepEqual([(await history(context)).status(), (await history(elsewhere)).status()], [200, 404]);
    assert.equal((await touch(elsewhere, "/worker/reconnect")).status(), 403);
    assert.equal((await touch(elsewhere, "/worker/remove")).status(), 303);
    assert.equal((await touch(elsewhere, "/api/saved-workers/notify-enabled")).status(), 404);
    assert.equal((await touch(context, "/api/saved-workers/notify-enabled")).status(), 200);
    const [{ connection_seq: first, notify_enabled: isTold }] = (await listOf(context)).online_workers;
    assert.equal(isTold, false);
    // The miner's connection ends, and the same program comes back by itself.
    await page.goto(scene.url + DASHBOARD);
    await confirm(row(page, "bench"), "Reconnect");
    assert.match(await page.locator("main .notice.good").textContent(), /comes back by itself/);
    const second = await until("the miner once more", async () => {
      const [one] = (await listOf(context)).online_workers;
      return one?.connection_seq !== first && one?.connection_seq;
    });
    assert.ok(second > first && miner.isRunning, `connection ${first}, then ${second}`);
    await until("its row", async () => (await page.goto(scene.url + DASHBOARD)) && await button.count() === 1);
    await confirm(row(page, "bench"), "Reconnect");
    assert.match(await page.locator("main .notice.bad").textContent(), /less than five minutes ago/);
    await confirm(row(page, "bench"), "Remove");
    await page.locator("main .notice.good").waitFor();
    assert.equal((await listOf(context)).saved_count, 0);
    assert.equal((await touch(context, "/worker/reconnect")).status(), 403, "it is nobody's any more");
    await miner.end();
    nothing(complaints);
  })));

  test("what a worker did is drawn, for who has saved it", { timeout: HISTORY_MS_MAX + LIMIT.timeout }, () => withPage({}, async (page, context) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    await signIn(page, scene, await somebody(scene, "chart"));
    await save(page, GARAGE);
    await until("a minute of it", async () => {
      const { h1, hq } = await (await context.request.get(`${scene.url}/api/saved-workers/history?hash=${hashOf(GARAGE)}`)).json();
      return h1 > 0 && hq.length > 0;
    }, HISTORY_MS_MAX);
    for (const path of [DASHBOARD, `/worker/sha256?hash=${hashOf(GARAGE)}`]) {
      await open(page, scene.url + path);
      const canvas = page.locator("[data-section='chart'] .uplot canvas").first();
      assert.ok(await canvas.evaluate(pixelsOfHashrate) > 4, `${path}: one minute is to be seen`);
    }
    nothing(complaints);
  }));

  test("Clerk's own page brings people back to where they wanted to go", LIMIT, () => withPage({}, async (page, context) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    const user = await somebody(scene, "hosted");
    for (const [wanted, path] of [["", DASHBOARD], [`?redirect=${encodeURIComponent("/pool?x=a%26b#c")}`, "/pool"], ["?redirect=//evil.example", DASHBOARD]]) {
      await context.clearCookies();
      await page.goto(`${scene.url}/login${wanted}`);
      assert.equal(new URL(page.url()).host, new URL(scene.clerk.url).host);
      const back = page.waitForRequest(/__clerk_db_jwt=/);
      await buttonOf(page, user).click();
      const way = await back;
      assert.equal(new URL(way.url()).pathname, "/clerk/callback");
      await page.waitForLoadState();
      assert.equal(pathOf(page), path);
      assert.ok(!page.url().includes("__clerk_db_jwt"), page.url());
      const cookie = await cookieOf(context, scene);
      assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Lax"]);
    }
    // Clerk's script knows nobody here; the pool does, and that is what counts.
    await page.goto(scene.url + DASHBOARD);
    await page.evaluate(() => window.clerkReady);
    const seen = page.waitForResponse((response) => response.url() === scene.url + DASHBOARD);
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await (await seen).finished();
    assert.equal(await page.locator("[data-session-ended]").isVisible(), false);
    assert.ok(await isSignedIn(context, scene));
    nothing(complaints.filter((text) => !text.includes("/favicon.ico")));
  }));

  test("without JavaScript the way leads over Clerk's own page", LIMIT, () => withPage({ javaScriptEnabled: false }, async (page, context) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    const user = await somebody(scene, "plain");
    await page.goto(`${scene.url}/worker`);
    await page.getByRole("link", { name: "Sign in" }).click();
    assert.match(await page.locator("noscript").innerText(), /needs JavaScript/);
    await page.locator("noscript").getByRole("link").click();
    await buttonOf(page, user).click();
    await page.waitForURL(scene.url + DASHBOARD);
    await save(page, `${OTHER_ADDRESS}.porch`);
    await row(page, "porch").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL(`${scene.url}/worker`);
    assert.equal(await cookieOf(context, scene), undefined);
    nothing(complaints);
  }));

  test("signing out ends it here and at Clerk, and leaves nothing behind", LIMIT, () => withPage({}, async (page, context) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    const user = await somebody(scene, "leaver");
    const { value: token } = await signIn(page, scene, user);
    await save(page, `${OTHER_ADDRESS}.veranda`);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL(`${scene.url}/worker`);
    assert.equal(await cookieOf(context, scene), undefined);
    const sessions = (await scene.clerk.ask("GET", "sessions")).filter((one) => one.user_id === user);
    assert.deepEqual(sessions.map(({ status }) => status), ["revoked"]);
    assert.ok(!await isSignedIn(context, scene));
    await page.goBack();
    await page.waitForLoadState();
    assert.doesNotMatch(await page.locator("body").innerText(), /veranda/, "the way back shows nothing");
    assert.equal(pathOf(page), "/worker");
    const held = await asked(scene, DASHBOARD, token);
    assert.equal(held.headers.get("cache-control"), "no-store");
    // Clerk's script does not sign them straight back in.
    await page.goto(`${scene.url}/sign-in`);
    await buttonOf(page, user).waitFor();
    assert.equal(pathOf(page), "/sign-in");
    nothing(complaints);
  }));

  test("signing out after a while away ends the session at Clerk too", LIMIT, () => withPage({}, async (page, context) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    const user = await somebody(scene, "sleeper");
    await signIn(page, scene, user);
    // Only the pool sets a cookie here.
    await scene.clerk.ask("POST", "settings", { sets_cookies: false });
    await open(page, scene.url + DASHBOARD);
    await scene.clerk.ask("POST", "settings", { sets_cookies: true });
    // The cookie is over, and the next is on its way when they press the button.
    await context.clearCookies({ name: "__session" });
    let go;
    const pressed = new Promise((resolve) => { go = resolve; });
    await page.route("**/api/auth/session-refresh", async (route) => {
      await pressed;
      await route.continue();
    });
    const fresh = page.waitForRequest(/session-refresh/);
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await fresh;
    await page.getByRole("button", { name: "Sign out" }).click();
    go();
    await page.waitForURL(`${scene.url}/worker`);
    assert.equal(await cookieOf(context, scene), undefined);
    const sessions = (await scene.clerk.ask("GET", "sessions")).filter((one) => one.user_id === user);
    assert.deepEqual(sessions.map(({ status }) => status), ["revoked"]);
    nothing(complaints);
  }));

  test("signing out while Clerk's script begins waits for it", LIMIT, () => withPage({}, async (page, context) => {
    const complaints = watch(page, scene.url, scene.clerk.url);
    const user = await somebody(scene, "hasty");
    await signIn(page, scene, user);
    // What the script asks for comes when the session has ended, and before the page has gone.
    await page.route("**/v1/client/sessions/*/tokens*", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await route.continue();
    });
    await scene.clerk.ask("POST", "fault", { method: "POST", match: "/v1/sessions/", kind: "slow", seconds: 1, times: 1 });
    const begins = page.waitForRequest(/sessions.*tokens/);
    await page.goto(scene.url + DASHBOARD);
    await begins;
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL(`${scene.url}/worker`);
    assert.equal(await cookieOf(context, scene), undefined);
    assert.ok(!await isSignedIn(context, scene));
    nothing(complaints);
  }));

  test("pages of others sign nobody out and save nothing", LIMIT, () => withPage({}, async (page, context) => {
    const user = await somebody(scene, "target");
    await signIn(page, scene, user);
    // No page here takes the next token when this one ends.
    const { token } = await tokenOf(scene, { user, seconds: 600 });
    await context.addCookies([{ ...await cookieOf(context, scene), value: token, expires: Date.now() / 1000 + 600 }]);
    const { port } = stranger.address();
    // The same site by its name, whose pages bring the cookie, and another, whose pages do not.
    for (const host of ["127.0.0.1", "localhost"]) {
      for (const [path, field, value] of [["/logout", "x", ""], ["/worker/save", "worker", `${OTHER_ADDRESS}.forged`], ["/worker/reconnect", "hash", hashOf(GARAGE)]]) {
        await page.goto(`http://${host}:${port}/?${new URLSearchParams({ action: scene.url + path, field, value })}`);
        const answered = page.waitForResponse((response) => response.url() === scene.url + path);
        await page.getByRole("button", { name: "Play" }).click();
        const status = (await answered).status();
        assert.ok([401, 403].includes(status), `${host}${path}: ${status}`);
      }
    }
    for (const path of ["/logout", "/worker/save", "/worker/remove", "/worker/reconnect", "/api/auth/session-refresh"]) {
      assert.equal((await context.request.get(scene.url + path)).status(), 405, `${path} by a link`);
    }
    assert.ok(await isSignedIn(context, scene));
    assert.equal((await listOf(context)).saved_count, 0);
  }));

  test("nobody is led elsewhere", LIMIT, async () => {
    const { token } = await tokenOf(scene);
    for (const place of ELSEWHERE) {
      const query = `redirect=${encodeURIComponent(place)}`;
      for (const [path, options, where] of [["/sign-in", {}, DASHBOARD], ["/clerk/callback", {}, DASHBOARD], ["/logout", { method: "POST", headers: { Origin: scene.url } }, "/worker"]]) {
        // Nobody needs a session to be led on from there, and this one is needed again.
        const holder = path === "/logout" ? undefined : token;
        const response = await asked(scene, `${path}?${query}`, holder, options);
        assert.deepEqual([response.status, response.headers.get("location")], [303, where], `${path} to ${JSON.stringify(place)}`);
      }
      const login = await asked(scene, `/login?${query}`, undefined);
      assert.doesNotMatch(login.headers.get("location"), /evil|alert/);
    }
    // And with a browser, which reads addresses in its own way.
    const user = await somebody(scene, "led");
    for (const [place, path] of [["//evil.example", DASHBOARD], ["/\\evil.example", DASHBOARD], ["/%5Cevil.example", DASHBOARD], ["/pool?x=1", "/pool"]]) {
      await withPage({}, async (page) => {
        await signIn(page, scene, user, `/sign-in?redirect=${encodeURIComponent(place)}`);
        assert.deepEqual([new URL(page.url()).origin, pathOf(page)], [scene.url, path]);
      });
    }
  });

  test("who comes back from Clerk again and again has to wait", LIMIT, async () => {
    const headers = someone();
    const back = async () => (await fetch(`${scene.url}/clerk/callback?__clerk_db_jwt=dvb_none`, { redirect: "manual", headers })).status;
    for (let count = 0; count < 30; count += 1) assert.equal(await back(), 303);
    assert.equal(await back(), 429);
  });

  test("a form that is sent when the session is over leads to where one signs in", LIMIT, async () => {
    const send = (path) => asked(scene, path, undefined, { method: "POST", body: new URLSearchParams({ worker: GARAGE }), headers: { Origin: scene.url } });
    for (const path of ["/worker/save", "/worker/remove", "/worker/reconnect"]) {
      const answer = await send(path);
      assert.deepEqual([answer.status, answer.headers.get("location")], [303, "/sign-in?redirect=/saved-workers"], path);
    }
    assert.equal((await send("/api/saved-workers/notify-enabled")).status, 401);
  });

  test("a token that is not ours is nobody's", LIMIT, async () => {
    const good = await tokenOf(scene);
    const wrong = {
      expired: { seconds: -10 }, "for other pages": { azp: "https://elsewhere.example" }, "of another issuer": { claims: { iss: "https://elsewhere.example" } },
      "of a stranger": { key: "stranger" }, "not signed": { alg: "none" }, "signed with what everybody knows": { alg: "HS256" }, "badly signed": { signature: "bad" },
    };
    const statuses = async (token) => [(await asked(scene, DASHBOARD, token)).headers.get("location"), (await asked(scene, "/api/saved-workers", token)).status];
    assert.deepEqual(await statuses(good.token), [null, 200]);
    for (const [what, wanted] of Object.entries(wrong)) {
      const { token } = await tokenOf(scene, wanted);
      assert.deepEqual(await statuses(token), ["/worker", 401], what);
      const body = JSON.stringify({ token });
      const refreshed = await asked(scene, "/api/auth/session-refresh", undefined, { method: "POST", body, headers: { Origin: scene.url, "Content-Type": "application/json" } });
      assert.deepEqual([refreshed.status, refreshed.headers.get("set-cookie")], [401, null], what);
    }
  });
});
