// What an operator's panel does to the pool behind it: its files, its logs, its accounts, its miners, its end.
// The pool is one for these tests alone.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { confirm, watch } from "./browser.mjs";
import { LIMIT, browserForFile, nothing } from "./given.mjs";
import { send, signIn } from "./operator.mjs";
import { ADMIN, MINER_ADDRESS, OTHER_ADDRESS, operators, operatorsAlone, until } from "./scene.mjs";

/** What the command line says of a setting, and what the file says of it. */
const BY_FLAG = 77;
const BY_FILE = 500;
/** Slow enough for a browser beside it. */
const HASHES_PER_SECOND = 20_000;

const withPage = browserForFile();
let scene;
before(async () => {
  scene = await operators({ flags: ["-max-conns", String(BY_FLAG)], edit: writeAsPeopleDo });
});
after(() => scene?.end());

/** Comments, keys that nobody knows, and a setting that the command line overrules. */
function writeAsPeopleDo(folder) {
  const change = (name, words) => {
    const path = join(folder, name);
    writeFileSync(path, words(readFileSync(path, "utf8")));
  };
  change("config.toml", (text) => `# Ours; ask before you change it.\n${text
    .replace("[branding]", "[branding]\n# What visitors read first.\nhouse_colour = \"green\"")
    .replace(/(status_tagline = .*)/, "$1 # for now")}\n[attic]\ncat = true # it is a good one\n`);
  change("tuning.toml", (text) => `${text}\n# Not more than the router can do.\n[rate_limits]\nmax_conns = ${BY_FILE} # by hand\n`);
}

/** All files of the configuration, by their names. */
function files() {
  const folder = join(scene.folder, "pool/config");
  const all = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(all.map(({ name }) => [name, readFileSync(join(folder, name), "utf8")]));
}

