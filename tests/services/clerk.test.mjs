// Clerk's own server library against the stand-in, and its script in a real browser.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";

import { createClerkClient, verifyToken } from "@clerk/backend";

import { LIMIT_MS, start } from "./given.mjs";

const clerk = await start("clerk");
after(() => clerk.end());
beforeEach(() => clerk.afresh());

const PAGE = "https://pool.example";
const library = (secretKey = clerk.secret_key) => createClerkClient({
  secretKey, publishableKey: clerk.publishable_key, apiUrl: clerk.backend_api, telemetry: { disabled: true },
});
const tokenOf = async (asked = {}) => (await clerk.ask("POST", "token", { azp: PAGE, ...asked })).token;
// Each look at a token is one at the keys of this moment.
const verified = (token, options = {}) => verifyToken(token, {
  secretKey: clerk.secret_key, apiUrl: clerk.backend_api, authorizedParties: [PAGE], clockSkewInMs: 0, skipJwksCache: true, ...options,
});

/** Why the library refuses a token. */
async function refused(asked, reason, options) {
  await assert.rejects(verified(await tokenOf(asked), options), (error) => {
    assert.equal(error.reason, reason, error.message);
    return true;
  });
}

test("the library takes a token as Clerk makes it", async () => {
  const { sub, sid, iss, azp, exp, iat, nbf } = await verified(await tokenOf());
  assert.deepEqual([sub, iss, azp, exp - iat], [clerk.user, clerk.issuer, PAGE, 60]);
  assert.match(sid, /^sess_/);
  assert.ok(nbf <= iat);
  const [asked] = await clerk.seen("/v1/jwks");
  assert.equal(asked.headers.authorization, `Bearer ${clerk.secret_key}`);
  assert.equal((await verified(await tokenOf({ claims: { aud: "pool" } }), { audience: "pool" })).aud, "pool");
});

test("the library refuses each token that is wrong in the way it was asked to be", async () => {
  const now = Math.floor(Date.now() / 1000);
  await refused({ claims: { exp: now - 1 } }, "token-expired");
  await refused({ seconds: -5 }, "token-expired");
  await refused({ claims: { nbf: now + 60 } }, "token-not-active-yet");
  await refused({ claims: { iat: now + 60 } }, "token-iat-in-the-future");
  await refused({ azp: "https://elsewhere.example" }, "token-invalid-authorized-parties");
  await refused({ claims: { aud: "another" } }, "token-verification-failed", { audience: "pool" });
  await refused({ without: ["sub"] }, "token-verification-failed");
  await refused({ header: { kid: "ins_unknown" } }, "jwk-kid-mismatch");
  await refused({ signature: "bad" }, "token-invalid-signature");
  await refused({ key: "stranger" }, "token-invalid-signature");
  for (const alg of ["none", "HS256", "PS256"]) await refused({ alg }, "token-invalid-algorithm");
  // The key itself says that it is for RS256.
  await refused({ alg: "RS512" }, "token-verification-failed");
  await refused({ without: ["azp"] }, "token-invalid-authorized-parties");
});

test("keys change, and the library follows", async () => {
  const before = await tokenOf();
  await clerk.ask("POST", "rotate", {});
  assert.ok(await verified(before), "the older key is published still");
  assert.ok(await verified(await tokenOf()));
  await clerk.ask("POST", "rotate", { publish: false });
  await refused({}, "jwk-kid-mismatch");
  await clerk.ask("POST", "publish", {});
  assert.ok(await verified(await tokenOf()));
  // The library itself believes the keys it has seen for a while longer.
  await clerk.ask("POST", "rotate", { keep: false });
  assert.ok(await verified(await tokenOf()));
  const { keys } = await (await fetch(clerk.jwks)).json();
  assert.deepEqual(keys.map((key) => [key.kty, key.alg, key.use, key.e]), [["RSA", "RS256", "sig", "AQAB"]]);
  await clerk.ask("POST", "keys", { extra: [{ kty: "EC", kid: "ec" }, { kty: "RSA", n: "!", e: "" }] });
  assert.ok(await verified(await tokenOf()), "what is no key is passed over");
  await clerk.ask("POST", "keys", { extra: [] });
});

