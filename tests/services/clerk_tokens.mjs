// The keys of `clerk.mjs`, and tokens signed with them: right ones, and every way of being wrong.

import { createHmac, generateKeyPairSync, randomBytes, sign } from "node:crypto";

const KEY_BITS = 2048;
/** As short as Clerk's own are. */
const TOKEN_SECONDS = 60;

const coded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
/** An id in the form of Clerk's. */
export const id = (kind) => `${kind}_2${randomBytes(13).toString("hex")}`;

function makeKey() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: KEY_BITS });
  const kid = id("ins");
  return { kid, privateKey, publicKey, shown: { use: "sig", alg: "RS256", kid, ...publicKey.export({ format: "jwk" }) } };
}

export class Keys {
  /** Signed with the last; published or not. */
  #keys = [makeKey()];
  #published = [...this.#keys];
  #stranger;
  /** Entries of the document that are no keys of ours, as they are. */
  extra = [];

  constructor(issuer) {
    this.issuer = issuer;
  }

  document() {
    return { keys: [...this.#published.map((key) => key.shown), ...this.extra] };
  }

  /** A new key signs from now on. `keep`: the older ones stay published. `publish`: the new one is, at once. */
  rotate({ keep = true, publish = true } = {}) {
    this.#keys.push(makeKey());
    if (!keep) this.#published = [];
    if (publish) this.publish();
    return { kid: this.#keys.at(-1).kid };
  }

  publish() {
    const newest = this.#keys.at(-1);
    if (!this.#published.includes(newest)) this.#published.push(newest);
    return { kid: newest.kid };
  }

  /**
   * A session token. `claims` and `header` replace what is there, `without` leaves claims out. `key`: `newest`, `oldest`, or
   * `stranger`, which says it is the newest and is not. `alg`: RS256, RS384, RS512, PS256, none, or HS256 with the public key as its
   * secret. `signature`: `bad` or `none`.
   */
  token({ user, session, seconds = TOKEN_SECONDS, azp, claims = {}, header = {}, without = [], key = "newest", alg = "RS256", signature = "good" }) {
    const now = Math.floor(Date.now() / 1000);
    const usual = { azp, exp: now + seconds, iat: now, iss: this.issuer, nbf: now - 10, sid: session, sts: "active", sub: user, v: 2 };
    const said = { ...usual, ...claims };
    for (const name of without) delete said[name];
    const chosen = key === "oldest" ? this.#keys[0] : this.#keys.at(-1);
    const signed = `${coded({ alg, cat: "cl_B7d4PD111AAA", kid: chosen.kid, typ: "JWT", ...header })}.${coded(said)}`;
    const by = key === "stranger" ? (this.#stranger ??= makeKey()) : chosen;
    const bytes = signature === "none" || alg === "none" ? Buffer.alloc(0) : signedWith(by, alg, signed);
    if (signature === "bad") bytes[bytes.length - 1] ^= 1;
    return `${signed}.${bytes.toString("base64url")}`;
  }
}

function signedWith(key, alg, text) {
  const bytes = Buffer.from(text);
  if (alg.startsWith("RS")) return sign(`sha${alg.slice(2)}`, bytes, key.privateKey);
  if (alg === "PS256") return sign("sha256", bytes, { key: key.privateKey, padding: 6, saltLength: 32 });
  if (alg === "HS256") return createHmac("sha256", key.publicKey.export({ type: "spki", format: "pem" })).update(bytes).digest();
  throw new Error(`alg must be RS256, RS384, RS512, PS256, HS256 or none, not ${alg}`);
}
