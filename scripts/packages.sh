#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing, and says which. Used by the other scripts:
#   scripts/packages.sh cmake g++ libevent-dev
# Nothing is touched when all of them are there.
set -euo pipefail

missing=()
for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}. This system has no apt-get; please install what these Debian packages hold." >&2
    exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "installing: ${missing[*]}" >&2
# A mirror may answer badly once; the second try is worth more than an explanation.
for try in 1 2 3; do
    if "${as_root[@]}" apt-get update -qq >&2 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2; then
        exit 0
    fi
    echo "apt-get failed (try $try of 3)" >&2
    sleep 5
done
echo "could not install: ${missing[*]}" >&2
exit 1
