// Clients of others against the inbox: CoinGecko's own, grammY for Telegram, which has none of its own for Node.js, and for
// webhooks and ntfy, which want nothing but HTTP, what Node.js has.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, beforeEach, test } from "node:test";

import Coingecko from "@coingecko/coingecko-typescript";
import { Bot, GrammyError } from "grammy";

import { LIMIT_MS, start } from "./given.mjs";

const inbox = await start("inbox");
after(() => inbox.end());
beforeEach(async () => {
  await inbox.afresh();
  await inbox.ask("DELETE", "inbox");
});

const received = (service, count) => inbox.ask("GET", `inbox?${new URLSearchParams({ service, count, seconds: LIMIT_MS / 1000 })}`);
const newBot = (token = inbox.bot_token) => new Bot(token, { client: { apiRoot: inbox.telegram } });

test("a webhook is kept as it came, to the byte that was signed", async () => {
  const text = JSON.stringify({ event: "block_found", worker: "Grüße" });
  const signature = `sha256=${createHmac("sha256", "secret").update(text).digest("hex")}`;
  const send = (body) => fetch(`${inbox.webhook}/mine`, { method: "POST", body, headers: { "content-type": "application/json", "x-gopool-signature": signature } });
  assert.equal((await send(text)).status, 200);
  assert.equal((await send("{")).status, 400);
  const all = await received("webhook", 1);
  assert.equal(all.length, 1);
  const [{ body, headers, path, text: kept }] = all;
  assert.deepEqual([body.event, path, headers["x-gopool-signature"]], ["block_found", "/webhook/mine", signature]);
  assert.equal(`sha256=${createHmac("sha256", "secret").update(kept).digest("hex")}`, signature);
  await inbox.fault({ match: "/webhook", kind: "status", status: 500, times: 1 });
  assert.equal((await send(text)).status, 500);
});

test("ntfy takes a message by headers or as JSON, and says what it took", async () => {
  const send = (path, options) => fetch(`${inbox.ntfy}${path}`, { method: "POST", ...options });
  const title = `=?UTF-8?B?${Buffer.from("Block gefunden ü").toString("base64")}?=`;
  const said = await (await send("/my-topic", { body: "800000 ⛏", headers: { title, priority: "high", tags: "tada, pick", click: "https://pool.example/" } })).json();
  assert.deepEqual([said.event, said.topic, said.message, said.title, said.priority, said.tags, said.click], ["message", "my-topic", "800000 ⛏", "Block gefunden ü", 4, ["tada", "pick"], "https://pool.example/"]);
  assert.ok(said.id && Math.abs(said.time - Date.now() / 1000) < 60 && said.expires > said.time);
  await send("/my-topic", { method: "PUT", body: "x", headers: { "X-Title": "Q =?utf-8?q?=C3=BC_b?=" } });
  await send("/", { body: JSON.stringify({ topic: "other", message: "as JSON", title: "ü", priority: 5, tags: ["a"] }) });
  await send("/my-topic", { body: "" });
  await send("/my-topic", { body: "x".repeat(4097) });
  const all = await received("ntfy", 5);
  assert.deepEqual(all.map((one) => one.message), ["800000 ⛏", "x", "as JSON", "triggered", "You received a file: attachment.txt"]);
  assert.deepEqual([all[1].title, all[2].topic, all[2].title, all[2].priority], ["Q ü b", "other", "ü", 5]);
  const refused = async (path, options) => {
    const answer = await send(path, options);
    return [answer.status, (await answer.json()).code];
  };
  assert.deepEqual(await refused("/my-topic", { headers: { priority: "9" } }), [400, 40007]);
  assert.deepEqual(await refused("/no topic", {}), [404, 40401]);
  await inbox.fault({ match: "/my-topic", kind: "status", status: 429, retry_after: 3 });
  assert.deepEqual(await refused("/my-topic", { body: "x" }), [429, 42901]);
});

test("ntfy with a token wants it", async () => {
  const guarded = await start("inbox", "--ntfy-token", "tk_secret");
  try {
    const send = async (headers) => (await fetch(`${guarded.ntfy}/t`, { method: "POST", body: "x", headers })).status;
    assert.deepEqual([await send({}), await send({ authorization: "Bearer tk_other" }), await send({ authorization: "Bearer tk_secret" })], [403, 401, 200]);
  } finally {
    await guarded.end();
  }
});

