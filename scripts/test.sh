#!/usr/bin/env bash
# Checks everything there is to check: format, lints and all tests, some of which run the real pool
# against a real Bitcoin Core. Stops at the first failure. The first run builds Bitcoin Core (about
# ten minutes, once per machine) and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

names=()
durations=()
current=''
started=$SECONDS

# Runs one phase and remembers how long it took.
phase() {
    current=$1
    shift
    local since=$SECONDS
    printf '\n== %s\n' "$current"
    "$@"
    names+=("$current")
    durations+=($((SECONDS - since)))
    current=''
}

summary() {
    local code=$? index
    printf '\n'
    for index in "${!names[@]}"; do
        printf '%-10s ok      %4d s\n' "${names[index]}" "${durations[index]}"
    done
    if [ "$code" -eq 0 ]; then
        echo "all passed in $((SECONDS - started)) s"
    else
        echo "${current:-set-up} FAILED (exit code $code) after $((SECONDS - started)) s"
    fi
}
trap summary EXIT
trap 'exit 130' INT TERM

# Stand-ins for services run in Node.js; one that is there will do, whoever packed it.
packages() {
    scripts/packages.sh gcc g++ make cmake pkg-config libzmq3-dev openssl
    type -P node >/dev/null || scripts/packages.sh nodejs
}

# A minimal Rust comes without these two.
toolchain() {
    command -v cargo >/dev/null || PATH=$HOME/.cargo/bin:$PATH
    if ! command -v cargo >/dev/null; then
        echo "no cargo found: install Rust from https://rustup.rs first" >&2
        return 1
    fi
    local component command
    for component in rustfmt:fmt clippy:clippy; do
        command=${component#*:}
        cargo "$command" --version >/dev/null 2>&1 || rustup component add "${component%:*}"
    done
    cargo --version
}

# The tests take the node from here and need not look for it again.
node() {
    BITCOIND=$(scripts/node.sh)
    export BITCOIND
    "$BITCOIND" -version | head -1
}

# The miner is another package's program, which `cargo test` has no reason to build.
pages() {
    cargo build --quiet --workspace
    scripts/pages-check.sh check "${CARGO_TARGET_DIR:-target}/debug"
}

phase packages packages
phase toolchain toolchain
phase node node
phase format cargo fmt --all --check
phase lint cargo clippy --workspace --all-targets -- -D warnings
phase deploy scripts/deploy-check.sh
# Tests of the whole program mostly wait: for the node, for time to pass, for each other.
phase test cargo test --workspace -- --test-threads=5
phase web scripts/web-check.sh "${CARGO_TARGET_DIR:-target}/debug/gopool"
phase services scripts/services-check.sh
phase pages pages
