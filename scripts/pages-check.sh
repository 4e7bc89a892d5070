#!/usr/bin/env bash
# Looks at the pages of real pools with a real browser (tests/pages): Debian's Chromium, a Bitcoin Core on
# a signet of our own, and CPU miners. All of them are started here and end with this script.
#
#   scripts/pages-check.sh                        every test, against target/debug
#   scripts/pages-check.sh check [FOLDER] [PART]  against the programs in FOLDER; only files with PART in their name
#   scripts/pages-check.sh whole [FOLDER] [PART]  the same with the whole browser, where its shell would do
#   scripts/pages-check.sh screenshots [FOLDER]   pictures of all pages into target/screenshots, and the README's
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-check}
programs=$(realpath -m "${2:-target/debug}")
for name in gopool gopool-miner; do
    [ -x "$programs/$name" ] || { echo "pages-check: no $programs/$name: cargo build --workspace first" >&2; exit 1; }
done

scripts/packages.sh chromium fonts-dejavu-core
# Its shell is a package of its own where there is one.
if [ "$mode" = check ] && apt-cache show chromium-headless-shell >/dev/null 2>&1; then
    scripts/packages.sh chromium-headless-shell
fi
scripts/node-packages.sh tests/pages
# One of the tests has a service beside the pool.
scripts/node-packages.sh tests/services

BITCOIND=$(scripts/node.sh)
CHROMIUM=$(command -v chromium)
export BITCOIND CHROMIUM GOPOOL="$programs/gopool" GOPOOL_MINER="$programs/gopool-miner"
if [ "$mode" = check ] && CHROMIUM_SHELL=$(command -v chromium-headless-shell); then
    export CHROMIUM_SHELL
fi
case $mode in
check | whole) exec node tests/pages/check.mjs "${3:-}" ;;
screenshots) exec node tests/pages/screenshots.mjs target/screenshots documentation/page.png ;;
*)
    sed -n '2,/^set /{/^#/s/^# \?//p}' "$0" >&2
    exit 2
    ;;
esac
