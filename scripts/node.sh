#!/usr/bin/env bash
# Prints the path of a real bitcoind (with bitcoin-cli beside it), building one if there is none.
#
# Looked for in this order: $BITCOIND; PATH; the cache (outside the checkout, keyed by version);
# and only then it is built from source into the cache, in about ten minutes on two cores.
# The source is the copy of Bitcoin Core that the crate libbitcoinkernel-sys ships, so nothing but
# the crate registry is needed and nothing of Core stands in this repository.
set -euo pipefail

# Bitcoin Core 30.99 with RPC and ZMQ. That version leaves out one header which its own init.cpp
# includes; the next version of the crate has it.
CRATE_VERSION=0.2.0
HEADER_CRATE_VERSION=0.3.0
HEADER=bitcoin/src/ipc/exception.h
# Raised when the way it is built changes.
RECIPE=1

here=$(cd "$(dirname "$0")" && pwd)
say() { echo "node: $*" >&2; }
has_cli() { [ -x "$(dirname "$1")/bitcoin-cli" ]; }

if [ -n "${BITCOIND:-}" ]; then
    [ -x "$BITCOIND" ] || { say "BITCOIND=$BITCOIND is not an executable file"; exit 1; }
    has_cli "$BITCOIND" || { say "no bitcoin-cli beside BITCOIND=$BITCOIND"; exit 1; }
    echo "$BITCOIND"
    exit 0
fi
if in_path=$(command -v bitcoind) && has_cli "$in_path"; then
    echo "$in_path"
    exit 0
fi

cache="${GOPOOL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gopool}/node"
home="$cache/core-$CRATE_VERSION-$RECIPE"
if [ -x "$home/bitcoind" ] && has_cli "$home/bitcoind"; then
    echo "$home/bitcoind"
    exit 0
fi

# Two test runs may start together: the second waits for the first one's build.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -x "$home/bitcoind" ]; then
    echo "$home/bitcoind"
    exit 0
fi

say "no bitcoind in \$BITCOIND, PATH or $home: building Bitcoin Core from source, once"
"$here/packages.sh" cmake make g++ pkg-config libboost-dev libevent-dev libzmq3-dev

work="$home.building"
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT

# Prints the folder of one version of the crate's source, fetched by cargo (which checks its hash).
crate_source() {
    local version=$1 project="$work/fetch-$1"
    mkdir -p "$project/src"
    echo 'fn main() {}' >"$project/src/main.rs"
    printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\nlibbitcoinkernel-sys = "=%s"\n[workspace]\n' \
        "$version" >"$project/Cargo.toml"
    cargo fetch --quiet --manifest-path "$project/Cargo.toml" >&2
    cargo metadata --format-version 1 --manifest-path "$project/Cargo.toml" |
        grep -o "\"[^\"]*/libbitcoinkernel-sys-$version/Cargo.toml\"" | head -1 | xargs dirname
}

core=$(crate_source "$CRATE_VERSION")
header_core=$(crate_source "$HEADER_CRATE_VERSION")
cp -r "$core/bitcoin" "$work/bitcoin"
mkdir -p "$work/$(dirname "$HEADER")"
cp "$header_core/$HEADER" "$work/$HEADER"

log="$cache/build.log"
say "configuring (log: $log)"
cmake -S "$work/bitcoin" -B "$work/build" -DCMAKE_BUILD_TYPE=Release \
    -DENABLE_WALLET=OFF -DWITH_ZMQ=ON -DENABLE_IPC=OFF -DBUILD_TESTS=OFF -DBUILD_BENCH=OFF \
    -DBUILD_TX=OFF -DBUILD_UTIL=OFF >"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }

# One line for every five per cent: a terminal and a log both show that it goes on.
progress() {
    local last=-1 percent
    while IFS= read -r line; do
        echo "$line" >>"$log"
        [[ $line =~ ^\[\ *([0-9]+)%\] ]] || continue
        percent=${BASH_REMATCH[1]}
        if ((percent / 5 > last)); then
            last=$((percent / 5))
            say "building Bitcoin Core: $percent %"
        fi
    done
}
if ! cmake --build "$work/build" --target bitcoind bitcoin-cli --parallel "$(nproc)" 2>&1 | progress; then
    tail -30 "$log" >&2
    exit 1
fi

install -s -D "$work/build/bin/bitcoind" "$work/done/bitcoind"
install -s -D "$work/build/bin/bitcoin-cli" "$work/done/bitcoin-cli"
rm -rf "$home"
mv "$work/done" "$home"
say "built $("$home/bitcoind" -version | head -1)"
echo "$home/bitcoind"
