// What all stand-ins share: each way of failing is what it says it is, to a client that has nothing of ours in it.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { after, beforeEach, test } from "node:test";

import { LIMIT_MS, start } from "./given.mjs";

const b2 = await start("b2");
after(() => b2.end());
beforeEach(() => b2.afresh());

const PATH = "/b2api/v3/b2_authorize_account";
const RIGHT = { authorization: `Basic ${Buffer.from(`${b2.key_id}:${b2.key}`).toString("base64")}` };

/** One request on a connection of its own: what came of it, and when. */
async function asked(pool = b2, { path = PATH, body, ...options } = {}) {
  const startedAt = performance.now();
  const ask = pool.url.startsWith("https") ? httpsRequest : httpRequest;
  const request = ask(new URL(path, pool.url), { agent: false, headers: RIGHT, method: body === undefined ? "GET" : "POST", ...options });
  const came = { text: "" };
  const since = () => performance.now() - startedAt;
  try {
    request.end(body);
    const [response] = await once(request, "response");
    Object.assign(came, { status: response.statusCode, headers: response.headers, headMs: since() });
    response.setEncoding("utf8").on("data", (text) => { came.text += text; });
    await once(response, "end");
  } catch (error) {
    came.error = error.code;
  }
  return { ...came, ms: since() };
}

test("a status is given as often as was asked for, in the service's own words", async () => {
  await b2.fault({ match: PATH, kind: "status", status: 429, retry_after: 2, times: 2, skip: 1 });
  assert.equal((await asked()).status, 200);
  for (let count = 1; count <= 2; count += 1) {
    const { status, headers, text } = await asked();
    assert.deepEqual([status, headers["retry-after"], JSON.parse(text).code], [429, "2", "too_many_requests"]);
  }
  assert.equal((await asked()).status, 200);
  await b2.fault({ match: PATH, kind: "status", status: 418, body: "teapot", headers: { "x-pot": "short" } });
  const { text, headers } = await asked();
  assert.deepEqual([text, headers["x-pot"]], ["teapot", "short"]);
  assert.equal((await asked(b2, { path: "/elsewhere" })).status, 404);
  await b2.ask("DELETE", "fault");
  assert.equal((await asked()).status, 200);
});

test("text comes where JSON was due", async () => {
  await b2.fault({ match: PATH, kind: "text" });
  const { status, headers, text } = await asked();
  assert.deepEqual([status, headers["content-type"]], [200, "text/html"]);
  assert.throws(() => JSON.parse(text));
});

test("a conversation is closed, reset or left alone without a word", async () => {
  await b2.fault({ match: "/refuse", kind: "refuse" });
  await b2.fault({ match: "/reset", kind: "reset" });
  await b2.fault({ match: "/hang", kind: "hang", seconds: 0.3 });
  // Node calls both a hang-up; the kernel tells them apart.
  const raw = async (path) => {
    const socket = connect(b2.port, "127.0.0.1");
    socket.end = () => {};
    const said = [];
    socket.on("data", (bytes) => said.push(bytes));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const outcome = await Promise.race([once(socket, "end").then(() => "end"), once(socket, "error").then(([error]) => error.code)]).catch((error) => error.code);
    socket.destroy();
    assert.deepEqual(said, []);
    return outcome;
  };
  assert.equal(await raw("/refuse"), "end");
  assert.equal(await raw("/reset"), "ECONNRESET");
  const startedAt = performance.now();
  assert.equal(await raw("/hang"), "end");
  assert.ok(performance.now() - startedAt >= 290);
  assert.deepEqual((await b2.seen()).map((one) => one.status), ["refuse", "reset", "hang"]);
});

test("half an answer is half of it", async () => {
  const whole = (await asked()).text;
  await b2.fault({ match: PATH, kind: "half" });
  const { status, headers, text, error } = await asked();
  assert.deepEqual([status, Number(headers["content-length"]), error], [200, whole.length, "ECONNRESET"]);
  assert.equal(text.length, Math.floor(whole.length / 2));
});

test("a slow answer comes late, and one that drips takes its time after the head", async () => {
  await b2.fault({ match: PATH, kind: "slow", seconds: 0.3, times: 1 });
  const slow = await asked();
  assert.ok(slow.status === 200 && slow.headMs >= 290, `${slow.headMs}`);
  await b2.fault({ match: PATH, kind: "drip", seconds: 0.5, times: 1 });
  const drip = await asked();
  assert.ok(JSON.parse(drip.text).accountId);
  assert.ok(drip.ms - drip.headMs >= 350, `${drip.headMs} ${drip.ms}`);
});

