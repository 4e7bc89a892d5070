// A stand-in for Backblaze B2's native API, versions 2 to 4: one account, one application key, some buckets.
//
//   node tests/services/b2.mjs [--bucket NAME] [--key-id ID] [--key KEY]

import { createHash, randomBytes } from "node:crypto";

import { ACCOUNT, Account, refusal, refuse, sha1, shown } from "./b2_account.mjs";
import { json, run } from "./stand_in.mjs";

/** What a call needs of the key. */
const NEEDED = {
  b2_list_buckets: "listBuckets", b2_list_file_names: "listFiles", b2_list_file_versions: "listFiles", b2_get_file_info: "readFiles",
  b2_list_unfinished_large_files: "listFiles", b2_list_parts: "writeFiles", b2_delete_file_version: "deleteFiles",
};
const FLAGS = {
  bucket: { type: "string", default: "gopool-backups" },
  "key-id": { type: "string", default: "0011a1b2c3d4e5f0000000001" },
  key: { type: "string", default: "K001stand+in/0123456789abcdefgh" },
};
const CODES = { 400: "bad_request", 401: "unauthorized", 403: "cap_exceeded", 404: "not_found", 408: "request_timeout", 429: "too_many_requests", 500: "internal_error", 503: "service_unavailable" };

/** The bytes of an upload, held against what its header says of them. */
function checked(request) {
  const said = request.headers["x-bz-content-sha1"] ?? refuse(400, "bad_request", "Missing header: X-Bz-Content-Sha1");
  if (request.headers["content-length"] === undefined) refuse(400, "bad_request", "Missing header: Content-Length");
  const isAtEnd = said === "hex_digits_at_end";
  const bytes = isAtEnd ? request.body.subarray(0, -40) : request.body;
  const hex = isAtEnd ? request.body.subarray(-40).toString("latin1") : said.replace(/^unverified:/, "");
  const real = sha1(bytes);
  if (said === "do_not_verify") return { bytes, hex: `unverified:${real}` };
  if (!/^[0-9a-f]{40}$/i.test(hex)) refuse(400, "bad_request", `Invalid X-Bz-Content-Sha1: ${said}`);
  if (hex.toLowerCase() !== real) refuse(400, "bad_request", "Checksum did not match data received");
  return { bytes, hex: real };
}

function decoded(text) {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return refuse(400, "bad_request", "Bad percent-encoding");
  }
}

function infoOf(headers) {
  const mine = Object.entries(headers).filter(([name]) => name.startsWith("x-bz-info-"));
  return Object.fromEntries(mine.map(([name, value]) => [name.slice("x-bz-info-".length), decoded(value)]));
}

const download = (file, range) => {
  if (file === undefined || file.bytes === undefined) refuse(404, "not_found", "File not present");
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  const part = from === undefined ? file.bytes : file.bytes.subarray(Number(from), to ? Number(to) + 1 : undefined);
  const ranged = from === undefined ? {} : { "content-range": `bytes ${from}-${Number(from) + part.length - 1}/${file.bytes.length}` };
  const info = Object.fromEntries(Object.entries(file.fileInfo).map(([name, value]) => [`x-bz-info-${name}`, encodeURIComponent(value)]));
  const headers = {
    "content-type": file.contentType, "accept-ranges": "bytes", "x-bz-file-id": file.fileId, "x-bz-file-name": encodeURIComponent(file.fileName),
    "x-bz-content-sha1": file.contentSha1 ?? "none", "x-bz-upload-timestamp": String(file.uploadTimestamp), ...info, ...ranged,
  };
  return { status: from === undefined ? 200 : 206, headers, body: part };
};

