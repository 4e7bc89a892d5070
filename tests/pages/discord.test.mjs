// Somebody connects a Discord account, with the stand-in of tests/services as Discord.

import assert from "node:assert/strict";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { start } from "../services/given.mjs";
import { violations, watch } from "./browser.mjs";
import { LIMIT, browserForFile, nothing } from "./given.mjs";
import { operators, until } from "./scene.mjs";

const withPage = browserForFile();
const INVITATION = "https://discord.invalid/invitation";
let discord;
let scene;
before(async () => {
  discord = await start("discord");
  const edit = (folder) => {
    writeFileSync(join(folder, "secrets.toml"), `discord_token = "${discord.token}"\n`, { mode: 0o600 });
    appendFileSync(join(folder, "services.toml"), `
[discord]
discord_server_id = "${discord.server_id}"
discord_notify_channel_id = "${discord.channel_id}"
discord_url = "${INVITATION}"
api_url = "${discord.api}"
`);
  };
  scene = await operators({ edit });
  await until("who it is", async () => (await discord.ask("GET", "frames?op=2")).length > 0);
  // Discord's three seconds are too short for a machine that does other things too.
  await discord.ask("POST", "settings", { answer_ms: 60_000 });
});
after(async () => {
  await scene?.end();
  await discord?.end();
});

/** Uses a command on Discord; what came back. */
async function notify(code, user) {
  const { id } = await discord.ask("POST", "interaction", { name: "notify", options: { code }, user: { id: user } });
  const answered = () => discord.ask("GET", "interactions").then((all) => all.find((one) => one.id === id)?.answer);
  return (await until("an answer", answered)).data.content;
}

const notices = (page) => page.locator("section[aria-labelledby='notices']");
/** What a click has led to, once all of it is there. */
async function textOf(place) {
  await place.page().waitForLoadState();
  return place.innerText();
}
const codeOf = (text) => text.match(/\/notify (\S+)/)[1];

describe("a Discord account", () => {
  test("is connected without JavaScript", LIMIT, () => withPage({ javaScriptEnabled: false }, async (page) => {
    const complaints = watch(page, scene.url);
    await page.goto(`${scene.url}/saved-workers`);
    assert.match(await textOf(notices(page)), /No Discord account is connected/);
    assert.ok(await page.getByRole("button", { name: "Switch notices on" }).isDisabled());
    await page.getByRole("button", { name: "Connect Discord" }).click();
    const first = codeOf(await textOf(page.locator("main")));
    assert.equal(await page.getByRole("link", { name: "the pool's server" }).getAttribute("href"), INVITATION);
    await page.getByRole("button", { name: "Make another code" }).click();
    const second = codeOf(await textOf(page.locator("main")));
    assert.match(await notify(first, "1180000000000000071"), /wrong or has expired/);
    await page.getByRole("button", { name: "Done" }).click();
    assert.match(await notify(second, "1180000000000000071"), /wrong or has expired/, "who is done needs it no more");
    await page.getByRole("button", { name: "Connect Discord" }).click();
    assert.match(await notify(codeOf(await textOf(page.locator("main"))), "1180000000000000071"), /^Linked/);
    await page.getByRole("button", { name: "Done" }).click();
    assert.match(await textOf(notices(page)), /^Notices on Discord\s+On:/);
    await page.getByRole("button", { name: "Switch notices off" }).click();
    assert.match(await textOf(notices(page)), /Off:/);
    nothing(complaints);
  }));

  test("is connected in a dialog, whose end is the end of the code", LIMIT, () => withPage({}, async (page) => {
    const complaints = watch(page, scene.url);
    await page.goto(`${scene.url}/saved-workers`);
    const dialog = page.getByRole("dialog", { name: "Connect Discord" });
    assert.equal(await dialog.count(), 0);
    const open = async () => {
      await page.getByRole("button", { name: "Connect another account" }).click();
      await dialog.getByText("It works once, and expires in").waitFor();
      return codeOf(await dialog.innerText());
    };
    const first = await open();
    assert.deepEqual(await violations(page), []);
    const cleared = page.waitForResponse((response) => response.url().endsWith("/one-time-code/clear") && response.ok());
    await page.keyboard.press("Escape");
    await cleared;
    assert.match(await notify(first, "1180000000000000072"), /wrong or has expired/);
    const second = await open();
    assert.notEqual(second, first);
    assert.match(await notify(second, "1180000000000000072"), /^Linked/);
    await dialog.getByRole("button", { name: "Done" }).click();
    await page.reload();
    assert.match(await textOf(notices(page)), /On:/, "linking is wanting to hear");
    nothing(complaints);
  }));
});
