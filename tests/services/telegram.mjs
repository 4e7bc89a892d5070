// The part of Telegram's bot API that `inbox.mjs` answers: who am I, send a message, and what has come in.

import { Refused, json } from "./stand_in.mjs";

const TEXT_CHARACTERS_MAX = 4096;
const POLL_SECONDS_MAX = 50;
const UPDATES_MAX = 100;
const TAGS = ["b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "a", "span", "tg-spoiler", "tg-emoji", "blockquote"];

/** A refusal in Telegram's words; `after`: seconds to wait. */
export function telegramRefusal(status, description, after) {
  const parameters = after === undefined ? {} : { parameters: { retry_after: after } };
  return json({ ok: false, error_code: status, description, ...parameters }, status);
}
const refuse = (...args) => {
  throw new Refused(telegramRefusal(...args));
};

export class Telegram {
  #updates = [];
  #poll;
  #lastUpdate = 0;
  #lastMessage = 0;
  /** Chats that would not have us. */
  blocked = [];

  constructor(options, log, received) {
    Object.assign(this, { token: options["bot-token"], log, received, chats: [Number(options["chat-id"])] });
    this.me = { id: Number(this.token.split(":")[0]), is_bot: true, first_name: "goPool", username: "gopool_test_bot", can_join_groups: true, can_read_all_group_messages: false, supports_inline_queries: false };
  }

  /** Somebody writes to the bot, or whatever else `update` says. */
  inject({ text, from = {}, chat = {}, update }) {
    this.#lastUpdate += 1;
    const id = this.chats[0];
    const who = { id, is_bot: false, first_name: "Miner", username: "miner", language_code: "en", ...from };
    const where = { id: who.id, type: "private", first_name: who.first_name, username: who.username, ...chat };
    const command = /^\/[A-Za-z0-9_]+(@\w+)?/.exec(text ?? "")?.[0];
    const entities = command ? { entities: [{ type: "bot_command", offset: 0, length: command.length }] } : {};
    const message = { message_id: this.#nextMessage(), from: who, chat: where, date: Math.floor(Date.now() / 1000), text, ...entities };
    const made = { update_id: this.#lastUpdate, ...(update ?? { message }) };
    // A bot may write to whoever has written to it.
    if (update === undefined && !this.chats.includes(where.id)) this.chats.push(where.id);
    this.#updates.push(made);
    this.log.changed();
    return made;
  }

  async answer(token, method, request) {
    if (token !== this.token) refuse(/^\d+:[\w-]{30,}$/.test(token) ? 401 : 404, /^\d+:[\w-]{30,}$/.test(token) ? "Unauthorized" : "Not Found");
    const asked = parameters(request);
    const say = (result) => json({ ok: true, result });
    switch (method.toLowerCase()) {
      case "getme":
        return say(this.me);
      case "sendmessage":
        return say(this.#send(asked));
      case "getupdates":
        return say(await this.#updatesFor(asked, request.signal));
      case "deletewebhook":
        return say(true);
      default:
        return refuse(404, "Not Found");
    }
  }

  #nextMessage() {
    this.#lastMessage += 1;
    return this.#lastMessage;
  }

  #send(asked) {
    const id = /^-?\d+$/.test(String(asked.chat_id)) ? Number(asked.chat_id) : asked.chat_id;
    const text = asked.text ?? "";
    if (asked.chat_id === undefined || asked.chat_id === "") refuse(400, "Bad Request: chat_id is empty");
    if (text === "") refuse(400, "Bad Request: message text is empty");
    if (this.blocked.includes(id)) refuse(403, "Forbidden: bot was blocked by the user");
    if (!this.chats.includes(id)) refuse(400, "Bad Request: chat not found");
    if ([...text].length > TEXT_CHARACTERS_MAX) refuse(400, "Bad Request: message is too long");
    const problem = { html: htmlProblem, markdownv2: markdownProblem }[asked.parse_mode?.toLowerCase()]?.(text);
    if (problem !== undefined) refuse(400, `Bad Request: can't parse entities: ${problem}`);
    const message = { message_id: this.#nextMessage(), from: this.me, chat: { id, type: id < 0 ? "supergroup" : "private" }, date: Math.floor(Date.now() / 1000), text };
    this.received("telegram", { ...asked, chat_id: id });
    return message;
  }

  /** Waits for something to come in; whoever waited already is told that there is another. */
  async #updatesFor({ offset = 0, limit = UPDATES_MAX, timeout = 0 }, signal) {
    this.#poll?.abort();
    const mine = new AbortController();
    this.#poll = mine;
    const first = Number(offset);
    if (first < 0) this.#updates = this.#updates.slice(first);
    else this.#updates = this.#updates.filter((update) => update.update_id >= first);
    const isOver = () => mine.signal.aborted || signal.aborted;
    mine.signal.addEventListener("abort", () => this.log.changed());
    signal.addEventListener("abort", () => this.log.changed());
    await this.log.until(() => isOver() || this.#updates.length > 0, Math.min(Number(timeout), POLL_SECONDS_MAX) * 1000);
    if (mine.signal.aborted) refuse(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running");
    this.#poll = undefined;
    return this.#updates.slice(0, Math.min(Number(limit), UPDATES_MAX));
  }
}

function parameters({ query, headers, body }) {
  const inQuery = Object.fromEntries(query);
  const text = body.toString();
  if (text === "") return inQuery;
  if (headers["content-type"]?.startsWith("application/x-www-form-urlencoded")) return { ...inQuery, ...Object.fromEntries(new URLSearchParams(text)) };
  try {
    return { ...inQuery, ...JSON.parse(text) };
  } catch {
    return refuse(400, "Bad Request: can't parse JSON object");
  }
}

/** Why Telegram would not take this as HTML, as far as this looks. */
function htmlProblem(text) {
  const open = [];
  for (const { 0: tag, 1: end, 2: name, index } of text.matchAll(/<(\/?)([^\s>]*)[^>]*>?/g)) {
    const at = Buffer.byteLength(text.slice(0, index));
    if (!tag.endsWith(">")) return `Unclosed start tag at byte offset ${at}`;
    if (!TAGS.includes(name.toLowerCase())) return `Unsupported start tag "${name}" at byte offset ${at}`;
    if (end === "") open.push(name);
    else if (open.pop() !== name) return `Unmatched end tag at byte offset ${at}`;
  }
  return open.length > 0 ? `Can't find end tag corresponding to start tag "${open.at(-1)}"` : undefined;
}

/** The same for MarkdownV2: outside code and links the reserved characters are escaped, or come in pairs. */
function markdownProblem(text) {
  const plain = text.replace(/\\[\x21-\x7e]/g, "").replace(/```[^`]*```|`[^`]*`/g, "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/^>/gm, "");
  const reserved = /[[\]()>#+\-=|{}.!]/.exec(plain)?.[0];
  if (reserved !== undefined) return `Character '${reserved}' is reserved and must be escaped with the preceding '\\'`;
  const odd = ["*", "_", "~", "`"].find((mark) => plain.split(mark).length % 2 === 0);
  return odd && `Can't find end of the entity starting with '${odd}'`;
}
