// Clerk's part of a page: its form where people sign in, and a fresh token for the session's cookie while a page is
// open, for each lasts a minute. Its own script comes from the operator's Clerk, and on no other page.
"use strict";

const LOAD_MS = 15000;
const FRESH_MS = 30000;
const REFRESH = "/api/auth/session-refresh";

const clerkScript = document.querySelector("script[data-clerk-publishable-key]");
const signInForm = document.querySelector("[data-sign-in]");
const ended = document.querySelector("[data-session-ended]");

class Trouble extends Error {}

/** Clerk, once its script is there and has begun. */
function clerk() {
  const loaded = new Promise((resolve, reject) => {
    if (window.Clerk) return resolve();
    clerkScript.addEventListener("load", resolve);
    clerkScript.addEventListener("error", () => reject(new Trouble("Clerk's script cannot be loaded.")));
  });
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
  const token = await clerk.session?.getToken();
  if (!token) return 0;
  const response = await fetch(REFRESH, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
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

/** Keeps the session of an open page; says so when it has ended. */
async function keepSession() {
  let clerk;
  try {
    clerk = await window.clerkReady;
  } catch {
    return; // The cookie is good for a while; what is not taken is noticed below.
  }
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const status = await refreshSession(clerk);
      ended.hidden = status === 200;
    } catch {
      // The pool or Clerk is away; the page says elsewhere that it is old.
    }
  };
  setInterval(refresh, FRESH_MS);
  document.addEventListener("visibilitychange", refresh);
  await refresh();
}

if (clerkScript) {
  window.clerkReady = clerk();
  if (signInForm) signIn();
  else if (ended) keepSession();
  else window.clerkReady.catch(() => {});
}
