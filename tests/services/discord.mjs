// A stand-in for Discord: the part of its REST API, version 10, that a bot with slash commands uses, and the gateway
// (`discord_gateway.mjs`). One bot in one server with one channel.
//
//   node tests/services/discord.mjs [--token TOKEN] [--server-id ID] [--channel-id ID] [--application-id ID]

import { createHash, randomBytes } from "node:crypto";

import { Gateway } from "./discord_gateway.mjs";
import { Refused, json, run } from "./stand_in.mjs";

const BOT = "1180000000000000001";
const FLAGS = {
  token: { type: "string", default: `${Buffer.from(BOT).toString("base64url")}.GxStnd.inTokenOfAStandInForDiscordBots0123456` },
  "server-id": { type: "string", default: "1180000000000000002" },
  "channel-id": { type: "string", default: "1180000000000000003" },
  // Of older bots the application has another id than its user.
  "application-id": { type: "string", default: BOT },
};
const EPOCH_MS = 1_420_070_400_000n;
const CONTENT_CHARACTERS_MAX = 2000;
const MENTIONS_MAX = 100;
/** Requests in so many seconds, by kind of call. */
const LIMITS = { messages: [5, 5], commands: [5, 20], callback: [50, 1], other: [50, 1] };
/** An interaction is to be answered in this time. */
const ANSWER_MS_MAX = 3000;

let issued = 0n;
/** An id that tells when it was made. */
const snowflake = () => String(((BigInt(Date.now()) - EPOCH_MS) << 22n) | (issued++ & 0xfffn));

const refusal = (status, code, message, more = {}) => json({ message, code, ...more }, status);
const refuse = (...args) => {
  throw new Refused(refusal(...args));
};
const invalid = (field, code, message) => refuse(400, 50035, "Invalid Form Body", { errors: { [field]: { _errors: [{ code, message }] } } });

/** 429 as Discord says it, with the time to wait in the body too. */
function limited(seconds, isGlobal, headers = {}) {
  const body = { message: "You are being rate limited.", retry_after: seconds, global: isGlobal };
  const scope = isGlobal ? { "x-ratelimit-global": "true", "x-ratelimit-scope": "global" } : { "x-ratelimit-scope": "user" };
  return json(body, 429, { "retry-after": String(Math.ceil(seconds)), ...scope, ...headers });
}

/** What was left of each limit when it was last asked for. */
class Limits {
  #windows = new Map();
  sizes = { ...LIMITS };

  take(kind, place) {
    const [limit, seconds] = this.sizes[kind];
    const now = Date.now() / 1000;
    const name = `${kind} ${place}`;
    let window = this.#windows.get(name);
    if (window === undefined || window.resetAt <= now) this.#windows.set(name, (window = { count: 0, resetAt: now + seconds }));
    window.count += 1;
    const after = window.resetAt - now;
    const headers = {
      "x-ratelimit-limit": String(limit), "x-ratelimit-remaining": String(Math.max(0, limit - window.count)), "x-ratelimit-reset": window.resetAt.toFixed(3),
      "x-ratelimit-reset-after": after.toFixed(3), "x-ratelimit-bucket": createHash("md5").update(kind).digest("hex"),
    };
    return { headers, reply: window.count > limit ? limited(Number(after.toFixed(3)), false, headers) : undefined };
  }

  set(sizes) {
    Object.assign(this.sizes, sizes);
    this.#windows.clear();
    return this.sizes;
  }
}

class Server {
  messages = [];
  commands = [];
  interactions = [];
  limits = new Limits();
  settings = { answer_ms: ANSWER_MS_MAX };

  constructor(options, url, log) {
    this.token = options.token;
    const user = { id: BOT, username: "gopool", discriminator: "0", global_name: null, avatar: null, bot: true, verified: true, mfa_enabled: false, email: null, flags: 0 };
    const guild = { id: options["server-id"], name: "A server", owner_id: snowflake(), roles: [], emojis: [], features: [], members: [], threads: [], voice_states: [], presences: [], stickers: [], member_count: 2, large: false, unavailable: false, joined_at: new Date().toISOString(), preferred_locale: "en-US", system_channel_id: null, stage_instances: [], guild_scheduled_events: [], soundboard_sounds: [] };
    this.channel = { id: options["channel-id"], type: 0, guild_id: guild.id, name: "pool", position: 0, permission_overwrites: [], nsfw: false, parent_id: null, topic: null, last_message_id: null };
    this.bot = { token: options.token, user, application: { id: options["application-id"], flags: 0 }, guild: { ...guild, channels: [this.channel] } };
    this.gateway = new Gateway(url.replace(/^http/, "ws"), this.bot, log);
  }

  admit({ headers }) {
    if (headers.authorization !== `Bot ${this.token}`) refuse(401, 0, "401: Unauthorized");
    // What stands before Discord's servers wants to know who is asking.
    if (!/^DiscordBot \(\S+, \S+\)/.test(headers["user-agent"] ?? "")) refuse(403, 40333, "internal network error");
  }

