// A certificate authority that nobody trusts until told to, and what it has signed for one server.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const AUTHORITY = `
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = Authority of a stand-in
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`;

const server = (names) => `
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = Stand-in
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${names}
`;

/** Key and certificate for `names` (`IP:127.0.0.1, DNS:localhost`), and the authority's PEM file, which goes with this process. */
export function certificateFor(names) {
  const folder = mkdtempSync(join(tmpdir(), "gopool-stand-in-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const at = (name) => join(folder, name);
  const made = (name, config, flags) => {
    writeFileSync(at(`${name}.cnf`), config);
    execFileSync("openssl", [
      "req", "-x509", "-config", at(`${name}.cnf`), "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
      "-nodes", "-days", "2", "-keyout", at(`${name}.key`), "-out", at(`${name}.pem`), ...flags,
    ], { stdio: ["ignore", "ignore", "pipe"] });
  };
  made("ca", AUTHORITY, []);
  made("server", server(names), ["-CA", at("ca.pem"), "-CAkey", at("ca.key")]);
  return { ca: at("ca.pem"), key: readFileSync(at("server.key")), cert: readFileSync(at("server.pem")) };
}
