// The gateway of `discord.mjs`: version 10, JSON, no compression, over WebSocket.

import { randomBytes } from "node:crypto";

import { WebSocketServer } from "ws";

const OP = { DISPATCH: 0, HEARTBEAT: 1, IDENTIFY: 2, PRESENCE: 3, VOICE: 4, RESUME: 6, RECONNECT: 7, MEMBERS: 8, INVALID_SESSION: 9, HELLO: 10, ACK: 11 };
const CLOSE = {
  UNKNOWN_OP: 4001, DECODE: 4002, NOT_AUTHENTICATED: 4003, AUTHENTICATION: 4004, TWICE: 4005, SEQUENCE: 4007, TOO_MANY: 4008, TIMED_OUT: 4009,
  VERSION: 4012, INTENTS: 4013, INTENTS_DISALLOWED: 4014,
};
/** What Discord takes from one client. */
const PAYLOAD_BYTES_MAX = 4096;
const PAYLOADS_MAX = 120;
const PAYLOADS_WINDOW_MS = 60_000;
/** Members, presences and the content of messages: only for bots that have been allowed them. */
const INTENTS_PRIVILEGED = (1 << 1) | (1 << 8) | (1 << 15);
/** A client is given up that has missed so many beats. */
const BEATS_MISSED_MAX = 2;

export class Gateway {
  #server = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  #sessions = new Map();
  #connections = new Set();
  /** All that clients have sent. */
  frames = [];
  settings = { heartbeat_ms: 41_250, acks: true, hello: true, ready: true, sessions_left: 1000 };

  /** `url` begins with ws; `bot`: user, application, guild and token. */
  constructor(url, bot, log) {
    Object.assign(this, { url, bot, log });
  }