test("an upload can be cut off on its way", async () => {
  await b2.fault({ match: "/upload", method: "POST", kind: "reset", after_bytes: 100_000 });
  const { error } = await asked(b2, { path: "/upload", body: Buffer.alloc(10_000_000) });
  assert.ok(["ECONNRESET", "EPIPE"].includes(error), error);
  const [cut] = await b2.seen("/upload");
  assert.deepEqual([cut.status, cut.body_bytes], ["reset", null]);
  assert.equal((await asked(b2, { path: "/upload" })).status, 404, "another method is not meant");
});

test("the work can be done though nobody hears of it", async () => {
  const post = async (path, headers, body) => JSON.parse((await asked(b2, { path, headers, body })).text || "{}");
  const { authorizationToken: authorization } = JSON.parse((await asked()).text);
  const place = await post("/b2api/v3/b2_get_upload_url", { authorization }, JSON.stringify({ bucketId: b2.bucket_id }));
  await b2.fault({ match: "/b2api/v3/b2_upload_file", kind: "refuse", after_work: true });
  const headers = { authorization: place.authorizationToken, "x-bz-file-name": "a", "content-type": "text/plain", "x-bz-content-sha1": "do_not_verify" };
  const { error } = await asked(b2, { path: new URL(place.uploadUrl).pathname, headers, body: "done" });
  assert.equal(error, "ECONNRESET");
  assert.deepEqual((await b2.ask("GET", "files")).map((file) => file.contentLength), [4]);
});

test("what was asked is told, large bodies by size and hash", async () => {
  await asked(b2, { path: "/some/where?a=1&b=2", body: "small ü", headers: { "x-mine": "yes" } });
  await asked(b2, { path: "/some/large", body: Buffer.alloc(70_000) });
  await asked(b2, { path: "/some/bytes", body: Buffer.from([0xff, 0xfe]) });
  const [small, large, bytes] = await b2.seen("/some/", 3);
  assert.deepEqual([small.method, small.path, small.query, small.headers["x-mine"], small.body, small.body_bytes, small.status], ["POST", "/some/where", "a=1&b=2", "yes", "small ü", 8, 404]);
  assert.ok(Math.abs(small.at_ms - Date.now()) < LIMIT_MS);
  const sum = createHash("sha1").update(Buffer.alloc(70_000)).digest("hex");
  assert.deepEqual([large.body, large.body_bytes, large.body_sha1], [undefined, 70_000, sum]);
  assert.deepEqual([bytes.body, bytes.body_bytes], [undefined, 2]);
  // A test waits for what is to come instead of asking again and again.
  const waiting = b2.seen("/later", 1);
  await asked(b2, { path: "/later" });
  assert.equal((await waiting).length, 1);
});

test("for a while nobody listens, and then on the same port again", async () => {
  const kept = connect(b2.port, "127.0.0.1");
  await once(kept, "connect");
  kept.resume();
  await b2.ask("POST", "close", { seconds: 0.5 });
  await once(kept, "close");
  const startedAt = performance.now();
  const outcomes = [];
  while (outcomes.at(-1) !== 200 && performance.now() - startedAt < LIMIT_MS) {
    const { error, status } = await asked();
    outcomes.push(error ?? status);
  }
  assert.equal(outcomes[0], "ECONNREFUSED");
  assert.equal(outcomes.at(-1), 200);
  assert.deepEqual([...new Set(outcomes)], ["ECONNREFUSED", 200]);
});

test("TLS is believed by who knows the authority, unless the name is another's", async () => {
  const [secret, wrong] = await Promise.all([start("b2", "--tls"), start("b2", "--tls-wrong-name")]);
  try {
    assert.equal((await asked(secret, { ca: readFileSync(secret.ca) })).status, 200);
    assert.equal((await asked(secret)).error, "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    assert.equal((await asked(wrong, { ca: readFileSync(wrong.ca) })).error, "ERR_TLS_CERT_ALTNAME_INVALID");
    assert.deepEqual(await wrong.seen(), []);
    await secret.fault({ match: PATH, kind: "reset" });
    assert.equal((await asked(secret, { ca: readFileSync(secret.ca) })).error, "ECONNRESET");
    // Without TLS only the control door answers.
    assert.equal((await asked({ url: `http://127.0.0.1:${secret.port}` })).status, 400);
  } finally {
    await Promise.all([secret.end(), wrong.end()]);
  }
  assert.ok(!existsSync(secret.ca), "the authority has gone with it");
});

test("the door says what it does not understand", async () => {
  await assert.rejects(b2.fault({ kind: "explode" }), /kind must be one of/);
  await assert.rejects(b2.ask("POST", "nothing", {}), /no POST nothing at this door/);
});

test("it ends when its standard input does, whoever is connected", async () => {
  const one = await start("b2");
  await one.fault({ match: "/hang", kind: "hang" });
  const hanging = asked(one, { path: "/hang" });
  await one.ask("GET", "seen?match=/hang&count=1");
  one.child.stdin.end();
  const [code] = await once(one.child, "exit");
  assert.equal(code, 0);
  assert.equal((await hanging).error, "ECONNRESET");
});
