#!/usr/bin/env python3
"""What the pages cost: answers a second, idle event streams, and whether miners notice.

    scripts/web-load.py [miners] [seconds]

Starts a pool and a stand-in node from target/release, the control core on the first CPU and one shard on
the second, and measures with wrk (first CPU) and gopool-flood (second CPU). Python's own library and
wrk (scripts/tool.sh) are all it needs. Figures: bench/records/web.md.
"""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request

from loaded import BINARIES, prepared, running

STREAMS = 5000
PER_ADDRESS = 60
# Quiet and flooded runs in turns.
PAIRS = 5
# Seconds; bounds of the histogram.
LATE = (0.0001, 0.001, 0.01)


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


def wrk(port, path, seconds):
    command = ["taskset", "-c", "0", "wrk", "-t1", "-c32", f"-d{seconds}s", "--latency"]
    output = subprocess.run(
        command + ["-H", "Accept-Encoding: br", f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True,
    ).stdout
    assert "Non-2xx" not in output and "Socket errors" not in output, output
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))


def listen(port):
    """Idle event streams, each heard once; what each costs the pool, in bytes."""
    streams = []
    for number in range(STREAMS):
        stream = socket.socket()
        stream.bind((f"127.0.{2 + number // PER_ADDRESS // 200}.{1 + number // PER_ADDRESS % 200}", 0))
        stream.connect(("127.0.0.1", port))
        stream.sendall(b"GET /api/events HTTP/1.1\r\nHost: pool\r\n\r\n")
        streams.append(stream)
    for stream in streams:
        stream.settimeout(20)
        heard = b""
        while b"event: figures" not in heard:
            part = stream.recv(4096)
            assert part, "closed"
            heard += part
    return streams


def flood(port, pid, miners, seconds, folder):
    name = f"{folder}/flood.json"
    process = subprocess.Popen(
        ["taskset", "-c", "1", f"{BINARIES}/gopool-flood", "mixed", "--target", f"127.0.0.1:{port}"]
        + ["--pid", str(pid), "-c", str(miners), "--seconds", str(seconds), "--json", name]
        + ["--no-pinning"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    return process, name


def late(port):
    """How many answers to shares there have been up to each limit, and in all, as the shard times them:
    what the load's own client waits for is not in it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    counts = re.findall(r'^gopool_share_answer_seconds_bucket\{le="([^"]+)"\} (\d+)', text, re.M)
    counts = {float(limit): int(count) for limit, count in counts}
    return {limit: counts[limit] for limit in LATE} | {None: counts[float("inf")]}


def answers(name):
    with open(name) as file:
        figures = json.load(file)
    return {key: round(value, 1) for key, value in figures.items() if key.startswith("answer_quiet_us_p")}


def main():
    miners = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with prepared(policy="ban_invalid_submissions_after = 0\n") as (folder, ports):
        with running(folder, ports, pool_flags=["-shards", "1"]) as pool:
            measure(ports, pool.pid, miners, seconds, folder)


def measure(ports, pid, miners, seconds, folder):
    time.sleep(2)
    for path in ("/api/overview", "/api/server", "/"):
        rates = sorted(wrk(ports["status"], path, 5) for _ in range(3))
        print(f"{path}: {rates[1]:.0f} a second (three runs: {[round(r) for r in rates]})")
    before = resident_kib(pid)
    streams = listen(ports["status"])
    time.sleep(3)
    used = resident_kib(pid) - before
    print(f"{len(streams)} event streams: {used / 1024:.1f} MiB, {used * 1024 / len(streams):.0f} bytes each")
    for stream in streams:
        stream.close()
    time.sleep(2)
    shares = {False: [], True: []}
    for is_flooded in (False, True) * PAIRS:
        load, figures = flood(ports["pool"], pid, miners, seconds, folder)
        time.sleep(5)
        before, rate = late(ports["status"]), 0.0
        if is_flooded:
            rate = wrk(ports["status"], "/api/overview", max(seconds - 6, 5))
        else:
            time.sleep(max(seconds - 6, 5))
        after = late(ports["status"])
        load.wait()
        count = after[None] - before[None]
        parts = {limit: 1e6 * (1 - (after[limit] - before[limit]) / count) for limit in LATE}
        shares[is_flooded].append(parts)
        name = "pages flooded" if is_flooded else "pages quiet"
        words = ", ".join(f"{part:.0f} over {limit}" for limit, part in parts.items())
        print(f"{name} ({rate:.0f} requests a second): of a million answers {words}; at the miners {answers(figures)}")
    for limit in LATE:
        medians = [sorted(parts[limit] for parts in shares[kind])[PAIRS // 2] for kind in (False, True)]
        print(f"of a million answers over {limit}, median of {PAIRS}: quiet {medians[0]:.0f}, flooded {medians[1]:.0f}")
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['status']}/metrics") as answer:
        text = answer.read().decode()
    for line in text.splitlines():
        if line.startswith("gopool_snapshot_build_seconds"):
            print(line)


if __name__ == "__main__":
    main()