  setCommands(guildId, commands) {
    if (guildId !== this.bot.guild.id) refuse(403, 50001, "Missing Access");
    if (!Array.isArray(commands)) invalid("_errors", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
    const named = (one) => /^[-_'\p{L}\p{N}]{1,32}$/u.test(one.name ?? "") && one.name === one.name.toLowerCase();
    const described = (one) => typeof one.description === "string" && one.description.length >= 1 && one.description.length <= 100;
    for (const command of commands) {
      if (![command, ...(command.options ?? [])].every(named)) invalid("name", "STRING_TYPE_REGEX", "String value did not match validation regex.");
      if ((command.type ?? 1) === 1 && ![command, ...(command.options ?? [])].every(described)) invalid("description", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.");
    }
    this.commands = commands.map((command) => ({
      type: 1, default_member_permissions: null, nsfw: false, options: [], ...command, id: snowflake(), application_id: this.bot.application.id, guild_id: guildId, version: snowflake(),
    }));
    return this.commands;
  }

  send(channelId, asked) {
    if (channelId !== this.channel.id) refuse(404, 10003, "Unknown Channel");
    const content = asked.content ?? "";
    if (content === "" && !asked.embeds?.length) refuse(400, 50006, "Cannot send an empty message");
    if ([...content].length > CONTENT_CHARACTERS_MAX) invalid("content", "BASE_TYPE_MAX_LENGTH", `Must be ${CONTENT_CHARACTERS_MAX} or fewer in length.`);
    const { parse, users } = asked.allowed_mentions ?? {};
    if (parse?.includes("users") && users?.length) invalid("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", "parse:[\"users\"] and users: [ids...] are mutually exclusive.");
    if (users?.length > MENTIONS_MAX) invalid("users", "BASE_TYPE_MAX_LENGTH", `Must be ${MENTIONS_MAX} or fewer in length.`);
    const earlier = asked.enforce_nonce && this.messages.find((one) => one.nonce !== undefined && one.nonce === asked.nonce);
    if (earlier) return earlier;
    // Without a word on mentions all of them count.
    const isAll = (kind) => asked.allowed_mentions === undefined || parse?.includes(kind);
    const named = [...new Set([...content.matchAll(/<@!?(\d+)>/g)].map(([, user]) => user))];
    const pinged = named.filter((user) => isAll("users") || users?.includes(user));
    const isEveryone = /@(everyone|here)\b/.test(content) && isAll("everyone");
    const message = {
      id: snowflake(), type: 0, channel_id: channelId, author: this.bot.user, content, timestamp: new Date().toISOString(), edited_timestamp: null, tts: false,
      mention_everyone: isEveryone, mentions: pinged.map((user) => ({ id: user, username: `user${user.slice(-4)}`, discriminator: "0", global_name: null, avatar: null })),
      mention_roles: [], attachments: [], embeds: asked.embeds ?? [], pinned: false, flags: asked.flags ?? 0, components: [], nonce: asked.nonce,
    };
    this.messages.push(message);
    return message;
  }

  /** Somebody uses a command. `guild_id` null: in a direct message. */
  interact({ name, options = {}, user = {}, guild_id: guildId = this.bot.guild.id, channel_id: channelId = this.channel.id }) {
    const who = { id: "1180000000000000009", username: "miner", discriminator: "0", global_name: "Miner", avatar: null, ...user };
    const member = { user: who, roles: [], nick: null, avatar: null, joined_at: "2024-01-01T00:00:00.000000+00:00", deaf: false, mute: false, flags: 0, pending: false, permissions: "2248473465835073", communication_disabled_until: null, premium_since: null };
    const command = this.commands.find((one) => one.name === name);
    const place = guildId === null ? { user: who, context: 1 } : { member, guild_id: guildId, guild: { id: guildId, locale: "en-US", features: [] }, guild_locale: "en-US", context: 0 };
    const typed = (value) => ({ string: 3, boolean: 5 })[typeof value] ?? (Number.isInteger(value) ? 4 : 10);
    const interaction = {
      id: snowflake(), application_id: this.bot.application.id, type: 2, token: randomBytes(80).toString("base64url"), version: 1, channel_id: channelId,
      channel: guildId === null ? { id: channelId, type: 1 } : { ...this.channel, id: channelId, guild_id: guildId }, locale: "en-US", app_permissions: "562949953601536", entitlements: [], entitlement_sku_ids: [],
      authorizing_integration_owners: guildId === null ? { 1: who.id } : { 0: guildId }, attachment_size_limit: 10_485_760, ...place,
      data: { id: command?.id ?? snowflake(), name, type: 1, ...(guildId === null ? {} : { guild_id: guildId }), options: Object.entries(options).map(([option, value]) => ({ name: option, type: typed(value), value })) },
    };
    this.interactions.push({ id: interaction.id, token: interaction.token, name, at_ms: Date.now(), answer: null });
    this.gateway.dispatch("INTERACTION_CREATE", interaction);
    return { id: interaction.id, token: interaction.token };
  }

  answerInteraction(id, token, asked, query) {
    const found = this.interactions.find((one) => one.id === id && one.token === token);
    const isLate = found !== undefined && Date.now() - found.at_ms > this.settings.answer_ms;
    if (found === undefined || isLate) refuse(404, 10062, "Unknown interaction");
    if (found.answer !== null) refuse(400, 40060, "Interaction has already been acknowledged.");
    if (![1, 4, 5, 6, 7, 8, 9].includes(asked.type)) invalid("type", "BASE_TYPE_CHOICES", "Value must be one of (4, 5, 6, 7, 8, 9).");
    if (asked.type === 4 && !asked.data?.content && !asked.data?.embeds?.length) refuse(400, 50006, "Cannot send an empty message");
    if ([...(asked.data?.content ?? "")].length > CONTENT_CHARACTERS_MAX) invalid("content", "BASE_TYPE_MAX_LENGTH", `Must be ${CONTENT_CHARACTERS_MAX} or fewer in length.`);
    found.answer = asked;
    found.answered_ms = Date.now() - found.at_ms;
    if (query.get("with_response") !== "true") return { status: 204 };
    const isEphemeral = Boolean((asked.data?.flags ?? 0) & 64);
    return json({ interaction: { id, type: 2, response_message_id: snowflake(), response_message_loading: false, response_message_ephemeral: isEphemeral }, resource: { type: asked.type } });
  }
}

function answer(server, request) {
  const { method, path, query } = request;
  const route = path.replace(/^\/api\/v10\//, "");
  const asked = () => {
    try {
      return JSON.parse(request.body.toString());
    } catch {
      return refuse(400, 50109, "The request body contains invalid JSON.");
    }
  };
  const parts = route === path ? [] : route.split("/");
  const shape = `${method} ${parts.map((part) => (/^\d+$/.test(part) ? ":id" : part)).join("/")}`;
  if (method === "POST" && parts[0] === "interactions" && parts[3] === "callback") {
    return withLimit(server, "callback", parts[1], () => server.answerInteraction(parts[1], parts[2], asked(), query));
  }
  server.admit(request);
  const { gateway, bot } = server;
  const calls = {
    "GET gateway/bot": () => json({ url: gateway.url, shards: 1, session_start_limit: { total: 1000, remaining: gateway.settings.sessions_left, reset_after: 86_400_000, max_concurrency: 1 } }),
    "GET users/@me": () => json(bot.user),
    "GET applications/@me": () => json({ ...bot.application, name: bot.user.username, description: "", bot: bot.user }),
    "GET channels/:id": () => (parts[1] === server.channel.id ? json(server.channel) : refuse(404, 10003, "Unknown Channel")),
    "POST channels/:id/messages": () => json(server.send(parts[1], asked())),
    "PUT applications/:id/guilds/:id/commands": () => (parts[1] === bot.application.id ? json(server.setCommands(parts[3], asked())) : refuse(403, 20012, "You are not authorized to perform this action on this application")),
    "GET applications/:id/guilds/:id/commands": () => json(server.commands),
  };
  const kinds = { messages: "messages", commands: "commands" };
  return withLimit(server, kinds[parts.at(-1)] ?? "other", `${method} ${parts[1] ?? ""}`, calls[shape] ?? (() => refuse(404, 0, "404: Not Found")));
}

/** The answer, and how much of its limit is left. */
function withLimit(server, kind, place, act) {
  const { headers, reply } = server.limits.take(kind, place);
  if (reply !== undefined) return reply;
  try {
    const done = act();
    return { ...done, headers: { ...done.headers, ...headers } };
  } catch (error) {
    if (error instanceof Refused) return { ...error.reply, headers: { ...error.reply.headers, ...headers } };
    throw error;
  }
}

await run(FLAGS, (options, url, log) => {
  const server = new Server(options, url, log);
  const gatewayControl = server.gateway.control();
  return {
    answer: (request) => answer(server, request),
    upgrade: (request, socket, head) => server.gateway.upgrade(request, socket, head),
    refusal: (status, fault) => (status === 429 ? limited(fault.retry_after ?? 1, fault.global ?? false) : refusal(status, 0, `${status}: Asked for by a test`)),
    shown: {
      api: `${url}/api/v10`, gateway: server.gateway.url, token: options.token, server_id: options["server-id"], channel_id: options["channel-id"],
      application_id: options["application-id"], bot_id: BOT,
    },
    control: {
      ...gatewayControl,
      "GET messages": () => server.messages,
      "GET commands": () => server.commands,
      "GET interactions": () => server.interactions,
      "POST interaction": (asked) => server.interact(asked),
      "POST limits": (sizes) => server.limits.set(sizes),
      "POST settings": ({ answer_ms: answerMs = server.settings.answer_ms, ...rest }) => {
        server.settings.answer_ms = answerMs;
        return { ...gatewayControl["POST settings"](rest), answer_ms: answerMs };
      },
    },
  };
});