  upgrade(request, socket, head) {
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      const connection = new Connection(this, ws, new URL(request.url, "http://stand-in"));
      this.#connections.add(connection);
      ws.once("close", () => {
        this.#connections.delete(connection);
        this.log.changed();
      });
      connection.begin();
    });
  }

  /** What is known of connections and sessions. */
  shown() {
    const connections = [...this.#connections].map(({ number, path, session }) => ({ number, path, session: session?.id ?? null }));
    const sessions = [...this.#sessions.values()].map(({ id, sequence, intents }) => ({ id, sequence, intents }));
    return { connections, sessions, settings: this.settings };
  }

  session(id) {
    return this.#sessions.get(id);
  }

  newSession(intents) {
    const session = { id: randomBytes(16).toString("hex"), sequence: 0, events: [], intents };
    this.#sessions.set(session.id, session);
    this.settings.sessions_left -= 1;
    return session;
  }

  /** The next RESUME finds nothing to resume. */
  forget(session) {
    if (session === undefined) this.#sessions.clear();
    else this.#sessions.delete(session.id);
  }

  /** An event for every session; those that are not connected have it when they resume. */
  dispatch(t, d) {
    for (const session of this.#sessions.values()) {
      const event = this.#numbered(session, t, d);
      for (const connection of this.#connections) if (connection.session === session) connection.sendText(event.text);
    }
  }

  dispatchTo(connection, t, d) {
    connection.sendText(this.#numbered(connection.session, t, d).text);
  }

  #numbered(session, t, d) {
    session.sequence += 1;
    const event = { s: session.sequence, text: JSON.stringify({ op: OP.DISPATCH, t, s: session.sequence, d }) };
    session.events.push(event);
    return event;
  }

  each(act) {
    for (const connection of [...this.#connections]) act(connection);
    return { connections: this.#connections.size };
  }

  /** What the control door can do to all who are connected. */
  control() {
    return {
      "GET gateway": () => this.shown(),
      "GET frames": (_, query) => this.#framesFor(query),
      "DELETE frames": () => ({ forgotten: this.frames.splice(0).length }),
      "POST dispatch": ({ t, d }) => this.dispatch(t, d),
      "POST drop": ({ code, reason }) => this.each((one) => (code === undefined ? one.ws.terminate() : one.close(code, reason))),
      "POST reconnect": () => this.each((one) => one.send(OP.RECONNECT, null)),
      "POST invalidate": ({ resumable = false }) => this.each((one) => one.invalidate(resumable)),
      "POST forget": () => this.forget(),
      "POST beat": () => this.each((one) => one.send(OP.HEARTBEAT, null)),
      "POST raw": ({ text }) => this.each((one) => one.sendText(text)),
      "POST settings": (asked) => Object.assign(this.settings, asked),
    };
  }

  async #framesFor(query) {
    const op = query.get("op");
    const fitting = () => this.frames.filter((frame) => op === null || frame.op === Number(op));
    const count = Number(query.get("count") ?? 0);
    await this.log.until(() => fitting().length >= count, Number(query.get("seconds") ?? 10) * 1000);
    return fitting();
  }
}

let connections = 0;

/** One client, from HELLO on. */
class Connection {
  session = undefined;
  #times = [];
  #timer;

  constructor(gateway, ws, url) {
    Object.assign(this, { gateway, ws, url, path: url.pathname });
    connections += 1;
    this.number = connections;
  }

  begin() {
    this.ws.on("error", () => {});
    this.ws.on("message", (bytes, isBinary) => this.#onMessage(bytes, isBinary));
    this.ws.once("close", (code) => {
      clearTimeout(this.#timer);
      // A client that says good-bye is offline, and has no session any more.
      if ((code === 1000 || code === 1001) && !this.hasDropped) this.gateway.forget(this.session ?? {});
    });
    const { searchParams } = this.url;
    if (searchParams.get("v") !== "10") return this.close(CLOSE.VERSION, "Invalid API version.");
    if (searchParams.get("encoding") !== "json" || searchParams.has("compress")) return this.close(CLOSE.DECODE, "Only JSON without compression here.");
    if (this.gateway.settings.hello) this.send(OP.HELLO, { heartbeat_interval: this.gateway.settings.heartbeat_ms, _trace: [] });
    this.#expectBeat();
    return undefined;
  }

  sendText(text) {
    this.ws.send(text);
  }

  send(op, d) {
    this.sendText(JSON.stringify({ t: null, s: null, op, d }));
  }

  close(code, reason) {
    this.hasDropped = true;
    this.ws.close(code, reason);
  }

  invalidate(isResumable) {
    if (!isResumable) {
      if (this.session !== undefined) this.gateway.forget(this.session);
      this.session = undefined;
    }
    this.send(OP.INVALID_SESSION, isResumable);
  }

  #expectBeat() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(CLOSE.TIMED_OUT, "Session timed out."), BEATS_MISSED_MAX * this.gateway.settings.heartbeat_ms);
  }

  #onMessage(bytes, isBinary) {
    const now = Date.now();
    this.#times = [...this.#times.filter((time) => now - time < PAYLOADS_WINDOW_MS), now];
    if (this.#times.length > PAYLOADS_MAX) return this.close(CLOSE.TOO_MANY, "You are being rate limited.");
    let payload;
    try {
      payload = JSON.parse(bytes.toString());
    } catch {
      payload = undefined;
    }
    if (isBinary || bytes.length > PAYLOAD_BYTES_MAX || !Number.isInteger(payload?.op)) return this.close(CLOSE.DECODE, "Error while decoding payload.");
    this.gateway.frames.push({ at_ms: now, connection: this.number, path: this.path, op: payload.op, d: payload.d });
    this.#take(payload);
    this.gateway.log.changed();
    return undefined;
  }

  #take({ op, d }) {
    const { settings } = this.gateway;
    if (op === OP.HEARTBEAT) {
      this.#expectBeat();
      if (settings.acks) this.send(OP.ACK, null);
    } else if (op === OP.IDENTIFY) {
      this.#identify(d ?? {});
    } else if (op === OP.RESUME) {
      this.#resume(d ?? {});
    } else if (this.session === undefined) {
      this.close(CLOSE.NOT_AUTHENTICATED, "Not authenticated.");
    } else if (![OP.PRESENCE, OP.VOICE, OP.MEMBERS].includes(op)) {
      this.close(CLOSE.UNKNOWN_OP, "Unknown opcode.");
    }
  }

  #identify({ token, intents, properties }) {
    if (this.session !== undefined) return this.close(CLOSE.TWICE, "Already authenticated.");
    const { bot, settings } = this.gateway;
    if (token?.replace(/^Bot /, "") !== bot.token) return this.close(CLOSE.AUTHENTICATION, "Authentication failed.");
    if (!Number.isInteger(intents) || intents < 0) return this.close(CLOSE.INTENTS, "Invalid intent(s).");
    if ((intents & INTENTS_PRIVILEGED) !== 0) return this.close(CLOSE.INTENTS_DISALLOWED, "Disallowed intent(s).");
    if (typeof properties?.os !== "string") return this.close(CLOSE.DECODE, "Error while decoding payload.");
    this.session = this.gateway.newSession(intents);
    if (!settings.ready) return undefined;
    this.gateway.dispatchTo(this, "READY", {
      v: 10, user: bot.user, user_settings: {}, session_type: "normal", session_id: this.session.id, resume_gateway_url: `${this.gateway.url}/resume`,
      relationships: [], private_channels: [], presences: [], guilds: [{ id: bot.guild.id, unavailable: true }], guild_join_requests: [],
      geo_ordered_rtc_regions: [], auth: {}, application: bot.application, _trace: [],
    });
    if ((intents & 1) === 1) this.gateway.dispatchTo(this, "GUILD_CREATE", bot.guild);
    return undefined;
  }

  #resume({ token, session_id: id, seq }) {
    if (this.session !== undefined) return this.close(CLOSE.TWICE, "Already authenticated.");
    if (token?.replace(/^Bot /, "") !== this.gateway.bot.token) return this.close(CLOSE.AUTHENTICATION, "Authentication failed.");
    const session = this.gateway.session(id);
    if (session === undefined) return this.send(OP.INVALID_SESSION, false);
    if (!Number.isInteger(seq) || seq > session.sequence) return this.close(CLOSE.SEQUENCE, "Invalid seq.");
    this.session = session;
    for (const event of session.events) if (event.s > seq) this.sendText(event.text);
    this.gateway.dispatchTo(this, "RESUMED", { _trace: [] });
    return undefined;
  }
}
