// A pool as visitors meet it: the real programs, each started here and ended here by its process id.
// What they keep is in a folder that goes at the end.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { start } from "../services/given.mjs";
import { dayOfHistory } from "./history.mjs";

const GOPOOL = process.env.GOPOOL;
const MINER = process.env.GOPOOL_MINER;
const BITCOIND = process.env.BITCOIND;

// Addresses of published test vectors: nobody's savings, and valid on any signet.
const POOL_ADDRESS = { signet: "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", mainnet: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4" };
export const MINER_ADDRESS = "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47zagq";
export const OTHER_ADDRESS = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7";
/** A ban is one of all workers of a wallet. */
export const BANNED_ADDRESS = "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c";
export const ADMIN = { username: "admin", password: "correct horse battery staple" };
/** Of the main network's block 1. */
const FIRST_HEADER = "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299";
/** Invalid submissions until a ban: few, so that it is there before the first page is looked at. */
const BAN_AFTER = 3;
/** A debug build on a machine that does other things too. */
const START_MS_MAX = 60_000;
const END_MS_MAX = 30_000;
const POLL_MS = 100;

/** Waits until `probe` has something to say; its failures meanwhile are of no interest. */
export async function until(what, probe, limitMs = START_MS_MAX) {
  const endsAt = Date.now() + limitMs;
  for (;;) {
    const found = await Promise.resolve().then(probe).catch(() => undefined);
    if (found) return found;
    if (Date.now() > endsAt) throw new Error(`not within ${limitMs / 1000} s: ${what}`);
    await sleep(POLL_MS);
  }
}

/** Below those that the kernel gives to whoever asks for any. */
const PORTS = { first: 20_000, count: 12_000 };
const givenPorts = new Set();

/** One that nobody listens on, and that is given once: it is a while until somebody does. */
async function freePort() {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (givenPorts.has(port)) continue;
    givenPorts.add(port);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(() => true, () => false);
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

class Program {
  /** The kernel ends it should this process be killed outright. */
  constructor(path, flags, log) {
    this.name = path.split("/").pop();
    this.log = log;
    const output = openSync(log, "a");
    this.process = spawn("setpriv", ["--pdeathsig", "TERM", path, ...flags], { stdio: ["ignore", output, output] });
    closeSync(output);
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
  }

  get isRunning() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  text() {
    return readFileSync(this.log, "utf8");
  }

  /** As `until`, but what has ended is not waited for. */
  async until(what, probe) {
    const found = await until(what, async () => {
      if (!this.isRunning) return { hasEnded: true };
      const value = await probe();
      return value && { value };
    }).catch((error) => ({ error }));
    if ("value" in found) return found.value;
    throw new Error(`${this.name}: ${found.error?.message ?? "ended by itself"}\n${this.text().slice(-3000)}`);
  }

  signal(name) {
    if (this.isRunning) this.process.kill(name);
  }

  async end() {
    if (!this.isRunning) return;
    this.signal("SIGCONT");
    this.signal("SIGTERM");
    const isLate = await Promise.race([this.ended.then(() => false), sleep(END_MS_MAX, true, { ref: false })]);
    if (isLate) this.signal("SIGKILL");
    await this.ended;
  }
}

/** A miner that says what it is told to say, over a socket. */
class Client {
  static async open(port, agent, user) {
    const client = new Client();
    client.socket = connect(port, "127.0.0.1").setEncoding("utf8");
    client.waiting = new Map();
    client.rest = "";
    client.socket.on("error", () => {});
    client.socket.on("data", (text) => client.#read(text));
    await client.ask("mining.subscribe", [agent]);
    const { result, error } = await client.ask("mining.authorize", [user, "x"]);
    if (result !== true) throw new Error(`${user} may not mine: ${JSON.stringify(error)}`);
    client.user = user;
    await until(`work for ${user}`, () => client.job);
    return client;
  }

  #read(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    for (const line of lines.filter(Boolean)) {
      const message = JSON.parse(line);
      if (message.method === "mining.notify") this.job = message.params;
      this.waiting.get(message.id)?.(message);
      this.waiting.delete(message.id);
    }
  }

  ask(method, params) {
    this.id = (this.id ?? 0) + 1;
    this.socket.write(`${JSON.stringify({ id: this.id, method, params })}\n`);
    return Promise.race([
      new Promise((resolve) => this.waiting.set(this.id, resolve)),
      sleep(START_MS_MAX, undefined, { ref: false }).then(() => { throw new Error(`no answer to ${method}`); }),
    ]);
  }

  /** A submission that is refused and held against whoever sends it. */
  submitNonsense() {
    const [job, , , , , , , ntime] = this.job;
    return this.ask("mining.submit", [this.user, job, "00000000", ntime, "no nonce"]);
  }
}

/** All that have been started and not ended, those that are still on their way among them. */
const running = new Set();
export const endAll = async () => { for (const scene of running) await scene.end(); };

export class Scene {
  programs = [];
  clients = [];
  network = "signet";
  folder = mkdtempSync(join(tmpdir(), "gopool-pages-"));

  constructor(name) {
    this.name = name;
    running.add(this);
  }

  #launch(path, flags) {
    const log = join(this.folder, `${path.split("/").pop()}-${this.programs.length}.log`);
    const program = new Program(path, flags, log);
    this.programs.push(program);
    return program;
  }

  /** A signet anyone may mine: its challenge 51 is OP_TRUE. About five million hashes are a block. A node of the
   *  main network knows nobody, so it never has more than it is given. */
  async startNode({ network = "signet" } = {}) {
    const [rpc, hashes, blocks] = [await freePort(), await freePort(), await freePort()];
    const folder = join(this.folder, "node");
    mkdirSync(folder);
    this.network = network;
    this.ports = { rpc, hashes, blocks };
    this.cookie = join(folder, "cookie");
    this.node = this.#launch(BITCOIND, [
      ...(network === "signet" ? ["-signet", "-signetchallenge=51", "-maxtipage=3153600000"] : []),
      `-datadir=${folder}`, "-listen=0", "-connect=0", "-networkactive=0", `-rpcport=${rpc}`, `-rpccookiefile=${this.cookie}`, "-printtoconsole=0",
      `-zmqpubhashblock=tcp://127.0.0.1:${hashes}`, `-zmqpubrawblock=tcp://127.0.0.1:${blocks}`,
    ]);
    await this.node.until("an answer over RPC", () => this.rpc("getblockcount").then(() => true));
  }

  /** Who signs people in: the stand-in for Clerk, and what a pool is told of it. */
  async startClerk() {
    this.clerk = await start("clerk");
    const { issuer, jwks, sign_in: signIn, frontend_api: frontendApi, backend_api: backendApi, secret_key: key, publishable_key: shown } = this.clerk;
    return (folder) => {
      writeFileSync(join(folder, "services.toml"), `
[auth]
# Miner and browser are both on this machine, which proves nothing of who owns what.
reconnect = "saved"
clerk_issuer_url = "${issuer}"
clerk_jwks_url = "${jwks}"
clerk_signin_url = "${signIn}"
clerk_frontend_api_url = "${frontendApi}"
clerk_api_url = "${backendApi}"
`);
      writeFileSync(join(folder, "secrets.toml"), `clerk_secret_key = "${key}"\nclerk_publishable_key = "${shown}"\n`, { mode: 0o600 });
    };
  }

  async rpc(method, params = []) {
    const response = await fetch(`http://127.0.0.1:${this.ports.rpc}/`, {
      method: "POST",
      headers: { Authorization: `Basic ${Buffer.from(readFileSync(this.cookie, "utf8")).toString("base64")}` },
      body: JSON.stringify({ method, params }),
    });
    return (await response.json()).result;
  }

  /** `isShared`: visitors share one list of saved workers, and an operator may sign in. `edit` changes what is in
   *  the folder of configuration before the pool reads it. */
  async startPool({ hasHistory = false, isShared = false, hasWork = Boolean(this.node), edit = () => {}, flags = [] } = {}) {
    const folder = join(this.folder, "pool");
    mkdirSync(join(folder, "config"), { recursive: true });
    mkdirSync(join(folder, "state"));
    const { rpc, hashes, blocks } = this.ports ?? {};
    writeFileSync(join(folder, "config/config.toml"), `
[server]
pool_listen = "127.0.0.1:0"
status_listen = "127.0.0.1:0"
status_tls_listen = ""
trusted_proxies = ["127.0.0.1"]
[branding]
status_brand_name = "Example pool"
status_tagline = "Solo mining, to your own wallet"
[stratum]
stratum_tls_listen = ""
[node]
rpc_url = "http://127.0.0.1:${rpc ?? 9}"
rpc_cookie_path = "${this.cookie ?? "/nonexistent"}"
payout_address = "${POOL_ADDRESS[this.network]}"
zmq_hashblock_addr = "${hashes ? `tcp://127.0.0.1:${hashes}` : ""}"
zmq_rawblock_addr = "${blocks ? `tcp://127.0.0.1:${blocks}` : ""}"
[mining]
pool_fee_percent = 2.0
`);
    // As in the demo: the maximum stays below a signet block's difficulty.
    writeFileSync(join(folder, "config/tuning.toml"), `
[difficulty]
default_difficulty = 0.0002
min_difficulty = 0.00001
max_difficulty = 0.001
target_shares_per_min = 40.0
`);
    writeFileSync(join(folder, "config/policy.toml"), `
[bans]
ban_invalid_submissions_after = ${BAN_AFTER}
ban_invalid_submissions_duration_seconds = 86400
`);
    if (isShared) {
      const text = `enabled = true\nusername = "${ADMIN.username}"\npassword = "${ADMIN.password}"\n`;
      writeFileSync(join(folder, "config/admin.toml"), text, { mode: 0o600 });
      // Visitors of these tests come from 10.x.x.x, through the proxy that the pool believes.
      writeFileSync(join(folder, "config/services.toml"), '[auth]\nlocal_noauth_from = ["10.0.0.0/8"]\n');
    }
    if (hasHistory) {
      writeFileSync(join(folder, "state/saved_worker_periods_history.journal"), dayOfHistory(Date.now()));
    }
    edit(join(folder, "config"));
    const all = ["-data-dir", folder, "-network", this.network, "-shards", "1", "-stdout", ...flags];
    this.pool = this.#launch(GOPOOL, isShared ? [...all, "-saved-workers-local-noauth"] : all);
    const address = (component) => () => this.pool.text().match(new RegExp(`listening component=${component} .*addr=([0-9.:]+)`))?.[1];
    this.url = `http://${await this.pool.until("pages", address("http"))}`;
    await this.pool.until("an answer", () => fetch(`${this.url}/healthz`).then((response) => response.ok));
    if (hasWork) {
      this.stratum = Number((await this.pool.until("a port for miners", address("stratum"))).split(":").pop());
    }
  }

  startMiner(user, hashesPerSecond) {
    const limit = hashesPerSecond ? ["--hashes-per-second", String(hashesPerSecond)] : [];
    return this.#launch(MINER, ["--url", `127.0.0.1:${this.stratum}`, "--user", user, "--threads", "1", "--version-rolling", ...limit]);
  }

  async connect(agent, user) {
    const client = await Client.open(this.stratum, agent, user);
    this.clients.push(client);
    return client;
  }

  /** Sends a form as a browser would, and does not follow where it leads. */
  post(path, fields, headers = {}) {
    const body = new URLSearchParams(fields);
    return fetch(this.url + path, { method: "POST", body, redirect: "manual", headers: { Origin: this.url, ...headers } });
  }

  async json(path) {
    return (await fetch(`${this.url}${path}`)).json();
  }

  /** Each before the one it depends on: miners, the pool, the node. */
  async end() {
    running.delete(this);
    for (const client of this.clients) client.socket.destroy();
    for (const program of this.programs.toReversed()) await program.end();
    await this.clerk?.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function made(name, make) {
  const scene = new Scene(name);
  try {
    await make(scene);
    return scene;
  } catch (error) {
    await scene.end();
    throw error;
  }
}

/** A pool that has been at work: blocks, several workers, a refused share, a ban, a day of history. Three workers
 *  are saved, one of which is away. */
export const busy = () => made("busy", async (scene) => {
  await scene.startNode();
  await scene.startPool({ hasHistory: true, isShared: true });
  const eager = scene.startMiner(`${MINER_ADDRESS}.garage`);
  await scene.connect("bitaxe/BM1370/v2.9.0", `${OTHER_ADDRESS}.desk`);
  await scene.connect("NerdMinerV2/1.8.3", `${MINER_ADDRESS}.shelf`);
  const careless = await scene.connect("cgminer/4.12.1", `${OTHER_ADDRESS}.careless`);
  await careless.submitNonsense();
  const hopeless = await scene.connect("cpuminer/2.5.1", `${BANNED_ADDRESS}.hopeless`);
  for (let count = 0; count < BAN_AFTER; count += 1) await hopeless.submitNonsense();
  scene.startMiner(`${OTHER_ADDRESS}.attic`, 100_000);
  await until("three blocks and a ban", async () => {
    const { blocks_accepted: found } = await scene.json("/api/pool-page");
    const { banned_workers: banned } = await scene.json("/api/overview");
    return found >= 3 && banned?.length > 0;
  }, 2 * START_MS_MAX);
  for (const worker of [`${MINER_ADDRESS}.garage`, `${OTHER_ADDRESS}.attic`, `${OTHER_ADDRESS}.cellar`]) {
    await scene.post("/worker/save", { worker });
  }
  // What is left is slow enough for a browser beside it, and finds a block every ten seconds or so.
  await eager.end();
  scene.startMiner(`${MINER_ADDRESS}.garage`, 400_000);
});

/** A pool to which no miner has come yet. */
export const empty = () => made("empty", async (scene) => {
  await scene.startNode();
  await scene.startPool();
});

/** A pool whose node does not answer, until somebody lets it go on. */
export const nodeless = () => made("nodeless", async (scene) => {
  await scene.startNode();
  scene.node.signal("SIGSTOP");
  await scene.startPool({ hasWork: false });
});

/** A pool whose node is new to the main network: it has heard of the first block, and has none. */
export const syncing = () => made("syncing", async (scene) => {
  await scene.startNode({ network: "mainnet" });
  await scene.rpc("submitheader", [FIRST_HEADER]);
  await scene.startPool({ hasWork: false });
});

/** A pool whose people sign in, with a node or without one; `before` is done to Clerk's stand-in first. */
export const people = ({ hasNode = false, before = () => {} } = {}) => made("people", async (scene) => {
  if (hasNode) await scene.startNode();
  const edit = await scene.startClerk();
  await before(scene.clerk);
  await scene.startPool({ edit });
});

/** An operator's, for tests that change it. */
export const operators = (options) => made("operators", async (scene) => {
  await scene.startNode();
  await scene.startPool({ isShared: true, ...options });
});

/** The same without a node, which is enough for what needs no miner. */
export const operatorsAlone = () => made("operators-alone", (scene) => scene.startPool({ isShared: true }));