test("a bot of grammY sends, and is told why not", async () => {
  const { api } = newBot();
  assert.equal((await api.getMe()).username, "gopool_test_bot");
  const sent = await api.sendMessage(inbox.chat_id, "<b>Block</b> &lt;found&gt;", { parse_mode: "HTML", link_preview_options: { is_disabled: true } });
  assert.ok(sent.message_id > 0 && sent.chat.id === inbox.chat_id);
  const [message] = await received("telegram", 1);
  assert.deepEqual([message.chat_id, message.text, message.parse_mode], [inbox.chat_id, "<b>Block</b> &lt;found&gt;", "HTML"]);
  const refused = (sending, code, description) => assert.rejects(sending, (error) => {
    assert.ok(error instanceof GrammyError);
    assert.equal(error.error_code, code);
    assert.match(error.description, description);
    return true;
  });
  await refused(api.sendMessage(1, "x"), 400, /chat not found/);
  await refused(api.sendMessage(inbox.chat_id, ""), 400, /text is empty/);
  await refused(api.sendMessage(inbox.chat_id, "x".repeat(4097)), 400, /too long/);
  for (const [mode, text] of [["HTML", "<b>open"], ["HTML", "a <x> b"], ["MarkdownV2", "1.5"], ["MarkdownV2", "*open"]]) {
    await refused(api.sendMessage(inbox.chat_id, text, { parse_mode: mode }), 400, /can't parse entities/);
  }
  await api.sendMessage(inbox.chat_id, "*1\\.5* `a.b` [link](https://a.b/)", { parse_mode: "MarkdownV2" });
  await inbox.ask("POST", "block", { chat_ids: [inbox.chat_id] });
  await refused(api.sendMessage(inbox.chat_id, "x"), 403, /blocked by the user/);
  await inbox.ask("POST", "block", { chat_ids: [] });
  await refused(newBot("1:wrongwrongwrongwrongwrongwrongwrong").api.getMe(), 401, /Unauthorized/);
  await inbox.fault({ match: "/bot", kind: "status", status: 429, retry_after: 7, times: 1 });
  await assert.rejects(api.sendMessage(inbox.chat_id, "x"), (error) => error.error_code === 429 && error.parameters.retry_after === 7);
});

test("a bot of grammY hears what is written to it, once, and without asking all the time", async () => {
  const bot = newBot();
  const heard = [];
  bot.command("start", async (context) => {
    heard.push([context.from.id, context.match]);
    await context.reply("Linked.");
  });
  const running = bot.start({ drop_pending_updates: false });
  const path = `/bot${inbox.bot_token}/getUpdates`;
  await inbox.ask("POST", "update", { text: "/start correct-horse", from: { id: 77 } });
  const [reply] = await received("telegram", 1);
  assert.deepEqual([reply.chat_id, reply.text, heard], [77, "Linked.", [[77, "correct-horse"]]]);
  await inbox.ask("POST", "update", { text: "/start again", from: { id: 78 } });
  assert.equal((await received("telegram", 2))[1].chat_id, 78);
  await bot.stop();
  await running;
  assert.equal(heard.length, 2);
  const polls = await inbox.seen(path);
  assert.ok(polls.length <= 6, `${polls.length} polls`);
  assert.deepEqual(await newBot().api.getUpdates(), [], "all of them have been taken");
});

test("of two that ask for updates the first is told so", async () => {
  const { api } = newBot();
  const first = api.getUpdates({ timeout: 30 }).catch((error) => error);
  // Its body is there, so it waits.
  while (!(await inbox.seen("/bot")).some((one) => one.body_bytes !== null));
  const second = api.getUpdates({ timeout: 30 });
  assert.equal((await first).error_code, 409);
  const { update_id: id } = await inbox.ask("POST", "update", { text: "hello" });
  assert.deepEqual((await second).map((update) => update.update_id), [id]);
  await api.getUpdates({ offset: id + 1 });
});

test("CoinGecko's own client has the price", async () => {
  const client = new Coingecko({ baseURL: inbox.coingecko, demoAPIKey: "none", maxRetries: 1, timeout: LIMIT_MS });
  const ask = (currencies, ids = "bitcoin") => client.simple.price.get({ vs_currencies: currencies, ids });
  assert.deepEqual(await ask("usd"), { bitcoin: { usd: 60_000.5 } });
  await inbox.ask("POST", "price", { usd: 99_999.25 });
  assert.deepEqual(await ask("usd,eur,xyz"), { bitcoin: { usd: 99_999.25, eur: 55_000 } });
  assert.deepEqual(await ask("usd", "nothing"), {});
  await inbox.fault({ match: "/api/v3", kind: "status", status: 429, retry_after: 1, times: 1 });
  await inbox.ask("DELETE", "seen");
  assert.deepEqual(await ask("eur"), { bitcoin: { eur: 55_000 } });
  const [refused, taken] = await inbox.seen("/api/v3/simple/price");
  assert.deepEqual([refused.status, taken.status], [429, 200]);
  assert.ok(taken.at_ms - refused.at_ms >= 900, "it waits as long as it was told to");
  assert.deepEqual(Object.fromEntries(new URLSearchParams(taken.query)), { vs_currencies: "eur", ids: "bitcoin" });
  assert.equal((await fetch(`${inbox.coingecko}/simple/price?ids=bitcoin`)).status, 422);
});
