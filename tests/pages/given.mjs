// What the runner has started, for the files of tests; one browser for all tests of a file.

import { after, before } from "node:test";

import { launch } from "./browser.mjs";

/** Addresses of the scenes by name. */
export const SCENES = JSON.parse(process.env.PAGES_SCENES);
/** A debug build and a browser on a machine that does other things too. */
export const LIMIT = { timeout: 120_000 };

/** Fails with a line for each of what was found. */
export function nothing(found) {
  if (found.length > 0) throw new Error(`\n${found.join("\n")}\n`);
}

/** Gives pages in a context of their own, and closes them after the file. */
export function browserForFile() {
  let browser;
  before(async () => { browser = await launch(); });
  after(async () => { await browser?.close(); });
  return async (options, use) => {
    const context = await browser.newContext(options);
    try {
      return await use(await context.newPage(), context);
    } finally {
      await context.close();
    }
  };
}
