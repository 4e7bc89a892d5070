// A stand-in for Clerk: the keys of session tokens, the backend's API, a hosted page to sign in, and what a page's scripts need.
//
//   node tests/services/clerk.mjs [--secret-key KEY]

import { readFileSync } from "node:fs";

import { Keys, id } from "./clerk_tokens.mjs";
import { Refused, json, run } from "./stand_in.mjs";

const SCRIPT = readFileSync(new URL("clerk_browser.js", import.meta.url), "utf8");
const SCRIPT_PATH = /^\/npm\/@clerk\/clerk-js@[^/]+\/dist\/clerk\.browser\.js$/;
const FLAGS = { "secret-key": { type: "string", default: "sk_test_0123456789abcdefghijABCDEFGHIJ0123456789" } };
const SESSION_MS = 7 * 24 * 3600 * 1000;
const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

const refusal = (status, code, message) => json({ errors: [{ message, long_message: message, code }], clerk_trace_id: "0".repeat(32) }, status);
const refuse = (status, code, message) => {
  throw new Refused(refusal(status, code, message));
};
const missing = (what) => refuse(404, "resource_not_found", `${what} not found`);

/** Users, browsers, and who is signed in where. */
class Directory {
  constructor(keys) {
    this.keys = keys;
    this.users = new Map();
    this.sessions = new Map();
    /** A browser of a development instance, by the token that it hands around. */
    this.browsers = new Map();
    this.addUser({ id: "user_2standinstandinstandinstan", email: "miner@example.com", first_name: "Test", last_name: "Miner" });
  }

  addUser({ id: key = id("user"), email = `${key}@example.com`, first_name = null, last_name = null }) {
    const address = { id: id("idn"), object: "email_address", email_address: email, verification: { status: "verified", strategy: "email_code" }, linked_to: [] };
    const times = { created_at: Date.now(), updated_at: Date.now(), last_sign_in_at: null, last_active_at: null };
    const user = {
      id: key, object: "user", username: null, first_name, last_name, image_url: "", has_image: false, primary_email_address_id: address.id,
      email_addresses: [address], phone_numbers: [], web3_wallets: [], external_accounts: [], public_metadata: {}, private_metadata: {}, unsafe_metadata: {},
      external_id: null, password_enabled: true, two_factor_enabled: false, banned: false, locked: false, ...times,
    };
    this.users.set(key, user);
    return user;
  }

  browser() {
    const token = id("dvb");
    this.browsers.set(token, { id: id("client"), created_at: Date.now(), updated_at: Date.now() });
    return token;
  }

  client(token) {
    const browser = this.browsers.get(token);
    if (browser === undefined) return undefined;
    const sessions = [...this.sessions.values()].filter((session) => session.client_id === browser.id && session.status === "active");
    return {
      object: "client", ...browser, sessions, session_ids: sessions.map((session) => session.id), sign_in_id: null, sign_up_id: null,
      last_active_session_id: sessions.at(-1)?.id ?? null, last_authentication_strategy: null, cookie_expires_at: null,
    };
  }

  signIn(token, userId = [...this.users.keys()][0]) {
    const user = this.users.get(userId) ?? refuse(422, "form_identifier_not_found", "Couldn't find your account.");
    const now = Date.now();
    const session = {
      object: "session", id: id("sess"), user_id: user.id, client_id: this.browsers.get(token).id, status: "active", last_active_at: now,
      expire_at: now + SESSION_MS, abandon_at: now + 4 * SESSION_MS, created_at: now, updated_at: now,
    };
    this.sessions.set(session.id, session);
    return session;
  }

  session(key) {
    return this.sessions.get(key) ?? missing("Session");
  }

  close(key, status) {
    return Object.assign(this.session(key), { status, updated_at: Date.now() });
  }

  token(key, azp, seconds) {
    const session = this.session(key);
    if (session.status !== "active") missing("Session");
    return { object: "token", jwt: this.keys.token({ user: session.user_id, session: key, azp, seconds }) };
  }
}

function bodyOf({ headers, body }) {
  const text = body.toString();
  if (text === "") return {};
  if (headers["content-type"]?.startsWith("application/x-www-form-urlencoded")) return Object.fromEntries(new URLSearchParams(text));
  try {
    return JSON.parse(text);
  } catch {
    return refuse(400, "request_body_invalid", "The request body is invalid.");
  }
}

/** Calls that a server makes, with the secret key. */
function backend(directory, secretKey, request, [, place, key, rest]) {
  const given = request.headers.authorization ?? "";
  if (given === "") refuse(401, "authentication_invalid", "Invalid authentication");
  if (given !== `Bearer ${secretKey}`) refuse(401, "clerk_key_invalid", "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct.");
  const asked = bodyOf(request);
  switch (`${request.method} ${place}${key && key !== "verify" ? "/:id" : ""}${rest ? `/${rest}` : ""}`) {
    case "GET jwks":
      return json(directory.keys.document());
    case "POST clients":
      if (!asked.token) refuse(400, "form_param_missing", "token must be included.");
      return json(directory.client(asked.token) ?? missing("Client"));
    case "GET users/:id":
      return json(directory.users.get(key) ?? missing("User"));
    case "GET sessions/:id":
      return json(directory.session(key));
    case "POST sessions/:id/revoke":
      return json(directory.close(key, "revoked"));
    case "POST sessions/:id/tokens": {
      const seconds = asked.expires_in_seconds;
      const isFit = seconds === undefined || (Number.isInteger(seconds) && seconds >= 30 && seconds <= 315_360_000);
      if (!isFit) refuse(422, "form_param_value_invalid", "expires_in_seconds must be 30 to 315360000");
      return json(directory.token(key, undefined, seconds));
    }
    default:
      return missing("Resource");
  }
}

