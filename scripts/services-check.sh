#!/usr/bin/env bash
# Holds the stand-ins for the services around a pool (tests/services) against the clients of those services'
# own makers, so that what the pool is tested with behaves as the real ones do. Everything is on this
# machine and ends with this script; the pool itself has no part in it.
#
#   scripts/services-check.sh [PART]   only files with PART in their name
set -euo pipefail
cd "$(dirname "$0")/.."

part=${1:-}
scripts/packages.sh openssl chromium
scripts/node-packages.sh tests/services
B2SDK_PYTHON=$(scripts/tool.sh b2sdk-python)
CHROMIUM=$(command -v chromium)
export B2SDK_PYTHON CHROMIUM

tests=()
for file in tests/services/*.test.mjs; do
    [[ $file != *"$part"*.test.mjs ]] || tests+=("$file")
done
[ ${#tests[@]} -gt 0 ] || { echo "services-check: no tests with $part in their name" >&2; exit 1; }
# Proxies are for the world outside, and nothing here leaves this machine.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export NODE_OPTIONS="--import=$PWD/tests/services/loopback.mjs"
exec node --test --test-reporter=spec "${tests[@]}"
