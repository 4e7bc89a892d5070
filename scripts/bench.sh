#!/usr/bin/env bash
# Measures the pool: first its stations one by one, then the whole beside the floor. Under ten minutes;
# for figures worth keeping nothing else should run on the machine.
#
# Arguments go to the table: `scripts/bench.sh --record` keeps its figures in bench/records.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh pkg-config libzmq3-dev
cargo build --release --workspace
built=${CARGO_TARGET_DIR:-target}/release
if compgen -G 'bench/benches/*.rs' >/dev/null; then
    cargo bench -p gopool-bench --benches
fi
"$built/gopool-flood" table --pool "$built/gopool" --yardstick "$built/gopool-yardstick" "$@"
# The same three sizes each time: how cost grows, drawn in documentation/plots.
"$built/gopool-flood" growth --pool "$built/gopool" --yardstick "$built/gopool-yardstick"
