"""A pool and a stand-in node from target/release, for the scripts that measure one under load."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARIES = os.path.join(ROOT, "target", "release")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def prepared(policy="", tuning="", services="", secrets=""):
    """A data folder that goes at the end, and the ports its configuration names: `pool`, `status`, `rpc`
    and `zmq`. The texts go on where `policy.toml` is in [bans] and `tuning.toml` in [difficulty]."""
    ports = {name: free_port() for name in ("pool", "status", "rpc", "zmq")}
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "config")
        os.makedirs(config)
        files = {
            "config.toml": f"""[server]
pool_listen = "127.0.0.1:{ports['pool']}"
status_listen = "127.0.0.1:{ports['status']}"
status_tls_listen = ""
[stratum]
stratum_tls_listen = ""
[node]
rpc_url = "http://127.0.0.1:{ports['rpc']}"
rpc_cookie_path = "{folder}/.cookie"
payout_address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
zmq_hashblock_addr = "tcp://127.0.0.1:{ports['zmq']}"
zmq_rawblock_addr = ""
""",
            "policy.toml": "[bans]\nreconnect_ban_threshold = 0\n" + policy,
            "tuning.toml": "[rate_limits]\nmax_conns = 0\ndisable_connect_rate_limits = true\n"
            "[difficulty]\nmin_difficulty = 1e-10\nmax_difficulty = 1e-10\n" + tuning,
            "services.toml": services,
            "secrets.toml": secrets,
        }
        for name, text in files.items():
            if text:
                with open(os.path.join(config, name), "w") as file:
                    file.write(text)
        with open(os.path.join(folder, ".cookie"), "w") as file:
            file.write("u:p")
        yield folder, ports


@contextlib.contextmanager
def running(folder, ports, node_flags=(), pool_flags=()):
    """The process of a pool that takes miners; it and its node are stopped at the end."""
    node = subprocess.Popen(
        [f"{BINARIES}/gopool-flood", "node", *node_flags, "--credentials", "u:p"]
        + ["--rpc", f"127.0.0.1:{ports['rpc']}", "--zmq", f"127.0.0.1:{ports['zmq']}"],
        stdout=subprocess.DEVNULL,
    )
    pool = subprocess.Popen(
        [f"{BINARIES}/gopool", "-data-dir", folder, *pool_flags],
        cwd=folder, stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", ports["pool"]), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield pool
    finally:
        for process in (pool, node):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
