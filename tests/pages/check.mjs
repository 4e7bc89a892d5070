// Starts the scenes, runs every file of tests against them, and ends all of it.
//
//   node check.mjs [part of a file's name]

import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

import { ADMIN, busy, empty, endAll, nodeless, syncing } from "./scene.mjs";

/** Files at a time: two that keep two cores busy, and one that mostly waits. */
const CONCURRENCY = 3;

const here = dirname(fileURLToPath(import.meta.url));
const wanted = process.argv[2] ?? "";
const files = readdirSync(here).filter((name) => name.endsWith(".test.mjs") && name.includes(wanted)).map((name) => join(here, name));
// First the longest, then those that wait for half a minute and more.
const FIRST = ["sign_in", "looks"];
const rank = (name) => FIRST.length - FIRST.findLastIndex((part) => name.includes(part));
files.sort((a, b) => rank(a) - rank(b));
// Figures are taken when nothing else is going on.
const timed = files.filter((name) => name.includes("budgets"));
// A node is given up five minutes after the start, so what comes of it is looked at last.
const late = files.filter((name) => name.includes("down"));

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => endAll().finally(() => process.exit(130)));

function passes(some, concurrency) {
  if (some.length === 0) return true;
  return new Promise((resolve) => {
    let hasPassed = true;
    const tests = run({ files: some, concurrency });
    tests.on("test:fail", () => { hasPassed = false; });
    tests.once("end", () => resolve(hasPassed));
    tests.compose(new spec()).pipe(process.stdout, { end: false });
  });
}

try {
  const started = Date.now();
  const outcomes = await Promise.allSettled([busy(), empty(), nodeless(), syncing()]);
  const scenes = outcomes.filter((one) => one.status === "fulfilled").map((one) => one.value);
  for (const one of outcomes) if (one.status === "rejected") throw one.reason;
  console.log(`scenes are up after ${((Date.now() - started) / 1000).toFixed(1)} s: ${scenes.map((scene) => `${scene.name} ${scene.url}`).join(", ")}`);
  process.env.PAGES_SCENES = JSON.stringify(Object.fromEntries(scenes.map((scene) => [scene.name, scene.url])));
  const signedIn = await scenes[0].post("/admin/login", ADMIN);
  process.env.PAGES_SESSION = signedIn.headers.get("set-cookie").split(";")[0];
  process.env.PAGES_STOPPED_NODE = scenes.find(({ name }) => name === "nodeless").node.process.pid;
  const hasPassed = await passes(files.filter((name) => ![...timed, ...late].includes(name)), CONCURRENCY);
  const isQuick = await passes(timed, 1);
  const isDown = await passes(late, 1);
  process.exitCode = hasPassed && isQuick && isDown ? 0 : 1;
} finally {
  await endAll();
}
