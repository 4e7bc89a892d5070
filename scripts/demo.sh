#!/usr/bin/env bash
# Shows the whole pool at work, with nothing but this machine: a Bitcoin Core node on a signet of our
# own, the pool, and a CPU miner. Blocks are found every few seconds. Everything it makes is in demo/
# (chain, database, logs); the next start goes on from there, `make clean-demo` removes it.
#
#   scripts/demo.sh          run until Ctrl-C
#   scripts/demo.sh --clean  remove demo/
#
# The environment may say:
#   DEMO_SECONDS=n DEMO_BLOCKS=n    stop by itself after so much mining
#   DEMO_HASHES_PER_SECOND=n        speed of the miner; 0 for all that one core has (default 500000,
#                                   which is a block in about 10 s)
#   DEMO_HTTP_PORT DEMO_STRATUM_PORT DEMO_RPC_PORT DEMO_ZMQ_PORT (and the one after it)
set -euo pipefail
cd "$(dirname "$0")/.."

http_port=${DEMO_HTTP_PORT:-8080}
stratum_port=${DEMO_STRATUM_PORT:-3333}
rpc_port=${DEMO_RPC_PORT:-28432}
zmq_port=${DEMO_ZMQ_PORT:-28433}
zmq_hash_port=$((zmq_port + 1))
hashes_per_second=${DEMO_HASHES_PER_SECOND:-500000}
seconds_max=${DEMO_SECONDS:-0}
blocks_max=${DEMO_BLOCKS:-0}

# Both are addresses of published test vectors: nobody's savings, and valid on any signet.
pool_address=tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx
miner_user=tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47zagq.cpu

demo=$PWD/demo
node_log=$demo/node/signet/debug.log
pool_log=$demo/pool.log
miner_log=$demo/miner.log
node_pid='' pool_pid='' miner_pid=''
blocks=0

say() { echo "demo: $*"; }
die() {
    say "$*" >&2
    exit 1
}

main() {
    for number in "$http_port" "$stratum_port" "$rpc_port" "$zmq_port" \
        "$hashes_per_second" "$seconds_max" "$blocks_max"; do
        [[ $number =~ ^[0-9]+$ ]] || die "$number is not a number; see the top of scripts/demo.sh"
    done
    mkdir -p "$demo"
    # Handed down to all three programs, so it is free only when none of them is left.
    exec 9>"$demo/lock"
    flock --nonblock 9 || die "it is running already, in another terminal or still stopping"
    if [ "${1:-}" = --clean ]; then
        rm -rf "$demo"
        say "removed $demo"
        return
    fi
    check_ports
    # Not handed to the builds: what they leave running in the background is none of the demo's.
    prepare 9>&-
    trap stop EXIT
    # An exit in the trap runs `stop`. A closed terminal or pipe ends the demo like Ctrl-C does.
    trap 'exit 0' INT TERM
    trap 'exit 1' HUP PIPE
    start_node
    start_pool
    start_miner
    say "pool page: http://127.0.0.1:$http_port/"
    say "miners may join at stratum+tcp://127.0.0.1:$stratum_port, as <signet address>.<name>"
    say "logs: ${pool_log#"$PWD"/}, ${miner_log#"$PWD"/}, ${node_log#"$PWD"/}. Ctrl-C stops everything."
    follow
}

# Before anything is built: somebody else's port would be found out only much later.
check_ports() {
    local port taken=''
    for port in "$http_port" "$stratum_port" "$rpc_port" "$zmq_port" "$zmq_hash_port"; do
        if answers "$port"; then
            say "port $port is taken${port_owner:+ by $port_owner}" >&2
            taken=1
        fi
    done
    [ -z "$taken" ] || die "stop what uses it, or choose others: DEMO_HTTP_PORT, DEMO_STRATUM_PORT," \
        "DEMO_RPC_PORT, DEMO_ZMQ_PORT (now $http_port, $stratum_port, $rpc_port, $zmq_port)"
}

