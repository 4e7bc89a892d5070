// What every stand-in shares: a server on the loopback address alone, the log of what it was asked, faults,
// and the control door under `/_/`. `README.md` describes the door.
//
//   node tests/services/<name>.mjs [--port N] [--tls | --tls-wrong-name] [flags of its own]
//
// One line of JSON on standard output says where it is. It ends when its standard input does, so that
// nothing is left behind by a test that was killed.

import { createHash } from "node:crypto";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer as createSocketServer } from "node:net";
import { parseArgs } from "node:util";

import { certificateFor } from "./certificate.mjs";
import { Faults, endSilently, isSilent, replyOf, send } from "./faults.mjs";

const HOST = "127.0.0.1";
/** Bodies that are longer, or no text, are told by size and SHA-1. */
const BODY_SHOWN_BYTES_MAX = 64 * 1024;
/** Longer than a client keeps a connection it does not use. */
const IDLE_MS_MAX = 120_000;
/** First byte of a TLS handshake. */
const TLS_HANDSHAKE = 22;
const REOPEN_TRIES = 100;
const REOPEN_PAUSE_MS = 50;

/** A refusal in the service's own words, to be thrown from anywhere in its `answer`. */
export class Refused extends Error {
  constructor(reply) {
    super(`refused with ${reply.status}`);
    this.reply = reply;
  }
}

export const json = (value, status = 200, headers = {}) => ({ status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(value) });

/**
 * Runs a service until standard input ends.
 *
 * `flags`: options of its own, as `parseArgs` wants them. `open(options, url, log)` makes the service:
 *   `answer(request)`   the reply to a request: `{ status, headers, body }`
 *   `refusal(status, fault, path)`   the reply that the real service gives with that status
 *   `shown`             what else a client must be given, printed with the address
 *   `control`           answers to more of the control door: `{ "POST rotate": (body) => … }`
 *   `upgrade`           for WebSocket: `(request, socket, head)`
 */
export async function run(flags, open) {
  const common = { port: { type: "string", default: "0" }, tls: { type: "boolean" }, "tls-wrong-name": { type: "boolean" } };
  const { values: options } = parseArgs({ options: { ...common, ...flags } });
  const wrongName = options["tls-wrong-name"] ?? false;
  const hasTls = wrongName || (options.tls ?? false);
  const certificate = hasTls ? certificateFor(wrongName ? "DNS:elsewhere.invalid" : `IP:${HOST}, DNS:localhost`) : undefined;

  const log = new Log();
  const faults = new Faults();
  const its = { log, faults };
  const door = new Door(its);
  const plain = createHttpServer((request, response) => serve(request, response, hasTls));
  const secret = hasTls ? createHttpsServer(certificate, (request, response) => serve(request, response, false)) : undefined;

  async function serve(request, response, isDoorOnly) {
    response.on("error", () => {});
    try {
      if (request.url.startsWith("/_/")) await door.serve(request, response);
      else if (isDoorOnly) await send(response, { status: 400, headers: {}, body: Buffer.from("An HTTP request to an HTTPS server.\n") });
      else await serveOne(request, response, its);
    } catch (error) {
      if (request.destroyed || response.destroyed) return;
      // A mistake of the stand-in must be seen by who runs the test, not be taken for the service's.
      console.error(error);
      if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" });
      response.end(String(error?.stack));
    }
  }

  for (const server of [plain, secret]) {
    if (server === undefined) continue;
    server.keepAliveTimeout = IDLE_MS_MAX;
    server.requestTimeout = 0;
    server.on("clientError", (_, socket) => socket.destroy());
    server.on("tlsClientError", () => {});
    // Where there is TLS a WebSocket without it is none.
    if (server === (secret ?? plain)) server.on("upgrade", (request, socket, head) => upgradeOne(request, socket, head, its));
  }
  its.listener = new Listener(plain, secret);
  const port = await its.listener.open(Number(options.port));
  const scheme = hasTls ? "https" : "http";
  const url = `${scheme}://${HOST}:${port}`;
  its.service = await open(options, url, log);

  process.stdin.resume();
  process.stdin.once("end", () => process.exit(0)).once("error", () => process.exit(0));
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(0));
  console.log(JSON.stringify({ port, url, control: `http://${HOST}:${port}/_/`, ca: certificate?.ca, ...its.service.shown }));
}

/** The port itself. TLS and plain HTTP share it: the first byte tells which, and the control door is open to both. */
class Listener {
  #sockets = new Set();
  #server;
  #port = 0;

  constructor(plain, secret) {
    this.#server = createSocketServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {});
      if (secret === undefined) {
        plain.emit("connection", socket);
        return;
      }
      socket.once("data", (first) => {
        socket.pause();
        socket.unshift(first);
        (first[0] === TLS_HANDSHAKE ? secret : plain).emit("connection", socket);
        process.nextTick(() => socket.resume());
      });
    });
  }

  open(port) {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, HOST, () => {
        this.#server.removeListener("error", reject);
        this.#port = this.#server.address().port;
        resolve(this.#port);
      });
    });
  }

  /** The connection below TLS, which alone can be reset. */
  bare(socket) {
    return [...this.#sockets].find((one) => one.remotePort === socket.remotePort) ?? socket;
  }

  /** Nobody listens for so long: connections are refused, and those that are open end. */
  async closeFor(durationMs) {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.open(this.#port);
      } catch (error) {
        // Somebody's outgoing connection may have been given the port meanwhile.
        if (tries === REOPEN_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, REOPEN_PAUSE_MS));
      }
    }
  }
}

/** All requests so far, and who waits for more of them. */
class Log {
  seen = [];
  #watchers = new Set();