test("the backend's API exchanges the token of a browser for one of its session, and ends the session", async () => {
  const { session, db_jwt } = await clerk.ask("POST", "session", {});
  const its = library();
  const client = await its.clients.verifyClient(db_jwt);
  assert.deepEqual([client.lastActiveSessionId, client.sessionIds, client.sessions[0].userId], [session, [session], clerk.user]);
  const { jwt } = await its.sessions.getToken(client.lastActiveSessionId, undefined, 43_200);
  const { sub, sid, exp, iat, azp } = await verified(jwt, { authorizedParties: undefined });
  assert.deepEqual([sub, sid, exp - iat, azp], [clerk.user, session, 43_200, undefined]);
  const user = await its.users.getUser(sub);
  assert.equal(user.primaryEmailAddress.emailAddress, "miner@example.com");
  assert.equal((await its.sessions.revokeSession(session)).status, "revoked");
  await assert.rejects(its.sessions.getToken(session), { status: 404 });
  assert.equal((await its.clients.verifyClient(db_jwt)).lastActiveSessionId, null);
  const paths = (await clerk.seen("/v1/")).map((one) => `${one.method} ${one.path}`);
  for (const path of ["/v1/clients/verify", `/v1/sessions/${session}/tokens`, `/v1/sessions/${session}/revoke`]) assert.ok(paths.includes(`POST ${path}`), path);
});

test("the library understands refusals", async () => {
  const wrong = library("sk_test_another");
  await assert.rejects(verified(await tokenOf(), { secretKey: "sk_test_another" }), { reason: "secret-key-invalid" });
  await assert.rejects(wrong.clients.verifyClient("dvb_x"), ({ status, errors }) => status === 401 && errors[0].code === "clerk_key_invalid");
  await assert.rejects(library().clients.verifyClient("dvb_x"), ({ status, errors }) => status === 404 && errors[0].code === "resource_not_found");
  await clerk.fault({ match: "/v1/clients", kind: "status", status: 429, retry_after: 7 });
  await assert.rejects(library().clients.verifyClient("dvb_x"), ({ status, retryAfter }) => status === 429 && retryAfter === 7);
});