# Whether something listens on a port of this machine; then $port_owner names it, if that is known.
answers() {
    port_owner=''
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 1
    if command -v ss >/dev/null; then
        port_owner=$(ss -Hltnp "sport = :$1" | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' | head -1)
    fi
}

# Packages, node and our own programs: minutes the first time, seconds afterwards.
prepare() {
    command -v cargo >/dev/null || PATH=$HOME/.cargo/bin:$PATH
    command -v cargo >/dev/null || die "no cargo found: install Rust from https://rustup.rs first"
    scripts/packages.sh gcc g++ make cmake pkg-config libzmq3-dev
    local node
    node=$(scripts/node.sh)
    bitcoind=$node
    bitcoin_cli=$(dirname "$node")/bitcoin-cli
    say "node: $("$bitcoind" -version | head -1)"
    say "building the pool and the miner"
    cargo build --release --workspace
    local target
    target=$(cargo metadata --format-version 1 --no-deps |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    gopool=$target/release/gopool
    miner=$target/release/gopool-miner
}

# Starts a program in a session of its own, so that Ctrl-C reaches this script alone and the order of
# stopping is ours; and tells the kernel to end it should this script be killed outright.
launch() {
    local log=$1
    shift
    setsid setpriv --pdeathsig TERM "$@" >"$log" 2>&1 </dev/null &
    launched=$!
}

# A signet anyone may mine: its challenge 51 is OP_TRUE, so a block needs no signature. It has no
# peers and never asks for any. A tip of any age is good, or the node would think after a night
# without the demo that it has to catch up first.
start_node() {
    mkdir -p "$demo/node"
    launch "$demo/node.out" "$bitcoind" -signet -signetchallenge=51 -datadir="$demo/node" \
        -listen=0 -connect=0 -networkactive=0 -maxtipage=3153600000 \
        -rpcport="$rpc_port" -rpccookiefile="$demo/node/cookie" \
        -zmqpubhashblock="tcp://127.0.0.1:$zmq_hash_port" \
        -zmqpubrawblock="tcp://127.0.0.1:$zmq_port" -printtoconsole=0
    node_pid=$launched
    local try height
    for ((try = 0; try < 300; try++)); do
        if height=$(cli getblockcount 2>/dev/null); then
            say "node is up: our own signet, $height blocks so far"
            return
        fi
        kill -0 "$node_pid" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$demo/node.out" "$node_log" >&2 || true
    die "the node did not come up; its last lines are above"
}

cli() {
    timeout 10 "$bitcoin_cli" -signet -datadir="$demo/node" -rpcport="$rpc_port" \
        -rpccookiefile="$demo/node/cookie" "$@"
}

start_pool() {
    write_config
    launch "$pool_log" "$gopool" -data-dir "$demo/pool" -network signet -stdout
    pool_pid=$launched
    local try
    for ((try = 0; try < 300; try++)); do
        if answers "$http_port" && answers "$stratum_port"; then
            return
        fi
        kill -0 "$pool_pid" 2>/dev/null || pool_ended
        sleep 0.2
    done
    tail -n 20 "$pool_log" >&2
    die "the pool did not open its ports within a minute; its last lines are above"
}

# The ports and paths in config.toml are this run's, so it is written every time; what is in
# tuning.toml is a matter of taste, so an edited one is kept.
write_config() {
    local config=$demo/pool/config
    mkdir -p "$config"
    cat >"$config/config.toml" <<END
# Written by scripts/demo.sh at every start: changes here are lost.
[server]
pool_listen = "127.0.0.1:$stratum_port"
status_listen = "127.0.0.1:$http_port"
status_tls_listen = ""

[stratum]
stratum_tls_listen = ""

[node]
rpc_url = "http://127.0.0.1:$rpc_port"
rpc_cookie_path = "$demo/node/cookie"
payout_address = "$pool_address"
zmq_hashblock_addr = "tcp://127.0.0.1:$zmq_hash_port"
zmq_rawblock_addr = "tcp://127.0.0.1:$zmq_port"

[mining]
pool_fee_percent = 2.0
END
    [ -e "$config/tuning.toml" ] || cat >"$config/tuning.toml" <<END
# Written by scripts/demo.sh once: changes here stay.
# A signet block has difficulty 0.0011. The maximum stays below that, so that a miner which hands in
# nothing but shares hands in every block; the rest gives a slow CPU a share every second or two.
[difficulty]
default_difficulty = 0.0002
min_difficulty = 0.00001
max_difficulty = 0.001
target_shares_per_min = 40.0
END
}

start_miner() {
    local limit=()
    ((hashes_per_second == 0)) || limit=(--hashes-per-second "$hashes_per_second")
    launch "$miner_log" "$miner" --url "127.0.0.1:$stratum_port" --user "$miner_user" --threads 1 \
        --version-rolling "${limit[@]}"
    miner_pid=$launched
}

# Prints blocks as the pool reports them, until somebody or DEMO_* says that it is enough.
follow() {
    local line part='' started=$SECONDS
    exec 8<"$pool_log"
    while :; do
        if IFS= read -r line <&8; then
            on_pool_line "$part$line"
            part=''
            ((blocks_max == 0 || blocks < blocks_max)) || return 0
            continue
        fi
        # Half a line, if anything: its other half is still being written.
        part+=$line
        ((seconds_max == 0 || SECONDS - started < seconds_max)) || return 0
        kill -0 "$pool_pid" 2>/dev/null || pool_ended
        alive miner "$miner_pid" "$miner_log"
        alive node "$node_pid" "$node_log"
        sleep 0.2
    done
}

on_pool_line() {
    local line=$1
    case $line in
    *'] block accepted '*)
        blocks=$((blocks + 1))
        local hash
        hash=$(value_of hash "$line")
        echo "block $(value_of height "$line")  $hash  $(reward "$hash")  $(value_of worker "$line")"
        ;;
    *' [ERROR] '*) say "pool: ${line#* }" ;;
    esac
}

