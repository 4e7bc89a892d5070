#!/usr/bin/env python3
"""Whether miners or visitors notice that every service hangs.

    scripts/services-load.py [miners] [seconds] [copy]

Runs pools from target/release in turns, one without services and one with all of them: Clerk, the price,
Backblaze B2, Discord, a webhook, ntfy and Telegram, at a server that takes every connection and never says
a word. In both some blocks are found before, so that there is something to tell everywhere. The control core
is on the first CPU with wrk (scripts/tool.sh), one shard on the second with gopool-flood. Figures:
bench/records/web.md. With `copy` the pool with services copies its database every second too, for B2.
"""

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from loaded import BINARIES, prepared, running

PAIRS = 3
PATHS = ("/", "/api/overview")
# What the requests of each begin with.
SERVICES = {
    "Clerk": "/jwks",
    "price": "/price",
    "B2": "/b2api/",
    "Discord's gateway": "/gateway",
    "Discord's channel": "/channels/",
    "webhook": "/hook",
    "ntfy": "/topic",
    "Telegram": "/bot",
}
MINER = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"


class Silence:
    """Takes connections and what is asked there, keeps them, and says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.taken = []
        self.paths = []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        while True:
            connection = self.listener.accept()[0]
            self.taken.append(connection)
            threading.Thread(target=self.read, args=(connection,), daemon=True).start()

    def read(self, connection):
        with connection.makefile("rb") as file:
            words = file.readline(4096).split(b" ")
            if len(words) > 1:
                self.paths.append(words[1].decode())
            # Whatever else there is, until the other end goes.
            while file.read(4096):
                pass

    def asked(self):
        """How often each service has been asked."""
        return {name: sum(path.startswith(start) for path in self.paths) for name, start in SERVICES.items()}


def services(port, copies):
    often = "interval_seconds = 1\nforce_every_interval = true\n" if copies else ""
    url = f"http://127.0.0.1:{port}"
    return {
        "services": f"""[auth]
clerk_issuer_url = "{url}"
clerk_jwks_url = "{url}/jwks"
clerk_signin_url = "{url}/sign-in"
clerk_frontend_api_url = "{url}"
clerk_api_url = "{url}"
[backblaze_backup]
enabled = true
bucket = "b"
{often}api_url = "{url}"
[discord]
discord_server_id = "1"
discord_notify_channel_id = "2"
worker_notify_threshold_seconds = 1
api_url = "{url}"
[price]
enabled = true
url = "{url}/price"
[webhook]
url = "{url}/hook"
[ntfy]
url = "{url}/topic"
[telegram]
chat_id = "1"
api_url = "{url}"
""",
        "secrets": """clerk_secret_key = "sk_test_x"
clerk_publishable_key = "pk_test_x"
backblaze_account_id = "id"
backblaze_application_key = "key"
discord_token = "token"
webhook_secret = "secret"
ntfy_token = "token"
telegram_token = "1:token"
""",
    }


def page_times(port, path):
    """Microseconds of one visitor who asks again and again: the half and the slowest hundredth."""
    output = subprocess.run(
        ["taskset", "-c", "0", "wrk", "-t1", "-c1", "-d3s", "--latency", f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True,
    ).stdout
    units = {"us": 1, "ms": 1e3, "s": 1e6}
    times = {}
    for part in ("50", "99"):
        value, unit = re.search(rf"{part}%\s+([\d.]+)(us|ms|s)", output).groups()
        times[part] = float(value) * units[unit]
    return times


def find_blocks(ports):
    """About one a second, for some seconds, and once more while luck has none."""
    for _ in range(5):
        subprocess.run(
            [f"{BINARIES}/gopool-miner", "--url", f"127.0.0.1:{ports['pool']}", "--user", f"{MINER}.finder"]
            + ["--hashes-per-second", "65536", "--threads", "1", "--seconds", "5"],
            stdout=subprocess.DEVNULL, check=True,
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['status']}/api/server") as answer:
            if json.load(answer)["blocks"]["found"]:
                return
    sys.exit("no block was found in five times five seconds")


def measured(miners, seconds, silence):
    """Answers to shares at the miners and pages at a visitor, while all hang or there are none."""
    files = services(silence.port, "copy" in sys.argv) if silence else {}
    with prepared(policy="ban_invalid_submissions_after = 0\n", **files) as (folder, ports):
        with running(folder, ports, node_flags=["--easy-blocks"], pool_flags=["-shards", "1"]) as pool:
            find_blocks(ports)
            name = f"{folder}/flood.json"
            load = subprocess.Popen(
                ["taskset", "-c", "1", f"{BINARIES}/gopool-flood", "mixed", "--no-pinning"]
                + ["--target", f"127.0.0.1:{ports['pool']}", "--pid", str(pool.pid)]
                + ["-c", str(miners), "--seconds", str(seconds), "--json", name],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            time.sleep(5)
            pages = {path: page_times(ports["status"], path) for path in PATHS}
            load.wait()
            with open(name) as file:
                figures = json.load(file)
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['status']}/api/overview") as answer:
                assert answer.status == 200
    shares = {key[len("answer_quiet_us_"):]: value for key, value in figures.items() if key.startswith("answer_quiet_us_p")}
    return {f"share {part}": value for part, value in shares.items()} | {
        f"{path} p{part}": value for path, times in pages.items() for part, value in times.items()
    }


def main():
    miners = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    runs = {False: [], True: []}
    for hangs in (False, True) * PAIRS:
        silence = Silence() if hangs else None
        figures = measured(miners, seconds, silence)
        runs[hangs].append(figures)
        words = "no services"
        if hangs:
            asked = silence.asked()
            assert all(asked.values()), f"some were never asked: {asked}"
            words = "all hang (" + ", ".join(f"{name} {count}" for name, count in asked.items()) + ")"
        print(f"{words}: " + ", ".join(f"{name} {value:.0f}" for name, value in figures.items()), flush=True)
    print(f"\nus, median of {PAIRS} (range) without services, and while all hang")
    for name in runs[False][0]:
        cells = []
        for hangs in (False, True):
            values = sorted(figures[name] for figures in runs[hangs])
            cells.append(f"{values[PAIRS // 2]:.0f} ({values[0]:.0f} to {values[-1]:.0f})")
        print(f"| {name} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