test("the hosted page sends its visitor back with the token of the browser", async () => {
  const back = "https://pool.example/clerk/callback?redirect=%2Fsaved-workers";
  const page = await (await fetch(`${clerk.sign_in}?redirect_url=${encodeURIComponent(back)}&frontend_api=x`)).text();
  assert.match(page, /<button name="user" value="user_2standin/);
  const form = new URLSearchParams({ redirect_url: back, user: clerk.user });
  const answer = await fetch(clerk.sign_in, { method: "POST", body: form, redirect: "manual" });
  assert.equal(answer.status, 303);
  const place = new URL(answer.headers.get("location"));
  const token = place.searchParams.get("__clerk_db_jwt");
  place.searchParams.delete("__clerk_db_jwt");
  assert.equal(place.href, back);
  assert.equal((await library().clients.verifyClient(token)).sessions.length, 1);
});

/** A page with the script as a pool's page would have it, and what it says of itself. */
const pageWith = (script) => `<!doctype html><title>Page</title><div id="place"></div>
<script crossorigin="anonymous" data-clerk-publishable-key="${clerk.publishable_key}" src="${clerk.frontend_api}/npm/@clerk/clerk-js@5/dist/clerk.browser.js"></script>
<script type="module">
const say = (value) => fetch("/said", { method: "POST", body: JSON.stringify(value) });
const place = document.getElementById("place");
const button = async () => {
  while (!place.querySelector("button")) await new Promise((resolve) => new MutationObserver(resolve).observe(place, { childList: true, subtree: true }));
  return place.querySelector("button");
};
try { ${script} } catch (error) { say({ error: String(error) }); }
</script>`;

const PAGES = {
  "/sign-in": `
    const before = Clerk.user;
    const heard = [];
    await Clerk.load();
    Clerk.addListener(({ user }) => heard.push(user?.id ?? null));
    Clerk.mountSignIn(place, { forceRedirectUrl: "/signed-in" });
    sessionStorage.setItem("before", JSON.stringify({ before: String(before), after: String(Clerk.user), heard }));
    (await button()).click();`,
  "/signed-in": `
    await Clerk.load();
    const first = await Clerk.session.getToken();
    const again = await Clerk.session.getToken();
    const anew = await Clerk.session.getToken({ skipCache: true });
    const { id, fullName, primaryEmailAddress } = Clerk.user;
    Clerk.mountUserProfile(place);
    await say({ id, fullName, email: primaryEmailAddress.emailAddress, profile: place.textContent, first, again, anew, cookies: document.cookie, session: Clerk.session.id, ...JSON.parse(sessionStorage.before) });
    await Clerk.signOut({ redirectUrl: "/signed-out" });`,
  "/signed-out": `
    await Clerk.load();
    await say({ user: Clerk.user, session: Clerk.session, cookies: document.cookie });`,
};

test("its script signs a user in and out in a real browser", { skip: !process.env.CHROMIUM && "no CHROMIUM" }, async () => {
  const said = [];
  const hasSaid = {};
  const enough = new Promise((resolve, reject) => Object.assign(hasSaid, { resolve, reject }));
  const pages = createServer((request, response) => {
    if (request.url === "/said") {
      let text = "";
      request.setEncoding("utf8").on("data", (piece) => { text += piece; }).on("end", () => {
        said.push(JSON.parse(text));
        response.end();
        if (said.length === 2 || said.at(-1).error) hasSaid.resolve();
      });
    } else {
      const script = PAGES[new URL(request.url, "http://x").pathname];
      response.writeHead(script ? 200 : 404, { "content-type": "text/html" }).end(script ? pageWith(script) : "");
    }
  });
  await once(pages.listen(0, "127.0.0.1"), "listening");
  const folder = mkdtempSync(join(tmpdir(), "gopool-clerk-"));
  // Another name than the stand-in's: another site, as it will be.
  const url = `http://localhost:${pages.address().port}/sign-in`;
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1", `--user-data-dir=${folder}`, url];
  const browser = spawn(process.env.CHROMIUM, flags, { stdio: "ignore" });
  const timer = setTimeout(() => hasSaid.reject(new Error("the browser has said too little in time")), 2 * LIMIT_MS);
  try {
    await enough;
  } finally {
    clearTimeout(timer);
    browser.kill();
    if (browser.exitCode === null && browser.signalCode === null) await once(browser, "exit");
    pages.close();
    pages.closeAllConnections();
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
  assert.equal(said[0].error, undefined);
  const [signedIn, signedOut] = said;
  assert.deepEqual([signedIn.before, signedIn.after, signedIn.heard], ["undefined", "null", [null]]);
  assert.deepEqual([signedIn.id, signedIn.fullName, signedIn.email, signedIn.profile], [clerk.user, "Test Miner", "miner@example.com", "miner@example.com"]);
  assert.equal(signedIn.first, signedIn.again, "a token that is good for a while is kept");
  assert.match(signedIn.cookies, /__clerk_db_jwt=dvb_.*__client_uat=[1-9].*__session=/);
  const { sid, azp } = await verified(signedIn.anew, { authorizedParties: [new URL(url).origin] });
  assert.deepEqual([sid, azp], [signedIn.session, new URL(url).origin]);
  assert.deepEqual([signedOut.user, signedOut.session], [null, null]);
  assert.doesNotMatch(signedOut.cookies, /__session/);
  assert.equal((await clerk.ask("GET", "sessions")).find((one) => one.id === sid).status, "removed");
});