/** Calls with a JSON body and an account's token. */
const calls = {
  b2_list_buckets(account, asked) {
    if (asked.accountId !== ACCOUNT) refuse(400, "bad_request", `Invalid accountId: ${asked.accountId}`);
    const { first, settings } = account;
    const isOfFirst = asked.bucketName === first.bucketName || asked.bucketId === first.bucketId;
    if (settings.isOfOneBucket && !isOfFirst) refuse(401, "unauthorized", "The key is for one bucket, which must be named");
    const fits = (bucket) => (asked.bucketName ?? bucket.bucketName) === bucket.bucketName && (asked.bucketId ?? bucket.bucketId) === bucket.bucketId;
    return { buckets: account.buckets.filter(fits) };
  },
  b2_get_upload_url(account, { bucketId }, version) {
    account.can("writeFiles");
    account.bucket(bucketId);
    const authorizationToken = account.issue("upload", { bucketId });
    return { authorizationToken, bucketId, uploadUrl: `${account.url}/b2api/${version}/b2_upload_file/${bucketId}/c001_v0001_t${randomBytes(4).toString("hex")}` };
  },
  b2_start_large_file(account, { bucketId, fileName, contentType, fileInfo }) {
    account.can("writeFiles");
    account.bucket(bucketId);
    const file = account.begin(bucketId, fileName, contentType, fileInfo, "start");
    file.parts = new Map();
    return shown(file);
  },
  b2_get_upload_part_url(account, { fileId }, version) {
    account.can("writeFiles");
    if (account.file(fileId).parts === undefined) refuse(400, "bad_request", `No active upload for: ${fileId}`);
    const authorizationToken = account.issue("part", { fileId });
    return { authorizationToken, fileId, uploadUrl: `${account.url}/b2api/${version}/b2_upload_part/${fileId}/c001_v0001_t${randomBytes(4).toString("hex")}` };
  },
  b2_finish_large_file(account, { fileId, partSha1Array }) {
    account.can("writeFiles");
    const file = account.file(fileId);
    if (file.parts === undefined) refuse(400, "bad_request", `No active upload for: ${fileId}`);
    const parts = [...file.parts].sort(([a], [b]) => a - b).map(([, part]) => part);
    if (parts.length < 2) refuse(400, "bad_request", "Large files must have at least 2 parts");
    if (parts.some((part, index) => part.partNumber !== index + 1)) refuse(400, "bad_request", "Part numbers must be consecutive, from 1");
    const smallest = account.settings.absoluteMinimumPartSize;
    if (parts.slice(0, -1).some((part) => part.contentLength < smallest)) refuse(400, "bad_request", `Part sizes must be at least ${smallest}, except of the last`);
    if (JSON.stringify(partSha1Array) !== JSON.stringify(parts.map((part) => part.contentSha1))) refuse(400, "bad_request", "partSha1Array does not match the parts");
    file.bytes = Buffer.concat(parts.map((part) => part.bytes));
    // As Backblaze has it: nobody has summed the whole, and the client's own sum is in the file's info.
    Object.assign(file, { action: "upload", contentSha1: null, parts: undefined });
    return shown(file);
  },
  b2_list_parts(account, { fileId }) {
    const parts = [...(account.file(fileId).parts?.values() ?? [])].sort((a, b) => a.partNumber - b.partNumber);
    return { parts: parts.map(({ bytes, ...part }) => part), nextPartNumber: null };
  },
  b2_list_unfinished_large_files(account, { bucketId, namePrefix }) {
    const fits = (file) => file.bucketId === bucketId && file.action === "start" && file.fileName.startsWith(namePrefix ?? "");
    return { files: account.files.filter(fits).map(shown), nextFileId: null };
  },
  b2_cancel_large_file(account, { fileId }) {
    account.can("writeFiles");
    const { accountId, bucketId, fileName } = account.file(fileId);
    account.files = account.files.filter((file) => file.fileId !== fileId);
    return { accountId, bucketId, fileId, fileName };
  },
  b2_list_file_names(account, asked) {
    const newest = new Map();
    for (const file of account.files) if (file.action === "upload" && file.bucketId === asked.bucketId) newest.set(file.fileName, file);
    const { files, next } = account.page(asked, [...newest.values()]);
    return { files: files.map(shown), nextFileName: next?.fileName ?? null };
  },
  b2_list_file_versions(account, asked) {
    const { files, next } = account.page(asked, account.files);
    return { files: files.map(shown), nextFileName: next?.fileName ?? null, nextFileId: next?.fileId ?? null };
  },
  b2_get_file_info: (account, { fileId }) => shown(account.file(fileId)),
  b2_delete_file_version(account, { fileId, fileName }) {
    const file = account.files.find((one) => one.fileId === fileId && one.fileName === fileName);
    if (file === undefined) refuse(400, "file_not_present", `File not present: ${fileName} ${fileId}`);
    account.files = account.files.filter((one) => one !== file);
    return { fileId, fileName };
  },
};

function authorize(account, { headers }, version) {
  const [scheme, pair] = (headers.authorization ?? "").split(" ");
  const isRight = scheme === "Basic" && Buffer.from(pair ?? "", "base64").toString() === `${account.keyId}:${account.key}`;
  // The documentation says `unauthorized`; Backblaze's servers say this.
  if (!isRight) refuse(401, "bad_auth_token", "");
  const { capabilities, namePrefix, isOfOneBucket: _, ...sizes } = account.settings;
  const urls = { apiUrl: account.url, downloadUrl: account.url, s3ApiUrl: account.url };
  const only = account.settings.isOfOneBucket ? account.first : null;
  const one = { bucketId: only?.bucketId ?? null, bucketName: only?.bucketName ?? null };
  const common = { accountId: ACCOUNT, authorizationToken: account.issue("account"), applicationKeyExpirationTimestamp: null };
  if (version === "v2") return { ...common, ...sizes, ...urls, allowed: { ...one, capabilities, namePrefix } };
  const scope = version === "v3" ? { ...one, capabilities, namePrefix } : { allowed: { buckets: only && [{ id: only.bucketId, name: only.bucketName }], capabilities, namePrefix } };
  return { ...common, apiInfo: { storageApi: { ...sizes, ...urls, ...scope, infoType: "storageApi" } } };
}

