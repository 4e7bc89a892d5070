#!/usr/bin/env bash
# Makes the picture of the status page in the README from the real page of a running demo:
#   make demo            (in another terminal; let it find a few blocks)
#   scripts/picture.sh
set -euo pipefail
cd "$(dirname "$0")/.."

url="http://127.0.0.1:${DEMO_HTTP_PORT:-8080}/"
picture=$PWD/documentation/page.png
scripts/packages.sh chromium fonts-dejavu-core
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
# Nothing but the page is fetched: the browser's own services stay off.
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync \
    --user-data-dir="$profile" --hide-scrollbars --window-size=1280,1000 \
    --screenshot="$picture" "$url" >/dev/null 2>&1 || true
[ -s "$picture" ] || { echo "chromium made no picture of $url; is the demo running?" >&2; exit 1; }
echo "wrote $picture"
