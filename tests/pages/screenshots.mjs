// Takes pictures of all pages, and the one for the README.
//
//   node screenshots.mjs FOLDER PICTURE

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { launch, open } from "./browser.mjs";
import { signIn } from "./operator.mjs";
import { signIn as signInWithClerk, tokenOf } from "./person.mjs";
import { GARAGE, PLACES, SCHEMES, WIDTHS } from "./places.mjs";
import { OTHER_ADDRESS, busy, empty, endAll, nodeless, people } from "./scene.mjs";

/** Hashrates are told once there have been some shares. */
const WARM_UP_MS = 45_000;
const PHONE_WIDTH_MAX = 500;
/** A picture has no scrollbar, and needs no room for one. */
const NO_GUTTER = "html { scrollbar-gutter: auto !important; scrollbar-width: none !important; }";
/** So that the line above is let in. */
const STYLED = { bypassCSP: true };
const README = { width: 1200, height: 1000 };

const [folder, picture] = process.argv.slice(2);
const scenes = [];
let browser;
const end = async () => {
  await browser?.close();
  await endAll();
};
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => end().finally(() => process.exit(130)));

async function takeAll(scene, width, colorScheme) {
  const isPhone = width < PHONE_WIDTH_MAX;
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, isMobile: isPhone, hasTouch: isPhone, ...STYLED });
  const page = await context.newPage();
  for (const place of PLACES[scene.name]) {
    // Signed in by its form, as an operator would.
    if (place.isOperators && !(await context.cookies(`${scene.url}/admin`)).length) await signIn(page, scene.url);
    if (place.isPersons) await signInWithClerk(page, scene, scene.clerk.user);
    await open(page, scene.url + place.path);
    if (place.shows) await page.locator(place.shows).first().waitFor();
    await page.addStyleTag({ content: NO_GUTTER });
    const name = `${scene.name}-${place.name}-${width}-${colorScheme}.png`;
    await page.screenshot({ path: join(folder, name), fullPage: true, animations: "disabled" });
  }
  await context.close();
}

/** Three workers, two of them at work; somebody has saved all three. */
async function someWorkers(scene) {
  scene.startMiner(GARAGE, 200_000);
  scene.startMiner(`${OTHER_ADDRESS}.attic`, 60_000);
  const { token } = await tokenOf(scene);
  for (const worker of [GARAGE, `${OTHER_ADDRESS}.attic`, `${OTHER_ADDRESS}.cellar`]) await scene.post("/worker/save", { worker }, { Cookie: `__session=${token}` });
}

try {
  mkdirSync(folder, { recursive: true });
  for (const scene of await Promise.all([busy(), empty(), nodeless(), people({ hasNode: true })])) scenes.push(scene);
  await someWorkers(scenes.at(-1));
  console.log("pools are up; waiting until hashrates have settled");
  await sleep(WARM_UP_MS);
  browser = await launch({ isWhole: true });
  for (const scene of scenes) {
    for (const width of WIDTHS) for (const colorScheme of SCHEMES) await takeAll(scene, width, colorScheme);
    console.log(`${scene.name}: ${PLACES[scene.name].length * WIDTHS.length * SCHEMES.length} pictures in ${folder}`);
  }
  const page = await browser.newPage({ viewport: README, colorScheme: "light", ...STYLED });
  await open(page, scenes[0].url);
  await page.addStyleTag({ content: NO_GUTTER });
  await page.screenshot({ path: picture, animations: "disabled" });
  console.log(`wrote ${picture}`);
} finally {
  await end();
}
