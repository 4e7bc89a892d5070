// What an operator does at a panel again and again.

import { ADMIN } from "./scene.mjs";

export async function signIn(page, url) {
  await page.goto(`${url}/admin`);
  await page.getByLabel("Username").fill(ADMIN.username);
  await page.getByLabel("Password").fill(ADMIN.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(/logged_in/);
}

/** Fills a form in and sends it, by its first button or by the one of this name. */
export async function send(page, action, fields, { password = ADMIN.password, button } = {}) {
  const form = page.locator(`form[action="${action}"]`);
  for (const [name, value] of Object.entries(fields)) await form.locator(`[name="${name}"]:not([type="hidden"])`).fill(value);
  await form.locator("[name='password']").fill(password);
  await (button ? form.getByRole("button", { name: button }) : form.locator(".actions button").first()).click();
  await page.waitForLoadState();
}
