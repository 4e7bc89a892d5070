// Receives what a pool sends to people: webhooks, ntfy, Telegram (`telegram.mjs`). And it has CoinGecko's price.
//
//   node tests/services/inbox.mjs [--bot-token TOKEN] [--chat-id ID] [--ntfy-token TOKEN]

import { randomBytes } from "node:crypto";

import { Refused, json, run } from "./stand_in.mjs";
import { Telegram, telegramRefusal } from "./telegram.mjs";

const FLAGS = {
  "bot-token": { type: "string", default: "110201543:AAStandInStandInStandInStandInStan" },
  "chat-id": { type: "string", default: "424242" },
  // Without one anybody may publish.
  "ntfy-token": { type: "string" },
};
const NTFY_MESSAGE_BYTES_MAX = 4096;
const NTFY_KEPT_SECONDS = 12 * 3600;
/** ntfy's headers, by any of their names. */
const NTFY_NAMES = {
  title: ["x-title", "title", "ti", "t"], message: ["x-message", "message", "m"], priority: ["x-priority", "priority", "prio", "p"], tags: ["x-tags", "tags", "tag", "ta"],
  click: ["x-click", "click"], icon: ["x-icon", "icon"], actions: ["x-actions", "actions", "action"], markdown: ["x-markdown", "markdown", "md"], delay: ["x-delay", "delay", "x-at", "at", "x-in", "in"],
};
const NTFY_PRIORITIES = { 1: 1, min: 1, 2: 2, low: 2, 3: 3, default: 3, 4: 4, high: 4, 5: 5, max: 5, urgent: 5 };

const ntfyRefusal = (http, code, error) => json({ code, http, error, link: "https://ntfy.sh/docs/publish/" }, http);
const ntfyRefuse = (...args) => {
  throw new Refused(ntfyRefusal(...args));
};

/** A header's text: Latin-1 on the wire, UTF-8 in truth, or encoded as in mail (RFC 2047). */
function headerText(value) {
  const text = Buffer.from(value, "latin1").toString("utf8");
  return text.replace(/=\?utf-8\?(b|q)\?([^?]*)\?=/gi, (_, kind, coded) => {
    if (kind.toLowerCase() === "b") return Buffer.from(coded, "base64").toString();
    return Buffer.from(coded.replaceAll("_", " ").replace(/=([0-9A-F]{2})/gi, (__, hex) => String.fromCharCode(parseInt(hex, 16))), "latin1").toString();
  });
}

function ntfy({ method, path, headers, query, body }, token, received) {
  if (token !== undefined && headers.authorization !== `Bearer ${token}`) {
    if (headers.authorization === undefined) ntfyRefuse(403, 40301, "forbidden");
    ntfyRefuse(401, 40101, "unauthorized");
  }
  if (path !== "/" && !/^\/[-_A-Za-z0-9]{1,64}$/.test(path)) ntfyRefuse(404, 40401, "page not found");
  if (!["POST", "PUT"].includes(method)) ntfyRefuse(404, 40401, "page not found");
  let asked = {};
  if (path === "/") {
    // JSON goes to the root, and names its topic.
    try {
      asked = JSON.parse(body.toString());
    } catch {
      ntfyRefuse(400, 40024, "invalid request: request body must be valid JSON");
    }
    if (!/^[-_A-Za-z0-9]{1,64}$/.test(asked.topic ?? "")) ntfyRefuse(400, 40009, "invalid request: topic invalid");
  } else {
    const given = ([name, names]) => [name, names.map((one) => (headers[one] === undefined ? query.get(one) : headerText(headers[one]))).find((value) => value !== null)];
    asked = Object.fromEntries(Object.entries(NTFY_NAMES).map(given).filter(([, value]) => value !== undefined));
    Object.assign(asked, { topic: path.slice(1), message: asked.message ?? body.toString() }, asked.tags && { tags: asked.tags.split(",").map((tag) => tag.trim()) });
  }
  const priority = asked.priority === undefined ? undefined : NTFY_PRIORITIES[String(asked.priority).toLowerCase()];
  if (asked.priority !== undefined && priority === undefined) ntfyRefuse(400, 40007, "invalid request: priority invalid");
  const time = Math.floor(Date.now() / 1000);
  const isLong = Buffer.byteLength(asked.message ?? "") > NTFY_MESSAGE_BYTES_MAX;
  // What is too long for a message becomes a file, which nobody reads on a phone.
  const file = isLong ? { attachment: { name: "attachment.txt", type: "text/plain; charset=utf-8", size: Buffer.byteLength(asked.message), expires: time + 10_800 } } : {};
  const message = {
    id: randomBytes(9).toString("base64url"), time, expires: time + NTFY_KEPT_SECONDS, event: "message", ...asked, ...(priority && { priority }),
    message: isLong ? "You received a file: attachment.txt" : asked.message || "triggered", ...file,
  };
  received("ntfy", message);
  return json(message);
}

