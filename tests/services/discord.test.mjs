// discord.js against the stand-in: it signs in, answers a command, and comes back when it has been cut off.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, afterEach, beforeEach, test } from "node:test";

import { Client, GatewayIntentBits, MessageFlags } from "discord.js";
import { WebSocket } from "ws";

import { LIMIT_MS, start } from "./given.mjs";

const discord = await start("discord");
after(() => discord.end());
const USUAL = { heartbeat_ms: 41_250, acks: true, hello: true, ready: true, answer_ms: 3000 };
const LIMITS = { messages: [5, 5], commands: [5, 20], callback: [50, 1], other: [50, 1] };
let client;
beforeEach(async () => {
  await discord.afresh();
  await discord.ask("DELETE", "frames");
  await discord.ask("POST", "forget", {});
  await discord.ask("POST", "settings", USUAL);
  await discord.ask("POST", "limits", LIMITS);
});
afterEach(async () => {
  await client?.destroy();
  client = undefined;
});

/** The library, with the stand-in where Discord would be; ready, and with its commands told. */
async function connected(options = {}) {
  client = new Client({ intents: [GatewayIntentBits.Guilds], rest: { api: `${discord.url}/api`, ...options.rest } });
  client.on("error", () => {});
  const ready = once(client, "clientReady", { signal: AbortSignal.timeout(LIMIT_MS) });
  await client.login(discord.token);
  await ready;
  return client;
}

const COMMANDS = [
  { name: "notify", description: "Link", options: [{ type: 3, name: "code", description: "The code", required: true }] },
  { name: "notify-stop", description: "Stop" },
];
const heard = (name) => once(client, name, { signal: AbortSignal.timeout(LIMIT_MS) }).then(([first]) => first);
const frames = (op, count) => discord.ask("GET", `frames?${new URLSearchParams({ op, count, seconds: LIMIT_MS / 1000 })}`);

test("the library signs in, tells its commands, and answers one", async () => {
  await connected();
  assert.deepEqual([client.user.id, client.application.id, client.guilds.cache.get(discord.server_id).name], [discord.bot_id, discord.application_id, "A server"]);
  const [identify] = await frames(2, 1);
  assert.deepEqual([identify.d.token, identify.d.intents], [discord.token, 1]);
  const commands = await client.application.commands.set(COMMANDS, discord.server_id);
  assert.deepEqual([...commands.values()].map((one) => [one.name, one.options.map((option) => option.name)]), [["notify", ["code"]], ["notify-stop", []]]);

  const asked = heard("interactionCreate");
  const { id } = await discord.ask("POST", "interaction", { name: "notify", options: { code: "correct horse" }, user: { id: "1180000000000000077", username: "somebody" } });
  const interaction = await asked;
  assert.ok(interaction.isChatInputCommand() && interaction.inGuild());
  assert.deepEqual([interaction.commandName, interaction.options.getString("code"), interaction.user.id, interaction.guildId], ["notify", "correct horse", "1180000000000000077", discord.server_id]);
  assert.ok(interaction.commandId === commands.first().id && interaction.member.user.username === "somebody");
  await interaction.reply({ content: "Linked.", flags: MessageFlags.Ephemeral });
  const [answered] = (await discord.ask("GET", "interactions")).filter((one) => one.id === id);
  assert.deepEqual([answered.answer.type, answered.answer.data.content, answered.answer.data.flags], [4, "Linked.", 64]);

  const direct = heard("interactionCreate");
  await discord.ask("POST", "interaction", { name: "notify-stop", guild_id: null });
  assert.equal((await direct).inGuild(), false);
});

test("an answer is taken once, and not too late", async () => {
  await connected();
  const twice = heard("interactionCreate");
  await discord.ask("POST", "interaction", { name: "notify-stop" });
  const interaction = await twice;
  const again = () => client.rest.post(`/interactions/${interaction.id}/${interaction.token}/callback`, { body: { type: 4, data: { content: "x" } }, auth: false });
  await interaction.reply("x");
  await assert.rejects(again(), { code: 40060, status: 400 });
  await discord.ask("POST", "settings", { answer_ms: -1 });
  const late = heard("interactionCreate");
  await discord.ask("POST", "interaction", { name: "notify-stop" });
  await assert.rejects((await late).reply("x"), { code: 10062, status: 404 });
});

