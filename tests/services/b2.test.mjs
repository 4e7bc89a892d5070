// Backblaze's own library against the stand-in: it uses it as it would use B2, and gets over what goes wrong.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, beforeEach, test } from "node:test";

import { output, start } from "./given.mjs";

const PYTHON = process.env.B2SDK_PYTHON;
const b2 = await start("b2");
after(() => b2.end());
beforeEach(async () => {
  await b2.afresh();
  await b2.ask("DELETE", "files");
  await b2.ask("POST", "settings", { recommendedPartSize: 1000, absoluteMinimumPartSize: 100, isOfOneBucket: false });
});

const use = (pool, version, env) => output(PYTHON, ["b2_client.py", version, pool.realm, pool.key_id, pool.key, pool.bucket], env);

async function isUsed(pool, version, env) {
  const { code, said } = await use(pool, version, env);
  assert.equal(code, 0, said);
  assert.match(said, /^refused InvalidAuthToken\npart 1000\nlarge [0-9a-f]{40}\ndone\n$/);
  const large = (await pool.ask("GET", "files")).find((file) => file.fileName === "gopool/large.db");
  assert.ok(said.includes(large.sha1), "what the client sent is what was put together");
}

test("version 3 of the API does what b2sdk wants", async () => {
  await isUsed(b2, "v2");
  const paths = (await b2.seen()).map((one) => one.path);
  assert.ok(paths.every((path) => path.startsWith("/b2api/v3/") || path.startsWith("/file/")), paths.join("\n"));
  const parts = paths.filter((path) => path.startsWith("/b2api/v3/b2_upload_part/"));
  assert.equal(parts.length, 4);
});

test("version 4 does too, with a key for one bucket", async () => {
  await b2.ask("POST", "settings", { isOfOneBucket: true });
  await b2.ask("POST", "bucket", { name: "another-bucket" });
  const { said } = await use(b2, "v3");
  // b2sdk does not even ask for another bucket than the key's.
  assert.match(said, /RestrictedBucket/);
  await b2.ask("POST", "settings", { isOfOneBucket: false });
  await isUsed(b2, "v3");
});

test("b2sdk tries again what is refused for a while", async () => {
  await b2.fault({ match: "/b2api/v3/b2_upload_file", kind: "status", status: 503, retry_after: 1, times: 1 });
  await b2.fault({ match: "/b2api/v3/b2_upload_file", kind: "reset", after_bytes: 2, times: 1 });
  await b2.fault({ match: "/b2api/v3/b2_upload_part", kind: "status", status: 408, times: 1 });
  await b2.fault({ match: "/b2api/v3/b2_get_upload_url", kind: "status", status: 429, retry_after: 1, times: 1 });
  await isUsed(b2, "v2");
  const faults = (await b2.seen("/b2api/v3/")).map((one) => one.fault).filter((kind) => kind);
  assert.deepEqual(faults.sort(), ["reset", "status", "status", "status"]);
});

test("b2sdk speaks TLS with it when told of its authority", async () => {
  const secret = await start("b2", "--tls");
  try {
    await secret.ask("POST", "settings", { recommendedPartSize: 1000, absoluteMinimumPartSize: 100 });
    await isUsed(secret, "v3", { REQUESTS_CA_BUNDLE: secret.ca });
  } finally {
    await secret.end();
  }
});

/** What B2 answers by hand, which the library would never ask. */
async function call(path, headers, body) {
  const response = await fetch(`${b2.url}/b2api/v3/${path}`, { method: body === undefined ? "GET" : "POST", headers, body });
  return { status: response.status, said: await response.json() };
}

async function authorized() {
  const basic = `Basic ${Buffer.from(`${b2.key_id}:${b2.key}`).toString("base64")}`;
  const { said } = await call("b2_authorize_account", { authorization: basic });
  return { authorization: said.authorizationToken };
}

test("what is wrong is refused in B2's words", async () => {
  const account = await authorized();
  const bucket = JSON.stringify({ bucketId: b2.bucket_id });
  const { said: place } = await call("b2_get_upload_url", account, bucket);
  const path = new URL(place.uploadUrl).pathname.slice("/b2api/v3/".length);
  const right = {
    authorization: place.authorizationToken, "x-bz-file-name": "workers.db", "content-type": "application/octet-stream",
    "x-bz-content-sha1": createHash("sha1").update("bytes").digest("hex"),
  };
  const refused = async (headers, status, code) => {
    const { status: got, said } = await call(path, headers, "bytes");
    assert.deepEqual([got, said.status, said.code], [status, status, code]);
  };
  await refused({ ...right, "x-bz-content-sha1": "0".repeat(40) }, 400, "bad_request");
  await refused({ ...right, "x-bz-file-name": "/workers.db" }, 400, "bad_request");
  await refused({ ...right, "x-bz-file-name": "%ff" }, 400, "bad_request");
  await refused({ ...right, authorization: account.authorization }, 401, "bad_auth_token");
  assert.equal((await call(path, right, "bytes")).status, 200);
  await b2.ask("POST", "expire", { which: "upload" });
  await refused(right, 401, "expired_auth_token");
  assert.equal((await call("b2_get_upload_url", account, bucket)).status, 200);
  await b2.ask("POST", "expire", { which: "account" });
  assert.equal((await call("b2_get_upload_url", account, bucket)).said.code, "expired_auth_token");
  assert.equal((await call("b2_get_upload_url", await authorized(), "{")).said.code, "bad_json");
});

test("a large file is of two parts or more, none of them too small but the last", async () => {
  const account = await authorized();
  const started = JSON.stringify({ bucketId: b2.bucket_id, fileName: "large.db", contentType: "application/octet-stream" });
  const { fileId } = (await call("b2_start_large_file", account, started)).said;
  const { said: place } = await call("b2_get_upload_part_url", account, JSON.stringify({ fileId }));
  const path = new URL(place.uploadUrl).pathname.slice("/b2api/v3/".length);
  const sums = [];
  const part = async (number, bytes) => {
    sums[number - 1] = createHash("sha1").update(bytes).digest("hex");
    const { status } = await call(path, { authorization: place.authorizationToken, "x-bz-part-number": String(number), "x-bz-content-sha1": sums[number - 1] }, bytes);
    assert.equal(status, 200);
  };
  const finish = async () => (await call("b2_finish_large_file", account, JSON.stringify({ fileId, partSha1Array: sums }))).said;
  await part(1, "x".repeat(99));
  assert.match((await finish()).message, /at least 2 parts/);
  await part(2, "end");
  assert.match((await finish()).message, /at least 100/);
  await part(1, "x".repeat(100));
  const { action, contentLength, contentSha1 } = await finish();
  assert.deepEqual([action, contentLength, contentSha1], ["upload", 103, null]);
});