/** Calls that the script in a page makes, from the page's origin. */
function frontend(directory, request, settings) {
  const { headers, method, path, query } = request;
  const cors = {
    "access-control-allow-origin": headers.origin ?? "*", "access-control-allow-credentials": "true", vary: "Origin",
    "access-control-allow-headers": "content-type", "access-control-allow-methods": "GET, POST",
  };
  const say = (value) => json(value, 200, { ...cors, "cache-control": "no-store" });
  const browser = query.get("__clerk_db_jwt");
  try {
    if (method === "OPTIONS") return { status: 204, headers: cors };
    if (path === "/v1/dev_browser") return say({ id: directory.browser() });
    const client = directory.client(browser) ?? refuse(401, "dev_browser_unauthenticated", "Unable to authenticate this browser for your development instance.");
    const withUsers = () => {
      const now = directory.client(browser);
      return { ...now, sessions: now.sessions.map((session) => ({ ...session, user: directory.users.get(session.user_id) })) };
    };
    if (path === "/v1/client") return say({ response: withUsers() });
    if (path === "/v1/client/users") return say({ response: [...directory.users.values()] });
    if (path === "/v1/client/sign_ins") {
      const session = directory.signIn(browser, bodyOf(request).user);
      return say({ response: { object: "sign_in_attempt", status: "complete", created_session_id: session.id }, client: withUsers() });
    }
    const [, key, what] = /^\/v1\/client\/sessions\/([^/]+)\/(tokens|remove)$/.exec(path) ?? missing("Resource");
    if (!client.session_ids.includes(key)) missing("Session");
    if (what === "tokens") return say(directory.token(key, headers.origin, settings.token_seconds));
    return say({ response: directory.close(key, "removed"), client: withUsers() });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // A script is told why only if it may read the answer.
    return { ...error.reply, headers: { ...error.reply.headers, ...cors } };
  }
}

/** Clerk's own page: one button for each user, and back to where the visitor came from. */
function hosted(directory, { method, query, body }) {
  if (method === "POST") {
    const form = new URLSearchParams(body.toString());
    const place = form.get("redirect_url");
    if (!URL.canParse(place)) refuse(400, "url_invalid", "redirect_url must be a URL");
    const back = new URL(place);
    const token = directory.browser();
    directory.signIn(token, form.get("user") ?? undefined);
    back.searchParams.set("__clerk_db_jwt", token);
    return { status: 303, headers: { location: back.href } };
  }
  const button = (user) => `<button name="user" value="${escaped(user.id)}">Continue as ${escaped(user.email_addresses[0].email_address)}</button>`;
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title><h1>Sign in</h1>
<form method="post" action="/sign-in"><input type="hidden" name="redirect_url" value="${escaped(query.get("redirect_url") ?? "")}">
${[...directory.users.values()].map(button).join("\n")}
</form></html>
`;
  return { headers: { "content-type": "text/html; charset=utf-8" }, body: page };
}

await run(FLAGS, (options, url) => {
  const keys = new Keys(url);
  const directory = new Directory(keys);
  const secretKey = options["secret-key"];
  const settings = { sets_cookies: true, token_seconds: undefined };

  const answer = (request) => {
    const { path } = request;
    if (path === "/.well-known/jwks.json") return json(keys.document());
    if (SCRIPT_PATH.test(path)) {
      const body = SCRIPT.replace("SETS_COOKIES", String(settings.sets_cookies));
      return { headers: { "content-type": "text/javascript; charset=utf-8", "access-control-allow-origin": "*" }, body };
    }
    if (path === "/sign-in") return hosted(directory, request);
    if (path === "/v1/client" || path === "/v1/dev_browser" || path.startsWith("/v1/client/")) return frontend(directory, request, settings);
    const call = /^\/v1\/([a-z_]+)(?:\/([^/]+))?(?:\/([a-z_]+))?$/.exec(path);
    return call === null ? missing("Resource") : backend(directory, secretKey, request, call);
  };

  return {
    answer,
    refusal: (status) => refusal(status, status === 429 ? "too_many_requests" : "internal_clerk_error", "Asked for by a test"),
    shown: {
      issuer: url, jwks: `${url}/.well-known/jwks.json`, sign_in: `${url}/sign-in`, frontend_api: url, backend_api: url, secret_key: secretKey,
      publishable_key: `pk_test_${Buffer.from(`${new URL(url).host}$`).toString("base64")}`, user: [...directory.users.keys()][0],
    },
    control: {
      "POST token": (asked) => {
        const session = asked.session ?? directory.signIn(directory.browser(), asked.user).id;
        return { token: keys.token({ user: directory.session(session).user_id, ...asked, session }), session };
      },
      "POST session": ({ user }) => {
        const token = directory.browser();
        return { session: directory.signIn(token, user).id, db_jwt: token };
      },
      "GET sessions": () => [...directory.sessions.values()],
      "POST end": ({ session, status = "ended" }) => directory.close(session, status),
      "POST user": (user) => directory.addUser(user),
      "POST rotate": (asked) => keys.rotate(asked),
      "POST publish": () => keys.publish(),
      "POST keys": ({ extra }) => {
        keys.extra = extra;
        return keys.document();
      },
      "POST settings": (asked) => Object.assign(settings, asked),
    },
  };
});