function uploadFile(account, request, place) {
  const { bucketId } = account.admit(request.headers, "upload");
  if (!place.startsWith(`${bucketId}/`)) refuse(401, "bad_auth_token", "The token is another upload URL's");
  const { bytes, hex } = checked(request);
  const name = request.headers["x-bz-file-name"] ?? refuse(400, "bad_request", "Missing header: X-Bz-File-Name");
  const file = account.begin(bucketId, decoded(name), request.headers["content-type"], infoOf(request.headers), "upload");
  Object.assign(file, { bytes, contentSha1: hex, contentMd5: createHash("md5").update(bytes).digest("hex") });
  return shown(file);
}

function uploadPart(account, request, place) {
  const { fileId } = account.admit(request.headers, "part");
  if (!place.startsWith(`${fileId}/`)) refuse(401, "bad_auth_token", "The token is another upload URL's");
  const partNumber = Number(request.headers["x-bz-part-number"]);
  if (!(Number.isInteger(partNumber) && partNumber >= 1 && partNumber <= 10_000)) refuse(400, "bad_request", "X-Bz-Part-Number must be 1 to 10000");
  const { bytes, hex } = checked(request);
  const part = { fileId, partNumber, contentLength: bytes.length, contentSha1: hex, contentMd5: null, serverSideEncryption: { algorithm: null, mode: null }, uploadTimestamp: account.now() };
  (account.file(fileId).parts ?? refuse(400, "bad_request", `No active upload for: ${fileId}`)).set(partNumber, { ...part, bytes });
  return part;
}

function answer(account, request) {
  const [, version, call, place] = /^\/b2api\/(v[234])\/(b2_[a-z_]+)(?:\/(.*))?$/.exec(request.path) ?? [];
  if (request.path.startsWith("/file/")) {
    account.admit(request.headers, "account");
    account.can("readFiles");
    const [bucketName, ...name] = request.path.slice("/file/".length).split("/");
    const bucket = account.buckets.find((one) => one.bucketName === bucketName) ?? refuse(404, "not_found", "Bucket does not exist");
    const named = (file) => file.bucketId === bucket.bucketId && file.fileName === decoded(name.join("/")) && file.action === "upload";
    return download(account.files.findLast(named), request.headers.range);
  }
  if (call === "b2_authorize_account") return json(authorize(account, request, version));
  if (call === "b2_upload_file" && request.method === "POST") return json(uploadFile(account, request, place ?? ""));
  if (call === "b2_upload_part" && request.method === "POST") return json(uploadPart(account, request, place ?? ""));
  if (call !== "b2_download_file_by_id" && calls[call] === undefined) refuse(404, "not_found", `Invalid path: ${request.path}`);
  account.admit(request.headers, "account");
  let asked = Object.fromEntries(request.query);
  if (request.method === "POST") {
    try {
      asked = JSON.parse(request.body.toString());
    } catch {
      refuse(400, "bad_json", "The body is no JSON");
    }
  }
  if (call === "b2_download_file_by_id") {
    account.can("readFiles");
    return download(account.files.find((one) => one.fileId === asked.fileId), request.headers.range);
  }
  if (NEEDED[call] !== undefined) account.can(NEEDED[call]);
  return json(calls[call](account, asked, version));
}

await run(FLAGS, (options, url) => {
  const account = new Account(options, url);
  return {
    answer: (request) => answer(account, request),
    refusal: (status) => refusal(status, CODES[status] ?? "error", "Asked for by a test"),
    shown: { realm: url, key_id: account.keyId, key: account.key, bucket: account.first.bucketName, bucket_id: account.first.bucketId, account_id: ACCOUNT },
    control: {
      "GET files": () => account.files.map((file) => ({ ...shown(file), sha1: file.bytes && sha1(file.bytes) })),
      "DELETE files": () => ({ forgotten: account.files.splice(0).length }),
      "POST expire": ({ which }) => account.expire(which),
      "POST settings": (settings) => Object.assign(account.settings, settings),
      "POST bucket": ({ name }) => account.addBucket(name),
    },
  };
});
