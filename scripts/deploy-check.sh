#!/usr/bin/env bash
# Checks what is in deploy/: the unit, the scripts, the seccomp profile, the Compose file, what
# Prometheus and Grafana are told. Nothing is started. Under a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

# systemd's own measure of what a unit may do, times ten: "good" begins at 2.5.
exposure_max=25

scripts/packages.sh systemd shellcheck jq python3-yaml docker-compose
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

say() { printf '%s\n' "deploy: $*"; }

# promtool alone: the package would bring a daemon that starts at once.
promtool() {
    local cache=${GOPOOL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gopool}/promtool
    if [ ! -x "$cache/promtool" ]; then
        mkdir -p "$cache"
        # Downloads are done by a user without privileges where there is one, in a folder of its own.
        chmod 755 "$folder"
        (cd "$folder" && { apt-get download -qq prometheus ||
            { apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg-deb -x prometheus_*.deb x) >&2
        install "$folder/x/usr/bin/promtool" "$cache/promtool"
    fi
    "$cache/promtool" "$@"
}

say "the unit"
# The program is where the unit says on an operator's machine, and not on this one.
sed 's#/usr/local/bin/gopool#/bin/true#' deploy/gopool.service >"$folder/gopool.service"
faults=$(systemd-analyze verify "$folder/gopool.service" 2>&1 | grep -F gopool || true)
[ -z "$faults" ] || {
    echo "$faults" >&2
    exit 1
}
systemd-analyze security --offline=true --threshold="$exposure_max" "$folder/gopool.service" \
    >"$folder/security" || {
    cat "$folder/security" >&2
    exit 1
}
tail -1 "$folder/security"

say "scripts"
shellcheck scripts/*.sh deploy/*.sh .ci/run

say "seccomp: Docker's default and io_uring"
deploy/seccomp.sh check

say "Compose"
for mode in bridge host; do
    (cd deploy && NETWORK_MODE=$mode docker-compose --env-file env.example config -q)
done

say "metrics, rules, dashboard"
deploy/prometheus/check.py src/status/metrics.rs deploy/prometheus/gopool-rules.yml \
    deploy/prometheus/gopool-rules-test.yml deploy/grafana/gopool.json >"$folder/dashboard.yml"
promtool check config deploy/prometheus/prometheus.yml
promtool check rules "$folder/dashboard.yml"
promtool test rules deploy/prometheus/gopool-rules-test.yml
say "all good"
