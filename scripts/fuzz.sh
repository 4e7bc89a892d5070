#!/usr/bin/env bash
# Runs each fuzz target for a minute ($FUZZ_SECONDS changes that) and keeps what it finds in
# shards/fuzz/corpus, small: those inputs run with the tests too. A crash is left in
# shards/fuzz/artifacts and ends the script with an error.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
scripts/packages.sh g++
# Coverage instrumentation as libFuzzer wants it; the stable compiler has all of it.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')
cd shards/fuzz
# With a target named, build scripts and macros are left without instrumentation.
cargo build --release --target "$host"
built=${CARGO_TARGET_DIR:-target}/$host/release
mkdir -p artifacts
for target in line request session; do
    echo "== fuzzing $target for $seconds s"
    new=$(mktemp -d)
    trap 'rm -rf "$new"' EXIT
    "$built/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
        -dict=stratum.dict -artifact_prefix="artifacts/$target-" -print_final_stats=1 \
        "$new" "corpus/$target" 2>&1 | grep -E 'ERROR|SUMMARY|panicked|stat::|Done|cov:.*(DONE|INITED)' || true
    if compgen -G "artifacts/$target-*" >/dev/null; then
        echo "a crash was found: shards/fuzz/artifacts/$target-*" >&2
        exit 1
    fi
    # Only what reaches new code stays, and only what is small.
    merged=$(mktemp -d)
    "$built/$target" -merge=1 -max_len=512 "$merged" "corpus/$target" "$new" >/dev/null 2>&1
    rm -rf "corpus/$target"
    mkdir "corpus/$target"
    find "$merged" -type f -size -2 | sort | sed -n 1,100p | xargs -r -I{} cp {} "corpus/$target/"
    rm -rf "$merged" "$new"
    echo "$target: $(find "corpus/$target" -type f | wc -l) inputs kept"
done