test("the library sends messages, and what Discord would not take is refused", async () => {
  await connected();
  const channel = await client.channels.fetch(discord.channel_id);
  const users = ["1180000000000000077"];
  const sent = await channel.send({ content: `@everyone <@${users[0]}> <@1180000000000000078> hello`, allowedMentions: { parse: [], users } });
  assert.deepEqual([[...sent.mentions.users.keys()], sent.mentions.everyone], [users, false]);
  assert.equal((await channel.send({ content: "@everyone", allowedMentions: { parse: ["everyone"] } })).mentions.everyone, true);
  await assert.rejects(channel.send("x".repeat(2001)), { code: 50035, status: 400 });
  await assert.rejects(client.rest.post("/channels/1/messages", { body: { content: "x" } }), { code: 10003, status: 404 });
  await assert.rejects(client.application.commands.set(COMMANDS, "1"), { code: 50001, status: 403 });
  await assert.rejects(client.application.commands.set([{ name: "Not Right", description: "x" }], discord.server_id), { code: 50035 });
  const kept = await discord.ask("GET", "messages");
  assert.deepEqual([kept.length, kept[0].id], [2, sent.id]);
});

test("the library waits when a limit is used up, and when it is told to", async () => {
  await connected();
  await discord.ask("POST", "limits", { messages: [2, 1] });
  const channel = await client.channels.fetch(discord.channel_id);
  const path = `/api/v10/channels/${discord.channel_id}/messages`;
  for (let count = 1; count <= 5; count += 1) await channel.send(`message ${count}`);
  const sent = await discord.seen(path);
  // It knows from the headers when to stop, and is never refused.
  assert.deepEqual(sent.map((one) => one.status), [200, 200, 200, 200, 200]);
  assert.ok(sent[2].at_ms - sent[0].at_ms >= 950, `${sent[2].at_ms - sent[0].at_ms}`);

  await discord.ask("DELETE", "seen");
  await discord.fault({ match: path, kind: "status", status: 429, retry_after: 1.5, times: 1 });
  await channel.send("after a refusal");
  const [refused, taken] = await discord.seen(path);
  assert.deepEqual([refused.status, taken.status], [429, 200]);
  assert.ok(taken.at_ms - refused.at_ms >= 1400, `${taken.at_ms - refused.at_ms}`);
});

test("a limit that is not heeded is answered 429, with the time to wait", async () => {
  await discord.ask("POST", "limits", { messages: [1, 30] });
  const send = () => fetch(`${discord.api}/channels/${discord.channel_id}/messages`, {
    method: "POST", body: JSON.stringify({ content: "x" }), headers: { authorization: `Bot ${discord.token}`, "content-type": "application/json", "user-agent": "DiscordBot (https://example.com, 1)" },
  });
  const first = await send();
  assert.deepEqual([first.status, first.headers.get("x-ratelimit-limit"), first.headers.get("x-ratelimit-remaining")], [200, "1", "0"]);
  assert.ok(first.headers.get("x-ratelimit-bucket") && Number(first.headers.get("x-ratelimit-reset")) > Date.now() / 1000);
  const second = await send();
  const { message, retry_after: wait, global } = await second.json();
  assert.deepEqual([second.status, message, global, second.headers.get("x-ratelimit-scope")], [429, "You are being rate limited.", false, "user"]);
  assert.ok(wait > 25 && wait <= 30 && Number(second.headers.get("retry-after")) >= wait);
  assert.equal((await fetch(`${discord.api}/users/@me`)).status, 401);
  assert.equal((await fetch(`${discord.api}/users/@me`, { headers: { authorization: `Bot ${discord.token}` } })).status, 403);
});