/** What a reader of the page is told after something was done. */
const notice = async (page, code) => {
  await page.waitForURL(new RegExp(`notice=${code}`));
  return page.locator(".notice.good[role='status']").textContent();
};
const saved = (page) => page.locator("section[aria-labelledby='save']");
const ended = (client) => until(`the end of ${client.user}`, () => client.socket.closed);
const numberOf = (row) => row.locator("input[name='connection_seq']").getAttribute("value");

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with" : "without";
  const tagline = `Saved ${how} scripts`;
  const shares = javaScriptEnabled ? "41.5" : "42.5";
  const limit = javaScriptEnabled ? "600" : "700";

  /** Changes something in two files, and something that the command line holds. */
  async function change(page, fields) {
    await page.goto(`${scene.url}/admin`);
    const advanced = page.getByText("Advanced: connections");
    if (!await page.locator("[name='max_conns']").isVisible()) await advanced.click();
    await send(page, "/admin/apply", fields);
    await notice(page, "settings_");
  }

  describe(`a pool and its operator, ${how} JavaScript`, () => {
    test("settings are saved to disk, and nothing else is", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, scene.url);
      await signIn(page, scene.url);
      const written = files();
      await change(page, { status_tagline: tagline, target_shares_per_min: shares, max_conns: limit });
      assert.deepEqual(files(), written, "applying writes nothing");
      assert.match(await saved(page).innerText(), new RegExp(`${tagline}[^]*${shares}`));
      await send(page, "/admin/persist", { confirm: "SAVE" });
      assert.match(await notice(page, "saved_to_disk"), /saved to disk/);
      const { "config.toml": config, "tuning.toml": tuning } = written;
      assert.deepEqual(files(), {
        ...written,
        // Every other byte is as it was: comments, unknown keys, and what the command line overrules.
        "config.toml": config.replace(/(status_tagline = )"[^"]*"/, `$1"${tagline}"`),
        "tuning.toml": tuning.replace(/(target_shares_per_min = )[0-9.]+/, `$1${shares}`).replace(/(max_conns = )\d+/, `$1${limit}`),
        "config.toml.bak": config,
        "tuning.toml.bak": tuning,
      });
      assert.match(files()["config.toml"], /# Ours;[^]*house_colour = "green"[^]*# for now[^]*cat = true # it is a good one/);
      assert.match(await saved(page).innerText(), /Nothing has been changed/);
      assert.match(await page.locator("#help-max_conns").textContent(), new RegExp(`In force is ${BY_FLAG}, by -max-conns`));
      nothing(complaints);
    }));

    test("what cannot be saved is said once, and changes no file and no setting", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, scene.url);
      await signIn(page, scene.url);
      const changed = `Not saved ${how} scripts`;
      await change(page, { status_tagline: changed, target_shares_per_min: "43.5" });
      const written = files();
      // Not even root writes a file where a folder is; it is in the way of the last file of four.
      const obstacle = join(scene.folder, "pool/config/tuning.toml.new");
      mkdirSync(obstacle);
      try {
        const answered = page.waitForResponse((response) => response.url().endsWith("/admin/persist"));
        await send(page, "/admin/persist", { confirm: "SAVE" });
        assert.equal((await answered).status(), 500);
        assert.equal(await page.getByRole("alert").count(), 1);
        assert.match(await saved(page).getByRole("alert").textContent(), /nothing is saved: cannot write \S+tuning\.toml: \w+/);
        assert.deepEqual(files(), written);
        assert.match(await saved(page).innerText(), new RegExp(`${changed}[^]*43.5`), "it can be saved later");
        await page.goto(scene.url);
        assert.match(await page.locator(".brand").textContent(), new RegExp(changed), "it is in force as before");
      } finally {
        rmdirSync(obstacle);
      }
      await page.goto(`${scene.url}/admin`);
      await send(page, "/admin/persist", { confirm: "SAVE" });
      await notice(page, "saved_to_disk");
      assert.match(files()["config.toml"], new RegExp(changed));
      nothing(complaints);
    }));

    test("what the logs say is switched on and off", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, scene.url);
      await signIn(page, scene.url);
      const switches = () => Promise.all(["Debug lines", "Network trace"].map((name) => page.getByLabel(name).isChecked()));
      const flip = async (isOn, password = ADMIN.password) => {
        await page.goto(`${scene.url}/admin/logs`);
        await page.getByLabel("Debug lines").setChecked(isOn);
        await page.getByLabel("Network trace").setChecked(isOn);
        await send(page, "/admin/logs/switch", {}, { password });
      };
      const lines = async (source, search) => {
        await page.goto(`${scene.url}/admin/logs?source=${source}&search=${search}`);
        return (await page.locator("pre.log").textContent()).split("\n").filter(Boolean);
      };
      const traced = (name) => until(`${name} in the trace`, async () => (await lines("net", name)).length > 0);
      const mine = (name) => scene.connect("bitaxe/BM1370/v2.9.0", `${OTHER_ADDRESS}.${name}-${how}`);
      await flip(true, "a wrong one");
      assert.match(await page.getByRole("alert").textContent(), /password/i);
      await page.goto(`${scene.url}/admin/logs`);
      assert.deepEqual(await switches(), [false, false]);
      await mine("before");
      await flip(true);
      assert.match(await notice(page, "log_flags_changed"), /as you have chosen/);
      assert.deepEqual(await switches(), [true, true]);
      await mine("during");
      await traced(`during-${how}`);
      const trace = await lines("net", `during-${how}`);
      assert.ok(trace.some((line) => line.includes("mining.authorize")), trace.join("\n"));
      assert.ok((await lines("debug", "[DEBUG]")).length > 0);
      await flip(false);
      await notice(page, "log_flags_changed");
      assert.deepEqual(await switches(), [false, false]);
      await mine("after");
      // Lines are written in their order: the last one is there, so the others would be.
      await flip(true);
      await mine("again");
      await traced(`again-${how}`);
      for (const name of ["before", "after"]) assert.deepEqual(await lines("net", `${name}-${how}`), [], `${name} it was on`);
      await flip(false);
      await notice(page, "log_flags_changed");
      nothing(complaints);
    }));

    test("miners are disconnected, and banned", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, scene.url);
      const name = (part) => `${OTHER_ADDRESS}.${part}-${how}`;
      const [stays, goes] = [await scene.connect("NerdMinerV2/1.8.3", name("stays")), await scene.connect("NerdMinerV2/1.8.3", name("goes"))];
      await signIn(page, scene.url);
      const row = (part) => page.getByRole("row", { name: `${part}-${how}` });
      const shown = (part) => until(`${part} on the page`, async () => (await page.goto(`${scene.url}/admin/miners?q=-${how}`)) && await row(part).count() === 1);
      const gone = (part) => until(`${part} off the page`, async () => (await page.goto(`${scene.url}/admin/miners?q=-${how}`)) && await row(part).count() === 0);
      const press = async (part, button) => {
        await shown(part);
        await row(part).getByRole("checkbox").check();
        await send(page, "/admin/miners/disconnect", {}, { button });
      };
      await shown("goes");
      const number = await numberOf(row("goes"));
      await press("goes", /^Disconnect/);
      assert.match(await notice(page, "miner_disconnected"), /disconnected/);
      await ended(goes);
      await gone("goes");
      const again = await scene.connect("NerdMinerV2/1.8.3", name("goes"));
      await shown("goes");
      assert.notEqual(await numberOf(row("goes")), number, "it may come back at once");
      await press("goes", /^Ban/);
      assert.match(await notice(page, "miner_banned"), /banned/);
      await ended(again);
      await assert.rejects(scene.connect("NerdMinerV2/1.8.3", name("goes")), /may not mine: .*bann?ed/i);
      await until("the ban", async () => (await page.goto(`${scene.url}/admin/bans`)) && await row("goes").count() === 1);
      await gone("goes");
      // Nobody else was meant.
      assert.equal(await row("stays").count(), 1);
      assert.ok(!stays.socket.closed);
      nothing(complaints);
    }));

    test("a saved worker is made to come again", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, scene.url);
      const worker = `rig-${how}`;
      const miner = scene.startMiner(`${MINER_ADDRESS}.${worker}`, HASHES_PER_SECOND);
      await page.goto(`${scene.url}/saved-workers`);
      await page.getByLabel("Worker name").fill(`${MINER_ADDRESS}.${worker}`);
      await page.getByRole("button", { name: "Save", exact: true }).click();
      const row = page.getByRole("row", { name: worker });
      const button = row.locator("summary", { hasText: "Reconnect" });
      const connections = async () => (await scene.json("/api/saved-workers")).online_workers.filter(({ name }) => name.endsWith(worker)).map((one) => one.connection_seq);
      const [first] = await until("the miner", async () => (await connections()).length === 1 && connections());
      await until("a way to reset it", async () => (await page.goto(`${scene.url}/saved-workers`)) && await button.count() === 1);
      await confirm(row, "Reconnect");
      assert.match(await page.locator("main .notice.good").textContent(), /\w/);
      const [second] = await until("the miner once more", async () => {
        const [number, ...others] = await connections();
        return number && number !== first && others.length === 0 && [number];
      });
      assert.ok(second > first, `connection ${first}, then ${second}`);
      assert.ok(miner.isRunning, "the same program");
      await until("its row", async () => (await page.goto(`${scene.url}/saved-workers`)) && await button.count() === 1);
      await miner.end();
      nothing(complaints);
    }));

    test("an account is deleted with all it has saved", LIMIT, () => withPage({ javaScriptEnabled }, async (page) => {
      const complaints = watch(page, scene.url);
      for (const name of ["shed", "barn"]) {
        await page.goto(`${scene.url}/saved-workers`);
        await page.getByLabel("Worker name").fill(`${OTHER_ADDRESS}.${name}`);
        await page.getByRole("button", { name: "Save", exact: true }).click();
        await page.locator("main .notice.good").waitFor();
      }
      await signIn(page, scene.url);
      const account = page.locator("tbody tr", { hasText: "shed" });
      const accounts = () => page.goto(`${scene.url}/admin/logins`);
      const press = (options) => send(page, "/admin/logins/ban", {}, { button: /^Delete/, ...options });
      await accounts();
      assert.match(await account.textContent(), /barn/);
      await press();
      assert.match(await page.getByRole("alert").textContent(), /Choose whose/);
      await accounts();
      await page.locator("input[name='user_id']").check();
      await press({ password: "a wrong one" });
      assert.match(await page.getByRole("alert").textContent(), /password/i);
      assert.ok((await scene.json("/api/saved-workers")).saved_count >= 2, "nothing is gone yet");
      await accounts();
      await page.locator("input[name='user_id']").check();
      await press();
      assert.match(await notice(page, "saved_worker_deleted"), /deleted/);
      await accounts();
      assert.equal(await account.count(), 0);
      assert.match(await page.locator("main").innerText(), /Nobody has signed in or saved a worker yet/);
      await page.goto(`${scene.url}/saved-workers`);
      assert.match(await page.locator("main").innerText(), /Save your first worker/);
      nothing(complaints.filter((text) => !/status of 4\d\d/.test(text)));
    }));

    test("the pool is stopped, and ends well", LIMIT, async () => {
      const other = await operatorsAlone();
      try {
        await withPage({ javaScriptEnabled }, async (page) => {
          const complaints = watch(page, other.url);
          await signIn(page, other.url);
          await send(page, "/admin/reboot", { confirm: "REBOOT" }, { password: "a wrong one" });
          assert.match(await page.getByRole("alert").textContent(), /password/i);
          await page.goto(`${other.url}/admin`);
          // Once it has gone nobody brings a browser the icon that it asks for after the page.
          nothing(complaints.filter((text) => !/status of 4\d\d/.test(text)));
          await send(page, "/admin/reboot", { confirm: "REBOOT" });
          await page.getByRole("heading", { name: "The pool is stopping" }).waitFor();
          assert.match(await page.getByRole("status").first().textContent(), /written to disk/);
        });
        await until("its end", () => !other.pool.isRunning);
        assert.equal(other.pool.process.signalCode, null);
        assert.equal(other.pool.process.exitCode, 0, other.pool.text());
      } finally {
        await other.end();
      }
    });
  });
}
