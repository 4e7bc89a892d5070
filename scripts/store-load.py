#!/usr/bin/env python3
"""The state database under a large pool: 4,095 saved workers, a backup every second, bans, blocks.

    scripts/store-load.py [miners] [seconds] [calm]

Starts a pool and a stand-in node from target/release, has `gopool-flood mixed` mine, and says once a
second's worth of looking is over how long transactions took and how many changes waited. Python's
own library is all it needs. With `calm` there is nothing for the database to do, for comparison. Figures:
bench/records/store.md.
"""

import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request

from loaded import BINARIES, ROOT, prepared, running

SAVED = 4095
BANS_A_SECOND = 5
DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def polymod(values):
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        taps = [0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]
        for bit, tap in enumerate(taps):
            checksum ^= tap if top >> bit & 1 else 0
    return checksum


def address(program):
    """A mainnet address of witness version 0 (BIP-0173)."""
    number, values = int.from_bytes(program, "big"), [0]
    values += [number >> shift & 31 for shift in range(155, -1, -5)]
    prefix = [ord(c) >> 5 for c in "bc"] + [0] + [ord(c) & 31 for c in "bc"]
    checksum = polymod(prefix + values + [0] * 6) ^ 1
    values += [checksum >> 5 * (5 - place) & 31 for place in range(6)]
    return "bc1" + "".join(DIGITS[value] for value in values)


def flood_worker(number):
    """As gopool-flood names the miner of that number."""
    once = hashlib.sha256(f"gopool-flood {number}".encode()).digest()
    return f"{address(hashlib.sha256(once).digest()[:20])}.f{number:05}"


def fill_database(folder):
    os.makedirs(os.path.join(folder, "state"))
    database = sqlite3.connect(os.path.join(folder, "state", "workers.db"))
    with open(os.path.join(ROOT, "src", "store", "schema.sql")) as file:
        database.executescript(file.read())
    for number in range(SAVED):
        digest = hashlib.sha256(flood_worker(number).encode()).hexdigest()
        row = (f"user_{number % 64}", digest, digest, f"w{number}")
        database.execute(
            "INSERT INTO saved_workers (user_id, worker, worker_hash, worker_display)"
            " VALUES (?, ?, ?, ?)",
            row,
        )
    database.commit()
    database.close()


def get_banned(port, number):
    """Suggests a difficulty that is out of bounds."""
    name = address(hashlib.sha256(f"banned {number}".encode()).digest()[:20])
    lines = [
        {"id": 1, "method": "mining.subscribe", "params": ["greedy/1"]},
        {"id": 2, "method": "mining.authorize", "params": [name, "x"]},
        {"id": 3, "method": "mining.suggest_difficulty", "params": [1e9]},
    ]
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall("".join(json.dumps(line) + "\n" for line in lines).encode())
        while connection.recv(4096):
            pass


def server(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/server", timeout=5) as answer:
        return json.load(answer)


def check_backup(path, counts):
    """Whether a copy is sound and of one moment: each counted change is a row of one of these."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    checked = database.execute("PRAGMA integrity_check").fetchone()[0]
    blocks = database.execute("SELECT count(*) FROM found_blocks_log").fetchone()[0]
    lives = database.execute(
        "SELECT count(*) FROM block_life WHERE state IN ('accepted', 'stale', 'orphaned')"
    ).fetchone()[0]
    # Settling a block writes three tables in one transaction: none is ahead of another.
    pending = database.execute(
        "SELECT count(*) FROM pending_submissions WHERE status = 'submitted'"
    ).fetchone()[0]
    bans, sources = [
        database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("bans", "ban_sources")
    ]
    database.close()
    counts.append((blocks, bans))
    return checked == "ok" and blocks == lives == pending and bans == sources


def main():
    miners = int(sys.argv[1]) if len(sys.argv) > 1 else 19_000
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 120
    is_calm = "calm" in sys.argv[3:]
    tuning = "enforce_suggested_difficulty_limits = true\n"
    services = "[backblaze_backup]\ninterval_seconds = 1\nforce_every_interval = true\n"
    with prepared(tuning=tuning, services="" if is_calm else services) as (folder, ports):
        if not is_calm:
            fill_database(folder)
        node_flags = ["--tip-every", "30"] + ([] if is_calm else ["--easy-blocks"])
        with running(folder, ports, node_flags) as pool:
            watch(folder, ports, pool, miners, seconds, is_calm)


def watch(folder, ports, pool, miners, seconds, is_calm):
    flood = subprocess.Popen(
        [f"{BINARIES}/gopool-flood", "mixed", "--target", f"127.0.0.1:{ports['pool']}"]
        + ["--pid", str(pool.pid), "-c", str(miners), "--seconds", str(seconds)]
        + ["--json", f"{folder}/flood.json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    is_over = threading.Event()

    def ban():
        number = 0
        while not is_over.wait(1 / BANS_A_SECOND):
            get_banned(ports["pool"], number)
            number += 1

    if not is_calm:
        threading.Thread(target=ban, daemon=True).start()
    waiting, counts, unsound = [], [], 0
    backup = f"{folder}/state/workers.db.bak"
    while flood.poll() is None:
        waiting.append(server(ports["status"])["database"]["waiting"])
        if os.path.exists(backup) and not is_calm:
            unsound += not check_backup(backup, counts)
        time.sleep(1)
    is_over.set()
    figures = server(ports["status"])
    with open(f"{folder}/flood.json") as file:
        load = json.load(file)
    times = figures["database"]
    print("miners", figures["connections"]["open"], "of", miners)
    print("shares accepted", figures["shares"]["accepted"])
    print("blocks", figures["blocks"]["accepted"], "errored", figures["blocks"]["errored"])
    print("transactions", times["transactions"], "failures", times["failures"])
    print("transaction p99 ms", round(1000 * times["transaction_p99_sec"], 2))
    print("waiting: most", max(waiting), "median", sorted(waiting)[len(waiting) // 2])
    print("backups looked at", len(counts), "unsound", unsound, "last (blocks, bans)", counts[-1:])
    print("errors", figures.get("accounting_error"), figures["backup"])
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['status']}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("gopool_snapshot_build_seconds"):
                print(line)
    for key, value in sorted(load.items()):
        if "answer" in key or "refused" in key or "ended" in key:
            print(key, value)


if __name__ == "__main__":
    main()
