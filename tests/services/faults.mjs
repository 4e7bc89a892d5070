// Ways for a request to go wrong, asked for by a test and taken by the requests that follow.

import { setTimeout as sleep } from "node:timers/promises";

/** What each kind does; `README.md` says it for who asks. */
const KINDS = ["refuse", "reset", "hang", "status", "text", "slow", "drip", "half"];
/** Kinds that end the conversation instead of answering. */
const SILENT = ["refuse", "reset", "hang"];
const DRIP_PIECES = 20;

export class Faults {
  #waiting = [];

  add(fault) {
    if (!KINDS.includes(fault.kind)) throw new Error(`kind must be one of ${KINDS.join(", ")}`);
    if (fault.kind === "status" && !Number.isInteger(fault.status)) throw new Error("status must be a number");
    const kept = { match: "/", times: null, skip: 0, taken: 0, ...fault };
    this.#waiting.push(kept);
    return kept;
  }

  clear() {
    this.#waiting = [];
  }

  list() {
    return this.#waiting;
  }

  /** The first that fits a request for `target`, the path with its query, and has not been used up. */
  take(method, target) {
    const fits = (fault) => target.startsWith(fault.match) && (fault.method ?? method) === method;
    const fault = this.#waiting.find((one) => fits(one) && (one.times === null || one.taken < one.times));
    if (fault === undefined) return undefined;
    if (fault.skip > 0) {
      fault.skip -= 1;
      return undefined;
    }
    fault.taken += 1;
    return fault;
  }
}

/** Whether the fault ends a conversation, now or after the work (`after_work`) has been done. */
export const isSilent = (fault) => SILENT.includes(fault?.kind);

/** Ends the conversation on `socket` in the way of a silent fault. */
export function endSilently(fault, socket) {
  if (fault.kind === "reset") {
    socket.resetAndDestroy();
  } else if (fault.kind === "refuse") {
    socket.destroy();
  } else if (fault.seconds !== undefined) {
    // A timer of a connection that has gone keeps nothing alive.
    setTimeout(() => socket.destroy(), fault.seconds * 1000).unref();
  }
}

/** The answer that a fault gives instead of the service's own, if it is of that kind. */
export function replyOf(fault, refusal, path) {
  if (fault?.kind === "text") {
    const body = fault.body ?? "<!doctype html><title>Sorry</title><h1>We'll be back soon</h1>";
    return { status: fault.status ?? 200, headers: { "content-type": "text/html" }, body };
  }
  if (fault?.kind !== "status") return undefined;
  const usual = refusal(fault.status, fault, path);
  const body = fault.body ?? usual.body;
  const later = fault.retry_after === undefined ? {} : { "retry-after": String(fault.retry_after) };
  return { status: fault.status, headers: { ...later, ...usual.headers, ...fault.headers }, body };
}

/** Sends a reply whose body is bytes, as well as the fault lets it. */
export async function send(response, reply, fault) {
  if (fault?.kind === "slow") await sleep((fault.seconds ?? 1) * 1000);
  if (response.destroyed) return;
  response.writeHead(reply.status, { ...reply.headers, "content-length": reply.body.length });
  if (fault?.kind === "half") {
    response.write(reply.body.subarray(0, Math.floor(reply.body.length / 2)), () => response.socket?.destroy());
  } else if (fault?.kind === "drip") {
    await drip(response, reply.body, (fault.seconds ?? 1) * 1000);
  } else {
    response.end(reply.body);
  }
}

async function drip(response, body, durationMs) {
  const size = Math.max(1, Math.ceil(body.length / DRIP_PIECES));
  response.flushHeaders();
  for (let at = 0; at < body.length && !response.destroyed; at += size) {
    await sleep((durationMs * size) / body.length);
    response.write(body.subarray(at, at + size));
  }
  response.end();
}
