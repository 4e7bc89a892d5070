// Connects somebody's Discord account without leaving the list of their workers. Without this script the same
// form leads to a page with the code.
"use strict";

(() => {
  const CHECK_MS = 5000;

  const dialog = document.querySelector("[data-discord]");
  if (!dialog?.showModal) return;
  const [command, copy, state] = ["command", "copy", "state"].map((name) => dialog.querySelector(`[data-discord-${name}]`));
  const wasLinked = dialog.dataset.discord === "linked";
  let code = "";
  let timers = [];

  const post = (path, body) => fetch(path, {
    method: "POST", keepalive: true, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });

  function show(text, ...more) {
    command.textContent = code ? `/notify ${code}` : "—";
    copy.dataset.copy = command.textContent;
    copy.disabled = !code;
    state.replaceChildren(text, ...more);
  }

  /** Nobody can use what nobody looks at any more. */
  function forget() {
    timers.forEach(clearTimeout);
    timers = [];
    if (code) post("/api/saved-workers/one-time-code/clear", { code }).catch(() => {});
    code = "";
  }

  async function make() {
    forget();
    show("Making a code…");
    try {
      const response = await post("/api/saved-workers/one-time-code", {});
      if (!response.ok) throw new Error((await response.text()).trim());
      const made = await response.json();
      if (!dialog.open) {
        code = made.code;
        forget();
        return;
      }
      code = made.code;
      const until = document.createElement("time");
      until.dataset.until = "";
      until.dateTime = made.expires_at;
      until.textContent = "in 5 min";
      show("It works once, and expires ", until, ".");
      const left = Date.parse(made.expires_at) - Date.parse(response.headers.get("Date") ?? new Date());
      timers.push(setTimeout(() => { code = ""; show("The code has expired. Make another one."); }, left));
      timers.push(setTimeout(check, CHECK_MS));
    } catch (error) {
      show(`There is no code now: ${error.message}.`);
    }
  }

  /** Whether it was used: then the page has something new to say. */
  async function check() {
    try {
      const response = await fetch("/api/saved-workers");
      if (response.ok && !wasLinked && (await response.json()).discord_registered) {
        code = "";
        location.reload();
        return;
      }
    } catch { /* Asked again. */ }
    if (code) timers.push(setTimeout(check, CHECK_MS));
  }

  // The form is in a part of the page that is replaced now and then.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-discord-connect]")) return;
    event.preventDefault();
    dialog.showModal();
    make();
  });
  dialog.querySelector("[data-discord-again]").addEventListener("click", make);
  dialog.addEventListener("close", forget);
  addEventListener("pagehide", forget);
})();
