#!/usr/bin/env bash
# Holds the pages' server against programs that others have written: schemathesis tries what the OpenAPI
# description allows and what it does not, slowhttptest its three ways of being slow, h2load many
# clients at once. The pool has no node here, which is one of the states that must be described too.
#
#   scripts/web-check.sh [path of gopool]
set -euo pipefail
cd "$(dirname "$0")/.."

pool=${1:-target/debug/gopool}
[ -x "$pool" ] || { echo "web-check: no $pool: cargo build first" >&2; exit 1; }
schemathesis=$(scripts/tool.sh schemathesis)
slowhttptest=$(scripts/tool.sh slowhttptest)
h2load=$(scripts/tool.sh h2load)
promtool=$(scripts/tool.sh promtool)
work=$(mktemp -d)
pool_id=
finish() {
    [ -z "$pool_id" ] || { kill "$pool_id" 2>/dev/null && wait "$pool_id" 2>/dev/null; } || true
    rm -rf "$work"
}
trap finish EXIT

mkdir -p "$work/config"
cat >"$work/config/config.toml" <<'TOML'
[server]
pool_listen = "127.0.0.1:0"
status_listen = "127.0.0.1:0"
status_tls_listen = ""
[stratum]
stratum_tls_listen = ""
[node]
rpc_url = "http://127.0.0.1:9"
rpc_cookie_path = "/nonexistent"
payout_address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
zmq_hashblock_addr = ""
zmq_rawblock_addr = ""
TOML

# start [flag...]: a pool, and where its pages are.
start() {
    "$pool" -data-dir "$work" -network regtest -stdout "$@" >"$work/log" 2>&1 &
    pool_id=$!
    for _ in $(seq 100); do
        address=$(sed -n 's/.*listening component=http .*addr=\([0-9.:]*\).*/\1/p' "$work/log" | head -1)
        [ -z "$address" ] || break
        sleep 0.1
    done
    [ -n "$address" ] || { cat "$work/log"; exit 1; }
    url="http://$address"
}
stop() {
    kill "$pool_id" && wait "$pool_id"
    pool_id=
}
alive() { curl -sf -m 5 "$url/healthz" >/dev/null || { echo "web-check: it does not answer after $1" >&2; exit 1; }; }

# A server error that is not described fails all the same: /readyz describes its 503.
try_described() {
    # In the folder that goes away: it writes down what it has found, and tries that first the next time.
    (cd "$work" && "$schemathesis" run "$url/api/openapi.json" --url "$url" --max-examples 25 --seed 1 \
        --exclude-path /api/events --exclude-checks not_a_server_error --no-color "$@") >"$work/out" 2>&1 ||
        { tail -60 "$work/out"; exit 1; }
    grep -E "^ *(Test cases|Operations|Tested|[0-9]+ generated)|passed|No issues" "$work/out" | head -5
}

echo "== schemathesis, with everybody signed in"
# What changes something must say that it comes from our pages; the worker whose hash is the description's
# example has been saved, so that answers are real ones.
start -saved-workers-local-noauth
worker=bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig
hash=$(printf %s "$worker" | sha256sum | cut -d' ' -f1)
described=$(curl -sf "$url/api/openapi.json")
[[ $described == *"$hash"* ]] || { echo "web-check: $hash is not the example" >&2; exit 1; }
curl -sf -o /dev/null -H "Origin: $url" -d "worker=$worker" "$url/worker/save"
try_described --include-tag "signed in" --header "Origin: $url"
[[ $(curl -sf "$url/api/saved-workers") == *'"saved_count":1,'* ]] || { echo "web-check: the worker is gone" >&2; exit 1; }
alive schemathesis
stop

echo "== schemathesis, with nobody signed in"
start
try_described
alive schemathesis

echo "== promtool"
# Its advice is on standard error and in the exit code; "SUCCESS" is not said.
curl -sf "$url/metrics" | "$promtool" check metrics
curl -sf -H 'Accept: text/plain;version=0.0.4' "$url/api/server" | "$promtool" check metrics
alive promtool

for mode in H B X; do
    echo "== slowhttptest -$mode"
    "$slowhttptest" "-$mode" -c 60 -r 60 -i 2 -l 12 -p 3 -u "$url/" >"$work/out" 2>&1 || true
    sed 's/\x1b\[[0-9;]*m//g' "$work/out" | grep -E "service available|closed:|exit status" | tail -3
    alive "slowhttptest -$mode"
done

echo "== h2load, HTTP/1.1"
"$h2load" --h1 -n 20000 -c 60 -H 'Accept-Encoding: br' "$url/api/overview" >"$work/out" 2>&1
grep -E "^(finished|requests|status codes)" "$work/out"
grep -q "20000 2xx" "$work/out"
alive h2load
