// What people who sign in do again and again.

import { browserForFile, someone } from "./given.mjs";
import { until } from "./scene.mjs";

export const FORM = ".cl-formButtonPrimary";
const COOKIE = "__session";

/** Pages of visitors who come from an address of their own where that is counted. Clerk is sent no field of the tests'
 *  own: a browser would ask first whether it may. */
export function personForFile() {
  const withPage = browserForFile({ isWhole: true });
  return (options, use) => withPage({ ...options, extraHTTPHeaders: {} }, async (page, context) => {
    const from = someone();
    await context.route(({ pathname }) => ["/sign-in", "/login"].includes(pathname), (route) => {
      const isOurs = !route.request().url().includes("redirect_url=") && route.request().method() === "GET";
      return route.continue(isOurs ? { headers: { ...route.request().headers(), ...from } } : {});
    });
    return use(page, context);
  });
}

/** One more user of Clerk's. */
export const somebody = async ({ clerk }, name) => (await clerk.ask("POST", "user", { email: `${name}@example.com` })).id;

/** The button of Clerk's form, or of its own page, that signs this user in. */
export const buttonOf = (page, user) => page.locator(`${FORM}[data-user="${user}"], button[name="user"][value="${user}"]`);

export const cookieOf = async (context, { url }) => (await context.cookies(url)).find(({ name }) => name === COOKIE);

/** The cookie once it is the pool's own; Clerk's script has one of that name before. */
export const ownCookie = (context, scene) => until("the pool's cookie", async () => {
  const cookie = await cookieOf(context, scene);
  return cookie?.httpOnly && cookie;
});

/** By Clerk's form on the pool's page; the cookie is the pool's own when this returns. */
export async function signIn(page, scene, user, path = "/sign-in") {
  await page.goto(scene.url + path);
  await buttonOf(page, user).click();
  // Clerk's script and the pool's both lead away from there, and one of them comes too late.
  await until("another page", () => new URL(page.url()).pathname !== "/sign-in");
  await page.waitForLoadState();
  return ownCookie(page.context(), scene);
}

export const isSignedIn = async (context, { url }) => (await context.request.get(`${url}/api/saved-workers`)).status() === 200;

/** A request with this token and no browser. */
export function asked({ url }, path, token, options = {}) {
  return fetch(url + path, { redirect: "manual", ...options, headers: { ...someone(), ...(token && { Cookie: `${COOKIE}=${token}` }), ...options.headers } });
}

/** A token as Clerk makes it for the pool's pages. */
export const tokenOf = ({ clerk, url }, wanted = {}) => clerk.ask("POST", "token", { azp: url, ...wanted });
