#!/usr/bin/env bash
# Installs the packages of a folder of tests for Node.js, and Node.js if there is none:
#   scripts/node-packages.sh tests/pages
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:?which folder}
# One that is there will do, whoever packed it; Debian 12's own is too old for the pages' driver.
command -v node >/dev/null || scripts/packages.sh nodejs
command -v npm >/dev/null || scripts/packages.sh npm
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 15) ? 0 : 1)' ||
    { echo "node-packages: Node.js 20.15 or newer is needed, this is $(node --version)" >&2; exit 1; }

# Installed anew only when the lock file says something else.
lock=$folder/package-lock.json
kept=$folder/node_modules/.package-lock.sum
if [ "$(sha256sum <"$lock")" != "$(cat "$kept" 2>/dev/null)" ]; then
    (cd "$folder" && timeout 300 npm ci --silent)
    sha256sum <"$lock" >"$kept"
fi
