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
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/new" "$work/kept"
    # What was found before stays found: the corpus is read first.
    if ! "$built/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
        -rss_limit_mb=2048 -dict=stratum.dict -artifact_prefix="artifacts/$target-" \
        -print_final_stats=1 "$work/new" "corpus/$target" >"$work/log" 2>&1; then
        grep -aE -A3 'panicked|ERROR|SUMMARY' "$work/log" >&2 || tail -20 "$work/log" >&2
        echo "$target failed; what did it is in shards/fuzz/artifacts" >&2
        exit 1
    fi
    grep -aE 'DONE|stat::number_of_executed_units' "$work/log"
    # Small inputs, the one that adds most code first: those are kept, as many as do for a test.
    "$built/$target" -set_cover_merge=1 -use_counters=0 -use_cmp=0 -max_len=1024 "$work/kept" \
        "corpus/$target" "$work/new" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
    find "$work/kept" -type f -printf '%T@ %p\n' | sort -n | sed -n '1,120s/[^ ]* //p' >"$work/list"
    test -s "$work/list"
    find "corpus/$target" -type f -delete
    xargs cp -t "corpus/$target" <"$work/list"
    echo "$target: $(wc -l <"$work/list") inputs kept"
    rm -rf "$work"
done