  begin(request, fault) {
    const url = new URL(request.url, "http://stand-in");
    const entry = {
      at_ms: Date.now(), method: request.method, path: url.pathname, query: url.search.slice(1),
      headers: request.headers, fault: fault?.kind, status: null, body_bytes: null,
    };
    this.seen.push(entry);
    this.changed();
    return entry;
  }

  body(entry, body) {
    entry.body_bytes = body.length;
    const text = body.length <= BODY_SHOWN_BYTES_MAX ? body.toString("utf8") : undefined;
    if (text !== undefined && Buffer.from(text, "utf8").equals(body)) entry.body = text;
    else entry.body_sha1 = createHash("sha1").update(body).digest("hex");
    this.changed();
  }

  changed() {
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** Resolves with `probe()` once it is true, or with what it is after so long. */
  until(probe, limitMs) {
    return new Promise((resolve) => {
      const look = () => {
        const found = probe();
        if (found) done(found);
      };
      const done = (found) => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => done(probe()), limitMs);
      this.#watchers.add(look);
      look();
    });
  }
}

/** `/_/`: what a test asks of the stand-in. */
class Door {
  constructor(its) {
    this.its = its;
  }

  async serve(request, response) {
    const { service, listener, log, faults } = this.its;
    const url = new URL(request.url, "http://stand-in");
    const name = `${request.method} ${url.pathname.slice("/_/".length)}`;
    const body = await bodyOf(request);
    const say = (value, status = 200) => response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(value)}\n`);
    try {
      const asked = body.length > 0 ? JSON.parse(body.toString()) : {};
      if (name === "POST fault") say(faults.add(asked));
      else if (name === "GET fault") say(faults.list());
      else if (name === "DELETE fault") say(faults.clear() ?? {});
      else if (name === "GET seen") say(await this.seen(url.searchParams));
      else if (name === "DELETE seen") say({ forgotten: log.seen.splice(0).length });
      else if (name === "POST close") {
        if (!(asked.seconds >= 0)) throw new Error("seconds must be a number");
        // The answer first: this connection ends too.
        response.writeHead(200, { "content-type": "application/json", connection: "close" });
        response.end("{}\n", () => listener.closeFor(asked.seconds * 1000));
      } else if (service.control?.[name]) say((await service.control[name](asked, url.searchParams)) ?? {});
      else say({ error: `no ${name} at this door` }, 404);
    } catch (error) {
      say({ error: error.message }, 400);
    }
  }

  /** `?match=/path&count=2&seconds=5`: waits until two requests for that path have been answered. */
  async seen(query) {
    const match = query.get("match") ?? "/";
    const count = Number(query.get("count") ?? 0);
    const { log } = this.its;
    const fitting = () => log.seen.filter((one) => one.path.startsWith(match));
    const isEnough = () => fitting().filter((one) => one.status !== null).length >= count;
    if (count > 0) await log.until(isEnough, Number(query.get("seconds") ?? 10) * 1000);
    return fitting();
  }
}

async function bodyOf(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function serveOne(request, response, { service, log, faults, listener }) {
  const fault = faults.take(request.method, request.url);
  const entry = log.begin(request, fault);
  const done = (status) => {
    entry.status = status;
    log.changed();
  };
  const end = () => {
    endSilently(fault, listener.bare(request.socket));
    done(fault.kind);
  };
  const gone = new AbortController();
  response.once("close", () => {
    gone.abort();
    if (entry.status === null) done("gone");
  });
  if (isSilent(fault) && !fault.after_work) {
    if (fault.after_bytes > 0) await atLeast(request, fault.after_bytes);
    return end();
  }
  const body = await bodyOf(request);
  log.body(entry, body);
  const { pathname: path, searchParams: query } = new URL(request.url, "http://stand-in");
  const asked = { method: request.method, path, query, headers: request.headers, body, signal: gone.signal };
  const reply = replyOf(fault, service.refusal, path) ?? (await answered(service, asked));
  if (isSilent(fault)) return end();
  const isValue = typeof reply.body === "object" && !Buffer.isBuffer(reply.body);
  const bytes = Buffer.from(isValue ? JSON.stringify(reply.body) : (reply.body ?? ""));
  const status = reply.status ?? 200;
  // Seen as answered before the client can have the answer: who has it may look at once.
  done(status);
  await send(response, { status, headers: reply.headers ?? {}, body: bytes }, fault);
}

async function answered(service, asked) {
  try {
    return await service.answer(asked);
  } catch (error) {
    if (error instanceof Refused) return error.reply;
    throw error;
  }
}

/** Takes in so many bytes of a body, or all of it. */
async function atLeast(request, count) {
  let size = 0;
  for await (const piece of request.iterator({ destroyOnReturn: false })) {
    size += piece.length;
    if (size >= count) return;
  }
}

function upgradeOne(request, socket, head, { service, log, faults, listener }) {
  const fault = faults.take(request.method, request.url);
  const entry = log.begin(request, fault);
  socket.on("error", () => {});
  const reply = replyOf(fault, service.refusal, entry.path);
  const close = (status, headers = {}) => {
    const lines = Object.entries({ ...headers, connection: "close", "content-length": 0 }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${status} Stand-in\r\n${lines.join("")}\r\n`);
  };
  entry.status = isSilent(fault) ? fault.kind : (reply?.status ?? (service.upgrade ? 101 : 404));
  log.changed();
  if (isSilent(fault)) endSilently(fault, listener.bare(socket));
  else if (reply !== undefined) close(reply.status, reply.headers);
  else if (service.upgrade) service.upgrade(request, socket, head);
  else close(404);
}
