#!/usr/bin/env bash
# Prints the path of a program that tests are made with, fetching it into the cache if it is not there:
#
#   scripts/tool.sh prometheus | promtool | wrk | slowhttptest | h2load | schemathesis | b2sdk-python
#
# They are Debian's packages; of prometheus only the program is taken, for installing it would start a
# server. schemathesis is a Python package, in an environment of its own; b2sdk-python is the Python of the
# environment that has Backblaze's library.
set -euo pipefail

name=${1:?which program}
cache="${GOPOOL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gopool}/tools"
say() { echo "tool: $*" >&2; }

if in_path=$(command -v "$name"); then
    echo "$in_path"
    exit 0
fi
case $name in
wrk | slowhttptest) package=$name ;;
h2load) package=nghttp2-client ;;
*) package= ;;
esac
if [ -n "$package" ]; then
    scripts=$(cd "$(dirname "$0")" && pwd)
    "$scripts/packages.sh" "$package" >&2
    command -v "$name"
    exit 0
fi

mkdir -p "$cache"
# Two test runs may start together: the second waits for what the first fetches.
exec 9>"$cache/lock"
flock 9
if [ -x "$cache/$name" ]; then
    echo "$cache/$name"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0777 "$work"

if [ "$name" = schemathesis ]; then
    say "making an environment for schemathesis"
    python3 -m venv "$cache/schemathesis-env" >&2
    "$cache/schemathesis-env/bin/pip" install --quiet 'schemathesis==4.*' >&2
    ln -s "$cache/schemathesis-env/bin/schemathesis" "$cache/$name"
elif [ "$name" = b2sdk-python ]; then
    say "making an environment for b2sdk"
    python3 -m venv "$cache/b2sdk-env" >&2
    "$cache/b2sdk-env/bin/pip" install --quiet 'b2sdk==2.*' >&2
    # No link: Python finds its environment by the path it is called with.
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$cache/b2sdk-env/bin/python" >"$work/$name"
    install "$work/$name" "$cache/$name"
elif [ "$name" = prometheus ] || [ "$name" = promtool ]; then
    say "taking $name out of the package prometheus"
    apt-get update -qq >&2
    (cd "$work" && apt-get download -qq prometheus >&2)
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" "./usr/bin/$name"
    install "$work/usr/bin/$name" "$cache/$name"
else
    say "no such tool: $name"
    exit 1
fi
echo "$cache/$name"
