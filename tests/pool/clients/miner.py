#!/usr/bin/env python3
"""A Stratum miner of the standard library alone: one connection, one solution, one line about it.

    miner.py HOST PORT WORKER share|block [CERTIFICATE]

With a certificate it speaks TLS and trusts that certificate only. What it prints is JSON: the
answer to its submission, the hash and the job. Anything unexpected ends it with a traceback.
"""

import hashlib
import itertools
import json
import socket
import ssl
import struct
import sys

TIMEOUT_SECONDS = 30
DIFFICULTY_1 = 0xFFFF << 208
NONCES = 1 << 24


def sha256d(data):
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def connect(host, port, certificate):
    plain = socket.create_connection((host, port), TIMEOUT_SECONDS)
    if certificate is None:
        return plain
    context = ssl.create_default_context(cafile=certificate)
    # Python 3.13 is this strict by default.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context.wrap_socket(plain, server_hostname=host)


class Miner:
    def __init__(self, host, port, certificate):
        self.socket = connect(host, port, certificate)
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")
        self.ids = itertools.count(1)
        self.difficulty = None
        self.job = None

    def hear(self):
        """The next answer; None for what the pool says unasked."""
        line = self.lines.readline()
        if not line:
            raise EOFError("the pool hung up")
        message = json.loads(line)
        method, params = message.get("method"), message.get("params")
        if method == "mining.set_difficulty":
            self.difficulty = params[0]
        elif method == "mining.notify":
            self.job = params
        return message if method is None else None

    def ask(self, method, *params):
        number = next(self.ids)
        request = {"id": number, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self.hear()
            if answer is not None:
                assert answer["id"] == number, answer
                return answer


def block_target(nbits):
    bits = int(nbits, 16)
    return (bits & 0xFFFFFF) << (8 * ((bits >> 24) - 3))


def solve(job, extranonce1, extranonce2_size, difficulty, want):
    """Extranonce2, nonce and hash of the first solution."""
    _, previous, coinb1, coinb2, branch, version, nbits, ntime, _ = job
    words = struct.unpack(">8I", bytes.fromhex(previous))
    fixed = struct.pack("<I", int(version, 16)) + struct.pack("<8I", *words)
    tail = struct.pack("<II", int(ntime, 16), int(nbits, 16))
    target = block_target(nbits) if want == "block" else int(DIFFICULTY_1 / difficulty)
    for counter in range(16):
        extranonce2 = counter.to_bytes(extranonce2_size, "big").hex()
        root = sha256d(bytes.fromhex(coinb1 + extranonce1 + extranonce2 + coinb2))
        for sibling in branch:
            root = sha256d(root + bytes.fromhex(sibling))
        # The first 76 bytes are the same for every nonce.
        start = hashlib.sha256(fixed + root + tail)
        for nonce in range(NONCES):
            first = start.copy()
            first.update(struct.pack("<I", nonce))
            found = hashlib.sha256(first.digest()).digest()
            if int.from_bytes(found, "little") <= target:
                return extranonce2, nonce, found[::-1].hex()
    raise RuntimeError("no solution")


def main(host, port, worker, want, certificate=None):
    miner = Miner(host, int(port), certificate)
    subscribed = miner.ask("mining.subscribe", "python/1.0")["result"]
    _, extranonce1, extranonce2_size = subscribed
    authorized = miner.ask("mining.authorize", worker, "x")
    assert authorized["result"] is True, authorized
    while miner.job is None:
        miner.hear()
    job = miner.job
    extranonce2, nonce, found = solve(
        job, extranonce1, extranonce2_size, miner.difficulty, want
    )
    answer = miner.ask("mining.submit", worker, job[0], extranonce2, job[7], f"{nonce:08x}")
    print(json.dumps({"result": answer["result"], "error": answer["error"], "hash": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
