// Clerk's part of a page: its form where people sign in, and a fresh token for the session's cookie while a page is
// open, for each lasts a minute. Its own script comes from the operator's Clerk, and on no other page.
"use strict";

const LOAD_MS = 15000;
const FRESH_MS = 30000;
const SIGN_OUT_MS = 3000;
const REFRESH = "/api/auth/session-refresh";

const { clerkSrc, clerkPublishableKey } = document.currentScript.dataset;
const signInForm = document.querySelector("[data-sign-in]");
const ended = document.querySelector("[data-session-ended]");

/** Tokens on their way, and Clerk's script when it begins: both set cookies. */
const underway = new Set();
const signingOut = new AbortController();
let isSigningOut = false;

/**
 * What is on its way when somebody signs out would bring their cookie back. It is waited for all the same: after a while
 * out of sight the cookie is over, and without one the pool does not know which session Clerk is to end.
 */
document.querySelector("form[action='/logout']")?.addEventListener("submit", async (event) => {
  const isImpatient = isSigningOut;
  isSigningOut = true;
  if (isImpatient || underway.size === 0) return signingOut.abort();
  event.preventDefault();
  await Promise.race([Promise.all(underway), new Promise((resolve) => { setTimeout(resolve, SIGN_OUT_MS); })]);
  signingOut.abort();
  event.target.submit();
});

class Trouble extends Error {}

/** Clerk, once its script is there and has begun. It is asked for here: what came of it earlier nobody would have heard. */
function clerk() {
  const script = document.createElement("script");
  Object.assign(script, { src: clerkSrc, async: true, crossOrigin: "anonymous" });
  script.dataset.clerkPublishableKey = clerkPublishableKey;
  const loaded = new Promise((resolve, reject) => {
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Trouble("Clerk's script cannot be loaded.")));
  });
  document.head.append(script);
  const begun = loaded.then(() => window.Clerk.load()).catch((error) => {
    throw error instanceof Trouble ? error : new Trouble("Clerk's script does not begin.");
  });
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Trouble(`Clerk has not answered within ${LOAD_MS / 1000} seconds.`)), LOAD_MS);
  });
  return Promise.race([begun, late]).then(() => window.Clerk);
}

/** Gives the pool a fresh token; the status of its answer, or 0 when there is no session. */
async function refreshSession(clerk) {
  // Always a new one: what Clerk's script has in hand may not last until the next time.
  const token = await clerk.session?.getToken({ skipCache: true });
  if (!token) return 0;
  const body = JSON.stringify({ token });
  const response = await fetch(REFRESH, { method: "POST", headers: { "Content-Type": "application/json" }, body, signal: signingOut.signal });
  return response.status;
}

async function signIn() {
  const { target, callback } = signInForm.dataset;
  const state = document.querySelector("[data-sign-in-state]");
  let isLeaving = false;
  const leave = async (clerk) => {
    if (isLeaving || !clerk.session) return;
    isLeaving = true;
    state.textContent = "Signed in. One moment…";
    const status = await refreshSession(clerk);
    // Without JSON the pool takes the cookie that Clerk's script has set.
    if (status === 200) location.replace(target);
    else if (status === 404) location.replace(callback);
    else { isLeaving = false; throw new Trouble("The pool does not take Clerk's word for it. Its operator should look at the log."); }
  };
  const say = (error) => {
    state.textContent = error instanceof Trouble ? error.message : "Signing in has failed.";
    document.querySelector("[data-sign-in-help]").hidden = false;
  };
  state.textContent = "Loading Clerk's form…";
  try {
    const clerk = await window.clerkReady;
    state.textContent = "";
    clerk.addListener(() => leave(clerk).catch(say));
    await leave(clerk);
    // It stays on this page: our own script goes on from here.
    const here = location.href;
    if (!isLeaving) clerk.mountSignIn(signInForm, { forceRedirectUrl: here, signUpForceRedirectUrl: here });
  } catch (error) {
    say(error);
  }
}

/** Keeps the session of an open page. Whether it has ended the pool knows, and app.js hears it. */
function keepSession() {
  const refresh = async () => {
    if (await refreshSession(await window.clerkReady) === 200) ended.hidden = true;
  };
  const keep = () => {
    if (document.hidden || isSigningOut) return;
    // The pool or Clerk may be away, and the session may have ended there; the cookie is good for a while.
    const one = refresh().catch(() => {}).finally(() => underway.delete(one));
    underway.add(one);
  };
  // A page that is opened out of sight asks for nothing yet.
  window.clerkReady.catch(() => {});
  setInterval(keep, FRESH_MS);
  document.addEventListener("visibilitychange", keep);
  keep();
}

window.clerkReady = clerk();
if (signInForm) signIn();
else keepSession();
