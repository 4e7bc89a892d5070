// Starts stand-ins and other people's programs for the tests here, and ends them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
/** A machine that does other things too. */
export const LIMIT_MS = 30_000;

class Running {
  constructor(child, shown) {
    this.child = child;
    Object.assign(this, shown);
  }

  /** `ask("POST", "fault", { … })`: the control door's answer. */
  async ask(method, name, body) {
    const response = await fetch(new URL(name, this.control), { method, body: body && JSON.stringify(body), headers: { "content-type": "application/json" } });
    const said = await response.json();
    if (!response.ok) throw new Error(`${method} ${name}: ${said.error}`);
    return said;
  }

  fault(fault) {
    return this.ask("POST", "fault", fault);
  }

  seen(match = "/", count = 0) {
    return this.ask("GET", `seen?${new URLSearchParams({ match, count, seconds: LIMIT_MS / 1000 })}`);
  }

  async afresh() {
    await this.ask("DELETE", "fault");
    await this.ask("DELETE", "seen");
  }

  async end() {
    this.child.stdin.end();
    if (this.child.exitCode === null) await once(this.child, "exit");
  }
}

/** `start("b2", "--tls")`: the stand-in, once it listens. */
export async function start(name, ...flags) {
  const child = spawn(process.execPath, [join(here, `${name}.mjs`), ...flags], { stdio: ["pipe", "pipe", "inherit"] });
  const line = await Promise.race([
    once(createInterface(child.stdout), "line"),
    once(child, "exit").then(([code]) => { throw new Error(`${name}.mjs ended with ${code}`); }),
  ]);
  return new Running(child, JSON.parse(line[0]));
}

/** Runs a program to its end: what it said, and its exit code. */
export async function output(path, args, env = {}) {
  const child = spawn(path, args, { cwd: here, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => { said += text; });
  const [code] = await once(child, "close");
  return { code, said };
}
