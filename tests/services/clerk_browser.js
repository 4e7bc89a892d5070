// The part of Clerk's browser API that a page uses, in a script of our own: `clerk.mjs` serves it where the real one would be.
// Its forms sign a test user in at the press of one button.
//
// Like the real one it is given its key by the script element (`data-clerk-publishable-key`) or by
// `window.__clerk_publishable_key`, makes `window.Clerk`, and does nothing until `Clerk.load()`. Like the real one of a
// development instance it keeps the token of the browser in a cookie of the page, and session tokens in `__session`.
(() => {
  "use strict";

  const script = document.currentScript;
  const origin = new URL(script.src).origin;
  const key = script.dataset.clerkPublishableKey || window.__clerk_publishable_key;
  const setsCookies = SETS_COOKIES;
  const BROWSER_COOKIE = "__clerk_db_jwt";
  /** A token that ends sooner is not handed out. */
  const SPARE_MS = 10_000;
  const REFRESH_MS = 50_000;

  if (!key) throw new Error("@clerk/clerk-js: Missing publishableKey.");
  const [, kind, encoded] = /^(pk_test_|pk_live_)(.+)$/.exec(key) || [];
  if (!kind || !atob(encoded).endsWith("$")) throw new Error(`@clerk/clerk-js: The publishableKey passed to Clerk is invalid. (key=${key})`);

  const cookie = (name) => document.cookie.split("; ").find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
  const setCookie = (name, value, seconds) => {
    const isSecure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `${name}=${value}; path=/; max-age=${seconds}; samesite=lax${isSecure}`;
  };
  const claims = (jwt) => JSON.parse(atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));

  async function call(path, body) {
    const url = new URL(path, origin);
    const browser = cookie(BROWSER_COOKIE);
    if (browser) url.searchParams.set(BROWSER_COOKIE, browser);
    const response = await fetch(url, { method: body === undefined ? "GET" : "POST", body: body && new URLSearchParams(body) });
    const said = await response.json();
    if (response.ok) return said;
    throw Object.assign(new Error(said.errors[0].message), { status: response.status, errors: said.errors });
  }

  class User {
    constructor(raw) {
      this.id = raw.id;
      this.username = raw.username;
      this.firstName = raw.first_name;
      this.lastName = raw.last_name;
      this.fullName = [raw.first_name, raw.last_name].filter(Boolean).join(" ") || null;
      this.imageUrl = raw.image_url;
      this.createdAt = new Date(raw.created_at);
      this.emailAddresses = raw.email_addresses.map((one) => ({ id: one.id, emailAddress: one.email_address }));
      this.primaryEmailAddress = this.emailAddresses[0] ?? null;
    }
  }

  class Session {
    #token;

    constructor(raw) {
      this.id = raw.id;
      this.status = raw.status;
      this.expireAt = new Date(raw.expire_at);
      this.user = new User(raw.user);
    }

    get lastActiveToken() {
      return this.#token ? { getRawString: () => this.#token, jwt: { claims: claims(this.#token) } } : null;
    }

    async getToken({ skipCache = false } = {}) {
      const isFresh = this.#token && claims(this.#token).exp * 1000 > Date.now() + SPARE_MS;
      if (skipCache || !isFresh) {
        this.#token = (await call(`/v1/client/sessions/${this.id}/tokens`, {})).jwt;
        if (setsCookies) setCookie("__session", this.#token, 31_536_000);
      }
      return this.#token;
    }
  }

  class Clerk {
    #listeners = new Set();
    #forms = new Map();
    #timer;

    version = "5.0.0";
    loaded = false;
    client = undefined;
    session = undefined;
    user = undefined;

    constructor(publishableKey) {
      this.publishableKey = publishableKey;
      this.frontendApi = atob(encoded).slice(0, -1);
      this.instanceType = kind === "pk_live_" ? "production" : "development";
    }

    get isSignedIn() {
      return Boolean(this.session);
    }

    async load(options = {}) {
      if (this.loaded) return;
      this.options = options;
      const here = new URL(location.href);
      const handed = here.searchParams.get(BROWSER_COOKIE);
      if (handed) {
        setCookie(BROWSER_COOKIE, handed, 31_536_000);
        here.searchParams.delete(BROWSER_COOKIE);
        history.replaceState(history.state, "", here);
      }
      let client = cookie(BROWSER_COOKIE) && (await call("/v1/client").catch((error) => {
        if (error.status !== 401) throw error;
      }));
      if (!client) {
        setCookie(BROWSER_COOKIE, (await call("/v1/dev_browser", {})).id, 31_536_000);
        client = await call("/v1/client");
      }
      await this.#take(client.response);
      this.loaded = true;
      this.#tell();
    }

    async #take(client) {
      this.client = client;
      const last = client.sessions.find((one) => one.id === client.last_active_session_id);
      if (last?.id !== this.session?.id || !last) this.session = last ? new Session(last) : null;
      this.user = this.session?.user ?? null;
      clearInterval(this.#timer);
      if (setsCookies) setCookie("__client_uat", this.session ? Math.floor(Date.now() / 1000) : 0, 31_536_000);
      if (!this.session) {
        if (setsCookies) setCookie("__session", "", 0);
        return;
      }
      await this.session.getToken();
      this.#timer = setInterval(() => this.session?.getToken({ skipCache: true }).catch(() => {}), REFRESH_MS);
    }

    #tell() {
      for (const listener of this.#listeners) listener(this.#now());
    }

    #now() {
      return { client: this.client, session: this.session, user: this.user, organization: null };
    }

    addListener(listener) {
      this.#listeners.add(listener);
      if (this.loaded) listener(this.#now());
      return () => this.#listeners.delete(listener);
    }

    async setActive({ redirectUrl } = {}) {
      await this.#take((await call("/v1/client")).response);
      this.#tell();
      if (redirectUrl) this.navigate(redirectUrl);
    }

    navigate(place) {
      location.assign(new URL(place, location.href));
    }

    async signOut(first, second) {
      const options = (typeof first === "function" ? second : first) ?? {};
      if (!this.session) return;
      await call(`/v1/client/sessions/${this.session.id}/remove`, {});
      await this.#take((await call("/v1/client")).response);
      this.#tell();
      if (typeof first === "function") await first();
      else this.navigate(options.redirectUrl ?? this.options.afterSignOutUrl ?? "/");
    }

    #mount(element, name) {
      if (!this.loaded) throw new Error("@clerk/clerk-js: Clerk must be loaded before a component is mounted.");
      const form = document.createElement("div");
      form.className = `cl-rootBox cl-${name}-root`;
      element.replaceChildren(form);
      this.#forms.set(element, form);
      return form;
    }

    #unmount(element) {
      this.#forms.get(element)?.remove();
      this.#forms.delete(element);
    }

    #button(form, text, pressed) {
      const button = document.createElement("button");
      const problem = document.createElement("p");
      button.type = "button";
      button.className = "cl-formButtonPrimary";
      button.textContent = text;
      problem.setAttribute("role", "alert");
      button.addEventListener("click", () => pressed().catch((error) => { problem.textContent = error.message; }));
      form.append(button, problem);
      return button;
    }

    mountSignIn(element, options = {}) {
      const form = this.#mount(element, "signIn");
      const asked = new URLSearchParams(location.search).get("redirect_url");
      const place = options.forceRedirectUrl ?? asked ?? options.fallbackRedirectUrl ?? options.afterSignInUrl ?? options.redirectUrl ?? "/";
      call("/v1/client/users").then(({ response: users }) => {
        for (const user of users) {
          const button = this.#button(form, `Continue as ${user.email_addresses[0].email_address}`, async () => {
            await call("/v1/client/sign_ins", { user: user.id });
            await this.setActive({ redirectUrl: place });
          });
          button.dataset.user = user.id;
        }
      });
    }

    mountSignUp(element, options) {
      this.mountSignIn(element, options);
    }

    mountUserProfile(element) {
      const form = this.#mount(element, "userProfile");
      if (!this.user) return;
      const name = document.createElement("p");
      name.textContent = this.user.primaryEmailAddress.emailAddress;
      form.append(name);
    }

    mountUserButton(element, options = {}) {
      const form = this.#mount(element, "userButton");
      if (this.user) this.#button(form, "Sign out", () => this.signOut({ redirectUrl: options.afterSignOutUrl }));
    }

    unmountSignIn(element) {
      this.#unmount(element);
    }

    unmountSignUp(element) {
      this.#unmount(element);
    }

    unmountUserProfile(element) {
      this.#unmount(element);
    }

    unmountUserButton(element) {
      this.#unmount(element);
    }

    redirectToSignIn({ redirectUrl, signInForceRedirectUrl } = {}) {
      const place = new URL("/sign-in", origin);
      place.searchParams.set("redirect_url", signInForceRedirectUrl ?? redirectUrl ?? location.href);
      this.navigate(place);
    }
  }

  window.Clerk = new Clerk(key);
})();
