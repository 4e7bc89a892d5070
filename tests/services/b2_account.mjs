// What is in the account that `b2.mjs` serves, and what its tokens allow.

import { createHash, randomBytes } from "node:crypto";

import { Refused, json } from "./stand_in.mjs";

export const ACCOUNT = "a1b2c3d4e5f6";
/** What Backblaze says today; a test may make them smaller. */
const PART_BYTES = { recommendedPartSize: 100_000_000, absoluteMinimumPartSize: 5_000_000 };
const CAPABILITIES = ["listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles"];

const token = (kind) => `4_${kind}_${randomBytes(24).toString("hex")}`;
export const sha1 = (bytes) => createHash("sha1").update(bytes).digest("hex");
export const refusal = (status, code, message = "") => json({ status, code, message }, status);
export const refuse = (status, code, message) => {
  throw new Refused(refusal(status, code, message));
};

/** One account and all that is in it. */
export class Account {
  constructor(options, url) {
    this.url = url;
    this.keyId = options["key-id"];
    this.key = options.key;
    this.settings = { ...PART_BYTES, capabilities: CAPABILITIES, namePrefix: null, isOfOneBucket: false };
    this.buckets = [];
    this.files = [];
    this.tokens = new Map();
    this.lastAt = 0;
    this.first = this.addBucket(options.bucket);
  }

  /** Tokens that were good are answered 401 from now on. */
  expire(which = "all") {
    for (const one of this.tokens.values()) one.hasExpired ||= which === "all" || one.kind === which;
  }

  addBucket(name) {
    const bucket = {
      accountId: ACCOUNT, bucketId: randomBytes(12).toString("hex"), bucketName: name, bucketType: "allPrivate", bucketInfo: {}, corsRules: [],
      defaultServerSideEncryption: { isClientAuthorizedToRead: false, value: null }, fileLockConfiguration: { isClientAuthorizedToRead: false, value: null },
      lifecycleRules: [], options: ["s3"], replicationConfiguration: { isClientAuthorizedToRead: false, value: null }, revision: 1,
    };
    this.buckets.push(bucket);
    return bucket;
  }

  issue(kind, rest = {}) {
    const value = token(kind);
    this.tokens.set(value, { kind, ...rest });
    return value;
  }

  /** What an `Authorization` header allows. */
  admit(headers, kind) {
    const found = this.tokens.get(headers.authorization);
    if (found?.kind !== kind) refuse(401, "bad_auth_token", "Invalid authorization token");
    if (found.hasExpired) refuse(401, "expired_auth_token", "Authorization token has expired");
    return found;
  }

  can(capability) {
    if (!this.settings.capabilities.includes(capability)) refuse(401, "unauthorized", `not entitled: ${capability}`);
  }

  bucket(id) {
    return this.buckets.find((one) => one.bucketId === id) ?? refuse(400, "bad_bucket_id", `Bucket does not exist: ${id}`);
  }

  /** Timestamps tell versions apart: no two are the same. */
  now() {
    this.lastAt = Math.max(this.lastAt + 1, Date.now());
    return this.lastAt;
  }

  begin(bucketId, fileName, contentType, fileInfo, action) {
    const name = Buffer.from(fileName ?? "");
    const isBad = name.length === 0 || name.length > 1024 || fileName.startsWith("/") || fileName.endsWith("/") || fileName.includes("//") || /[\0-\x1f\x7f]/.test(fileName);
    if (isBad) refuse(400, "bad_request", "File names must be 1 to 1024 bytes of UTF-8, without empty parts");
    if (!fileName.startsWith(this.settings.namePrefix ?? "")) refuse(401, "unauthorized", "The key is for other names");
    if (!contentType) refuse(400, "bad_request", "Missing header: Content-Type");
    const file = {
      accountId: ACCOUNT, action, bucketId, fileId: `4_z${bucketId}_f${randomBytes(8).toString("hex")}`, fileName,
      contentType: contentType === "b2/x-auto" ? "application/octet-stream" : contentType, fileInfo: fileInfo ?? {}, uploadTimestamp: this.now(),
    };
    this.files.push(file);
    return file;
  }

  file(id) {
    return this.files.find((one) => one.fileId === id) ?? refuse(400, "bad_request", `Invalid fileId: ${id}`);
  }

  /** Versions of a bucket, by name and newest first, from a place on. */
  page(asked, versions) {
    this.bucket(asked.bucketId);
    const isAfter = (file) => !asked.startFileName || file.fileName > asked.startFileName || file.fileName === asked.startFileName;
    const fitting = versions
      .filter((file) => file.bucketId === asked.bucketId && file.fileName.startsWith(asked.prefix ?? "") && isAfter(file))
      .sort((a, b) => Buffer.compare(Buffer.from(a.fileName), Buffer.from(b.fileName)) || b.uploadTimestamp - a.uploadTimestamp);
    const from = asked.startFileId ? Math.max(0, fitting.findIndex((file) => file.fileId === asked.startFileId)) : 0;
    const to = from + (asked.maxFileCount ?? 100);
    return { files: fitting.slice(from, to), next: fitting[to] };
  }
}

/** A file as the API shows it. */
export function shown(file) {
  const { bytes, parts, ...rest } = file;
  const isThere = bytes !== undefined;
  const none = { isClientAuthorizedToRead: false, value: null };
  return {
    ...rest, contentLength: isThere ? bytes.length : null, contentMd5: rest.contentMd5 ?? null, contentSha1: isThere ? rest.contentSha1 : null,
    fileRetention: none, legalHold: none, replicationStatus: null, serverSideEncryption: { algorithm: null, mode: null },
  };
}