/** Cuts the library off by `request` and has it resume; what happened meanwhile reaches it. */
async function resumes(request, body) {
  await discord.ask("DELETE", "frames");
  const { sessions: [before] } = await discord.ask("GET", "gateway");
  const resumed = once(client, "shardResume", { signal: AbortSignal.timeout(LIMIT_MS) });
  const missed = heard("interactionCreate");
  await discord.ask("POST", request, body);
  await discord.ask("POST", "interaction", { name: "notify-stop", user: { id: "1180000000000000055" } });
  await resumed;
  assert.equal((await missed).user.id, "1180000000000000055");
  const [resume] = await frames(6, 1);
  assert.deepEqual([resume.d.session_id, resume.path], [before.id, "/resume"]);
  assert.deepEqual(await discord.ask("GET", "frames?op=2"), [], "it has not identified anew");
}

test("the library resumes after a connection is lost, closed or to be made anew", async () => {
  await connected();
  await resumes("drop", {});
  await resumes("drop", { code: 4000, reason: "Unknown error" });
  await resumes("reconnect", {});
});

test("the library resumes when nobody acknowledges its beats", async () => {
  await discord.ask("POST", "settings", { heartbeat_ms: 500 });
  await connected();
  const [first, second] = await frames(1, 3);
  assert.ok(Number.isInteger(first.d) && second.at_ms - first.at_ms >= 400);
  await discord.ask("POST", "settings", { acks: false });
  await discord.ask("DELETE", "frames");
  const [resume] = await frames(6, 1);
  assert.equal(resume.d.token, discord.token);
  await discord.ask("POST", "settings", { acks: true });
});

test("the library identifies anew when its session is gone", async () => {
  await connected();
  await discord.ask("DELETE", "frames");
  await discord.ask("POST", "forget", {});
  await discord.ask("POST", "drop", {});
  const [resume] = await frames(6, 1);
  const [identify] = await frames(2, 1);
  assert.ok(identify.at_ms >= resume.at_ms && identify.connection > resume.connection);
});

test("a wrong token ends it", async () => {
  client = new Client({ intents: [GatewayIntentBits.Guilds], rest: { api: `${discord.url}/api` } });
  await assert.rejects(client.login("a.wrong.token"), { code: "TokenInvalid" });
});

/** The code that a gateway client of this kind is closed with. */
async function closedAfter(frame, path = "/?v=10&encoding=json") {
  const ws = new WebSocket(`${discord.gateway}${path}`);
  ws.once("message", () => ws.send(typeof frame === "string" ? frame : JSON.stringify(frame)));
  const [code] = await once(ws, "close");
  return code;
}

test("what a gateway client does wrong has its code", async () => {
  const identify = { token: discord.token, intents: 1, properties: { os: "linux", browser: "x", device: "x" } };
  assert.equal(await closedAfter({ op: 2, d: { ...identify, token: "wrong" } }), 4004);
  assert.equal(await closedAfter({ op: 2, d: { ...identify, intents: 1 << 1 } }), 4014);
  assert.equal(await closedAfter({ op: 2, d: { ...identify, intents: "1" } }), 4013);
  assert.equal(await closedAfter({ op: 6, d: { token: "wrong", session_id: "x", seq: 1 } }), 4004);
  assert.equal(await closedAfter({ op: 3, d: {} }), 4003);
  assert.equal(await closedAfter("{"), 4002);
  assert.equal(await closedAfter(JSON.stringify({ op: 1, d: "x".repeat(4096) })), 4002);
  assert.equal(await closedAfter({}, "/?v=9&encoding=json"), 4012);
  await discord.ask("POST", "settings", { heartbeat_ms: 100 });
  assert.equal(await closedAfter({ op: 2, d: identify }), 4009, "no beat");
});

test("the gateway is reached over TLS too, and fails as it is told to", async () => {
  await discord.fault({ match: "/?v=10", kind: "status", status: 503, times: 1 });
  const failed = async () => (await once(new WebSocket(`${discord.gateway}/?v=10&encoding=json`), "open").catch((error) => error)).message;
  assert.match(await failed(), /503/);
  await discord.fault({ match: "/?v=10", kind: "refuse", times: 1 });
  assert.match(await failed(), /socket hang up/);
  const secret = await start("discord", "--tls");
  try {
    const ws = new WebSocket(`${secret.gateway}/?v=10&encoding=json`, { ca: readFileSync(secret.ca) });
    const [hello] = await once(ws, "message");
    assert.equal(JSON.parse(hello).op, 10);
    ws.close();
  } finally {
    await secret.end();
  }
});