function price({ query }, prices) {
  const named = (name) => query.get(name)?.split(",").filter(Boolean) ?? [];
  for (const name of ["vs_currencies", "ids"]) if (named(name).length === 0) return json({ error: `Missing parameter ${name}` }, 422);
  const of = (coin) => Object.fromEntries(named("vs_currencies").map((one) => [one.toLowerCase(), prices[coin][one.toLowerCase()]]).filter(([, value]) => value != null));
  return json(Object.fromEntries(named("ids").filter((coin) => prices[coin]).map((coin) => [coin, of(coin)])));
}

/** Whose path this is. */
function serviceOf(path) {
  if (/^\/bot[^/]+\//.test(path)) return "telegram";
  if (path.startsWith("/api/v3/")) return "coingecko";
  return path === "/webhook" || path.startsWith("/webhook/") ? "webhook" : "ntfy";
}

function refusal(status, fault, path) {
  const said = "Asked for by a test";
  switch (serviceOf(path)) {
    case "telegram":
      return status === 429 ? telegramRefusal(429, `Too Many Requests: retry after ${fault.retry_after ?? 1}`, fault.retry_after ?? 1) : telegramRefusal(status, said);
    case "coingecko":
      return json({ status: { error_code: status, error_message: status === 429 ? "You've exceeded the Rate Limit." : said } }, status);
    case "ntfy":
      return ntfyRefusal(status, status * 100 + 1, status === 429 ? "limit reached: too many requests" : said);
    default:
      return json({ error: said }, status);
  }
}

await run(FLAGS, (options, url, log) => {
  const inbox = [];
  const received = (service, what) => inbox.push({ service, at_ms: Date.now(), ...what });
  const telegram = new Telegram(options, log, received);
  const prices = { bitcoin: { usd: 60_000.5, eur: 55_000 } };

  async function answer(request) {
    const { path, method, headers, body } = request;
    switch (serviceOf(path)) {
      case "telegram": {
        const [, token, name] = /^\/bot([^/]+)\/(.*)$/.exec(path);
        return telegram.answer(decodeURIComponent(token), name, request);
      }
      case "coingecko":
        if (path === "/api/v3/simple/price" && method === "GET") return price(request, prices);
        if (path === "/api/v3/ping") return json({ gecko_says: "(V3) To the Moon!" });
        return json({ error: "Incorrect path. Please check https://www.coingecko.com/api/" }, 404);
      case "webhook": {
        if (method !== "POST") return json({ error: "method not allowed" }, 405);
        let said;
        try {
          said = JSON.parse(body.toString());
        } catch {
          return json({ error: "the body is no JSON" }, 400);
        }
        received("webhook", { path, headers, text: body.toString(), body: said });
        return json({ ok: true });
      }
      default:
        return ntfy(request, options["ntfy-token"], received);
    }
  }

  async function waited(query) {
    const service = query.get("service");
    const fitting = () => inbox.filter((one) => service === null || one.service === service);
    const count = Number(query.get("count") ?? 0);
    await log.until(() => fitting().length >= count, Number(query.get("seconds") ?? 10) * 1000);
    return fitting();
  }

  return {
    answer,
    refusal,
    shown: {
      webhook: `${url}/webhook`, ntfy: url, ntfy_token: options["ntfy-token"], telegram: url, bot_token: options["bot-token"],
      chat_id: Number(options["chat-id"]), coingecko: `${url}/api/v3`,
    },
    control: {
      "GET inbox": (_, query) => waited(query),
      "DELETE inbox": () => ({ forgotten: inbox.splice(0).length }),
      "POST update": (asked) => telegram.inject(asked),
      "POST block": ({ chat_ids: ids }) => {
        telegram.blocked = ids;
      },
      "POST price": (asked) => Object.assign(prices.bitcoin, asked),
    },
  };
});
