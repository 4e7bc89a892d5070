// A miner made of the npm package stratum-client and Node's own crypto: one connection, one
// solution, one line of JSON about it.
//
//     node miner.js HOST PORT WORKER share|block [CERTIFICATE]
//
// NODE_PATH names the folder with the package. The package speaks TCP only: with a certificate a
// TLS tunnel of Node's own stands between it and the pool.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const tls = require('tls');
const stratum = require('stratum-client');

const [host, port, worker, want, certificate] = process.argv.slice(2);
const DIFFICULTY_1 = 0xffffn << 208n;
const NONCES = 1 << 24;
const TIMEOUT_MS = 60_000;

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

const sha256 = (bytes) => crypto.createHash('sha256').update(bytes).digest();
const sha256d = (bytes) => sha256(sha256(bytes));
const reversed = (bytes) => Buffer.from(bytes).reverse();
const number = (bytes) => BigInt('0x' + reversed(bytes).toString('hex'));

function target(work) {
  if (want === 'block') {
    const bits = parseInt(work.nbits, 16);
    return BigInt(bits & 0xffffff) << BigInt(8 * ((bits >>> 24) - 3));
  }
  // In steps of 2^-40: difficulties here are small fractions.
  return (DIFFICULTY_1 << 40n) / BigInt(Math.round(work.miningDiff * 2 ** 40));
}

function header(work, extranonce2) {
  const coinbase = work.coinb1 + work.extraNonce1 + extranonce2 + work.coinb2;
  let root = sha256d(Buffer.from(coinbase, 'hex'));
  for (const sibling of work.merkle_branch) {
    root = sha256d(Buffer.concat([root, Buffer.from(sibling, 'hex')]));
  }
  return Buffer.concat([
    reversed(Buffer.from(work.version, 'hex')),
    Buffer.from(work.prevhash, 'hex').swap32(),
    root,
    reversed(Buffer.from(work.ntime, 'hex')),
    reversed(Buffer.from(work.nbits, 'hex')),
    Buffer.alloc(4),
  ]);
}

function solve(work) {
  const limit = target(work);
  for (let counter = 0; counter < 16; counter += 1) {
    const extranonce2 = counter.toString(16).padStart(work.extraNonce2Size * 2, '0');
    const bytes = header(work, extranonce2);
    for (let nonce = 0; nonce < NONCES; nonce += 1) {
      bytes.writeUInt32LE(nonce, 76);
      const hash = sha256d(bytes);
      if (number(hash) <= limit) {
        return { extranonce2, nonce, hash: reversed(hash).toString('hex') };
      }
    }
  }
  return fail('no solution');
}

function mine(server, at) {
  let solution = null;
  const told = (result, error) => {
    console.log(JSON.stringify({ result, error, hash: solution.hash }));
    process.exit(0);
  };
  const client = stratum({
    server,
    port: at,
    worker,
    password: 'x',
    autoReconnectOnError: false,
    onError: (error) => fail(`connection: ${error.message}`),
    onClose: () => fail('the pool hung up'),
    onAuthorizeFail: (error) => fail(`not authorized: ${error}`),
    onNewMiningWork: (work) => {
      if (solution !== null) return;
      solution = solve(work);
      client.submit({
        worker_name: worker,
        job_id: work.jobId,
        extranonce2: solution.extranonce2,
        ntime: work.ntime,
        nonce: solution.nonce.toString(16).padStart(8, '0'),
      });
    },
    onSubmitWorkSuccess: (error) => told(true, error),
    onSubmitWorkFail: (error) => told(false, error),
  });
}

setTimeout(() => fail('nothing within a minute'), TIMEOUT_MS).unref();
if (certificate === undefined) {
  mine(host, Number(port));
} else {
  const ca = fs.readFileSync(certificate);
  const tunnel = net.createServer((inner) => {
    const outer = tls.connect({ host, port: Number(port), ca });
    outer.on('error', (error) => fail(`TLS: ${error.message}`));
    inner.pipe(outer).pipe(inner);
  });
  tunnel.listen(0, '127.0.0.1', () => mine('127.0.0.1', tunnel.address().port));
}