# The value of one key=value field of a log line.
value_of() {
    [[ " $2 " =~ \ $1=([^ ]*)\  ]] && echo "${BASH_REMATCH[1]}" || echo "?"
}

# What a block pays in all, subsidy and fees, from the node.
reward() {
    local stats subsidy fees sats
    stats=$(cli getblockstats "\"$1\"" '["subsidy","totalfee"]' 2>/dev/null) || stats=''
    [[ $stats =~ \"subsidy\":\ *([0-9]+) ]] && subsidy=${BASH_REMATCH[1]} || subsidy=''
    [[ $stats =~ \"totalfee\":\ *([0-9]+) ]] && fees=${BASH_REMATCH[1]} || fees=''
    if [ -z "$subsidy" ] || [ -z "$fees" ]; then
        echo "reward unknown"
        return
    fi
    sats=$((subsidy + fees))
    printf '%d.%08d BTC\n' $((sats / 100000000)) $((sats % 100000000))
}

alive() {
    kill -0 "$2" 2>/dev/null && return
    tail -n 20 "$3" >&2 || true
    die "the $1 ended by itself; its last lines are above"
}

# Says why the pool ended, by its exit code.
pool_ended() {
    local code=0
    wait "$pool_pid" || code=$?
    tail -n 20 "$pool_log" >&2 || true
    case $code in
    3) die "the pool needs io_uring and this kernel or container does not allow it: Linux 5.8 or" \
        "newer, kernel.io_uring_disabled = 0, and a container profile that lets io_uring through" ;;
    4) die "the node is on another chain than the pool expects (signet)" ;;
    5) die "the pool found a port in use: $stratum_port or $http_port" ;;
    6) die "the pool does not accept the payout address $pool_address" ;;
    *) die "the pool ended by itself with code $code; its last lines are above" ;;
    esac
}

# Each program stops before the one it depends on: the miner first, so that no more shares arrive;
# then the pool, which may still have a block to hand to the node; then the node.
stop() {
    local code=$?
    trap '' INT TERM HUP PIPE
    trap - EXIT
    # Whoever read our output may be gone, and that must not end the stopping.
    set +e
    [ -z "$node_pid" ] || say "stopping" 2>/dev/null
    end miner "$miner_pid" 10
    end pool "$pool_pid" 30
    if [ -n "$miner_pid" ] && kill -0 "$node_pid" 2>/dev/null; then
        local height
        height=$(cli getblockcount 2>/dev/null)
        say "$blocks blocks found, the chain has ${height:-?}; \`make demo\` goes on from there" 2>/dev/null
    fi
    end node "$node_pid" 60
    exit "$code"
}

# Ends a program that was started here, by force if it takes longer than it may.
end() {
    local name=$1 pid=$2 seconds=$3 step
    [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null || return
    for ((step = 0; step < seconds * 10; step++)); do
        kill -0 "$pid" 2>/dev/null || return
        sleep 0.1
    done
    say "the $name did not stop within $seconds s and is killed" >&2
    kill -KILL "$pid" 2>/dev/null
}

main "$@"
