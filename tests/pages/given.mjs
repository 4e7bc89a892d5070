// What the runner has started, for the files of tests; one browser for all tests of a file.

import { after, before } from "node:test";

import { launch } from "./browser.mjs";

/** Addresses of the scenes by name. */
export const SCENES = JSON.parse(process.env.PAGES_SCENES ?? "{}");
/** Against what hangs: a debug build and a browser are on a machine that does other things too. */
export const LIMIT = { timeout: 300_000 };

/** Fails with a line for each of what was found. */
export function nothing(found) {
  if (found.length > 0) throw new Error(`\n${found.join("\n")}\n`);
}

/** An operator's, as a cookie. */
export const SESSION = process.env.PAGES_SESSION;

/** The process of the node that "nodeless" waits for: it was stopped, and may go on. */
export const STOPPED_NODE = Number(process.env.PAGES_STOPPED_NODE);

/** Whoever opens this place with this page may do so. */
export async function admit(context, place) {
  if (!place.isOperators) return;
  const [name, value] = SESSION.split("=");
  await context.addCookies([{ name, value, domain: new URL(SCENES.busy).hostname, path: "/admin", httpOnly: true, sameSite: "Strict" }]);
}

/** Lookups of one address are limited, so each visitor comes from another one: the pool believes the proxy that
 *  these tests pretend to be. */
export function someone() {
  const number = () => 1 + Math.floor(Math.random() * 254);
  return { "X-Forwarded-For": `10.${number()}.${number()}.${number()}` };
}

/** Gives pages in a context of their own, and closes them after the file. */
export function browserForFile(kind) {
  let browser;
  before(async () => { browser = await launch(kind); });
  after(async () => { await browser?.close(); });
  return async (options, use) => {
    const context = await browser.newContext({ extraHTTPHeaders: someone(), ...options });
    context.setDefaultTimeout(LIMIT.timeout / 2);
    try {
      return await use(await context.newPage(), context);
    } catch (error) {
      // Which of the two it was: a browser that hangs, or a pool that does.
      for (const [name, url] of Object.entries(SCENES)) {
        await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(5000) }).catch(() => { error.message += `\nand the pool "${name}" does not answer`; });
      }
      throw error;
    } finally {
      await context.close();
    }
  };
}
