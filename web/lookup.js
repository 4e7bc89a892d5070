// Lookups send a hash instead of what was typed, so that a wallet stands in no address and no log.
"use strict";

/** SHA-256 of a text as lower-case hex (FIPS 180-4), for pages that came over plain HTTP: browsers keep their
 *  own from them. */
function sha256Plain(text) {
  const primes = [];
  for (let n = 2; primes.length < 64; n += 1) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (value) => ((value - Math.floor(value)) * 2 ** 32) | 0;
  const k = primes.map((p) => fraction(Math.cbrt(p)));
  const h = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(((bytes.length + 8 >> 6) + 1) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length << 3);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const w = new Int32Array(64);
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 64; i += 1) {
      if (i < 16) { w[i] = view.getInt32(block + 4 * i); continue; }
      const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, last] = h;
    for (let i = 0; i < 64; i += 1) {
      const t1 = (last + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const t2 = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, last] = [(t1 + t2) | 0, a, b, c, (d + t1) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, last].forEach((value, i) => { h[i] = (h[i] + value) | 0; });
  }
  return h.map((value) => (value >>> 0).toString(16).padStart(8, "0")).join("");
}

async function sha256(text) {
  if (!globalThis.crypto?.subtle) return sha256Plain(text);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The part before the first dot, as the pool keeps it. */
function baseWallet(text) {
  const wallet = text.split(".")[0].replace(/[^A-Za-z0-9]/g, "");
  return /^(bc1|tb1|bcrt1)/i.test(wallet) ? wallet.toLowerCase() : wallet;
}

for (const form of document.querySelectorAll("[data-hash-form]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = form.dataset.hashForm;
    const text = form.elements[field].value.trim();
    if (!text) return;
    const isHash = /^[0-9a-f]{64}$/i.test(text);
    const name = field === "wallet" ? baseWallet(text) : text;
    const hash = isHash ? text.toLowerCase() : name && await sha256(name);
    const query = hash ? `hash=${hash}` : `${field}=${encodeURIComponent(text)}`;
    location.assign(`${form.action}?${query}`);
  });
}
for (const note of document.querySelectorAll("[data-hash-note]")) note.textContent = "Your browser sends the SHA-256 of what you type, and nothing else.";
globalThis.lookup = { sha256Plain, sha256, baseWallet };
