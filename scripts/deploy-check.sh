#!/usr/bin/env bash
# Checks everything in deploy/ as far as that goes without starting it: the systemd unit, all shell
# scripts of the repository, Prometheus's rules and their tests, the dashboard, the seccomp profile,
# Compose and the Dockerfile. Runs as root on a fresh Debian 12 or Ubuntu 24.04, in seconds once the
# packages are there. Stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

# Ten times what `systemd-analyze security` shows: a unit above 2.0 has lost some of its protection.
exposure_max=20
cache="${GOPOOL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gopool}/promtool"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
started=$SECONDS

die() {
    echo "deploy-check: $*" >&2
    exit 1
}

check_unit() {
    # Neither the program nor the node's unit need be on this machine.
    mkdir "$work/unit"
    sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' deploy/gopool.service >"$work/unit/gopool.service"
    grep -q '^ExecStart=/bin/true ' "$work/unit/gopool.service" || die "the unit has no ExecStart"
    # An unknown key is a line of output and no error.
    local said
    said=$(systemd-analyze verify --man=no "$work/unit/gopool.service" 2>&1) || die "unit: $said"
    said=$(grep -F gopool.service <<<"$said" || true)
    [ -z "$said" ] || die "unit: $said"
    systemd-analyze security --offline=true --no-pager --threshold="$exposure_max" \
        deploy/gopool.service >"$work/security" 2>&1 || die "unit: $(tail -1 "$work/security")"
    tail -1 "$work/security"
}

check_scripts() {
    local scripts
    mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)
    [ ${#scripts[@]} -gt 0 ] || die "no scripts found"
    shellcheck "${scripts[@]}"
    echo "${#scripts[@]} scripts"
}

# promtool is in Debian's package prometheus. Installing that would start a server, so only the one
# program is taken out of it; apt checks the package's signature as ever.
find_promtool() {
    promtool=$(command -v promtool || true)
    [ -z "$promtool" ] || return 0
    promtool=$cache/promtool
    [ ! -x "$promtool" ] || return 0
    command -v apt-get >/dev/null || die "there is no promtool, and no apt-get to fetch it with"
    echo "taking promtool out of the package prometheus" >&2
    mkdir -p "$cache" "$work/deb"
    # apt's own user has to be able to write there, or it complains.
    chmod 0777 "$work/deb" && chmod 0755 "$work"
    apt-get update -qq
    (cd "$work/deb" && apt-get download -qq prometheus)
    dpkg-deb --fsys-tarfile "$work"/deb/prometheus_*.deb | tar -x -C "$work/deb" ./usr/bin/promtool
    # Whole or not at all: two checks may run at once.
    install "$work/deb/usr/bin/promtool" "$promtool.$$"
    mv "$promtool.$$" "$promtool"
}

check_prometheus() {
    local folder=deploy/prometheus
    "$promtool" check config "$folder/prometheus.yml" >"$work/out" || die "$(cat "$work/out")"
    "$promtool" test rules "$folder/gopool-rules-test.yml" >"$work/out" || die "$(cat "$work/out")"
    python3 "$folder/check.py" src/status/metrics.rs "$folder/gopool-rules.yml" \
        "$folder/gopool-rules-test.yml" deploy/grafana/gopool.json >"$work/queries.yml"
    "$promtool" check rules "$work/queries.yml" >"$work/out" || die "$(cat "$work/out")"
}

# Compose's second version where there is one, as a plugin or by its own name; else the first.
find_compose() {
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
        return
    fi
    if ! command -v docker-compose >/dev/null; then
        local package=docker-compose
        ! apt-cache show docker-compose-v2 >/dev/null 2>&1 || package=docker-compose-v2
        scripts/packages.sh "$package"
        if docker compose version >/dev/null 2>&1; then
            compose=(docker compose)
            return
        fi
    fi
    compose=(docker-compose)
    # Ubuntu has the second version as a plugin alone, without the program it plugs into.
    command -v docker-compose >/dev/null ||
        compose=(/usr/libexec/docker/cli-plugins/docker-compose)
    [ -x "$(command -v "${compose[0]}")" ] || die "no Compose found after installing it"
}

# What Compose makes of the file, in each network mode, with nothing set and with everything set.
check_compose() {
    local mode
    : >"$work/nothing"
    for mode in bridge host; do
        (
            cd deploy
            cp env.example "$work/env"
            sed -i "s/^NETWORK_MODE=.*/NETWORK_MODE=$mode/; s/^GOPOOL_ARGS=.*/GOPOOL_ARGS=-debug -max-conns 7/" "$work/env"
            NETWORK_MODE=$mode "${compose[@]}" --env-file "$work/nothing" config >"$work/$mode.yml"
            "${compose[@]}" --env-file "$work/env" config >"$work/$mode-env.yml"
        )
    done
    ! (cd deploy && NETWORK_MODE=neither "${compose[@]}" --env-file "$work/nothing" config >"$work/out" 2>&1) ||
        die "Compose took a network mode that does not exist"
    python3 - "$work" <<'PYTHON'
import re, shlex, sys, yaml

def pool(name):
    service = yaml.safe_load(open(f"{sys.argv[1]}/{name}.yml"))["services"]["gopool"]
    command = service["command"]
    return service, shlex.split(command) if isinstance(command, str) else command

def targets(service):
    ports = service.get("ports", [])
    return sorted(int(p["target"] if isinstance(p, dict) else p.split("/")[0].split(":")[-1]) for p in ports)

service, command = pool("bridge")
assert command == ["-network", "mainnet", "-stdout", "-pool-log=/dev/null"], command
assert targets(service) == [80, 443, 3333, 4333], service["ports"]
assert "entrypoint" not in service, "the image's entry point is the program"
assert any(re.match("seccomp[=:]", option) for option in map(str, service["security_opt"]))
assert pool("bridge-env")[1] == ["-network", "mainnet", "-debug", "-max-conns", "7"], pool("bridge-env")[1]
service, _ = pool("host-env")
assert service["network_mode"] == "host" and not targets(service), service

# Every variable of the files is in env.example, and the other way round.
used = set()
for path in ["docker-compose.yml", "network/bridge.yml", "network/host.yml"]:
    used |= set(re.findall(r"(?<!\$)\$\{(\w+)", open(f"deploy/{path}").read()))
example = set(re.findall(r"^(\w+)=", open("deploy/env.example").read(), re.M)) - {"COMPOSE_PROJECT_NAME"}
assert used == example, used ^ example
PYTHON
    # Read to its end: a program whose output nobody takes any more fails.
    "${compose[@]}" version | sed -n 1p
}

# The daemon's own check where one answers; in any case that what the file takes is there, and passes
# .dockerignore.
check_dockerfile() {
    local file=deploy/Dockerfile source wanted
    for wanted in 'EXPOSE 3333 4333 80 443' 'ENTRYPOINT ["/app/goPool"]' 'VOLUME /app/data' \
        'ARG BUILD_TIME=unknown' 'ARG BUILD_VERSION=v0.0.0-dev' 'USER 1000:1000'; do
        grep -qxF "$wanted" "$file" || die "$file has no line: $wanted"
    done
    grep -v -- '--from=' "$file" | sed -n 's/^COPY \(--[^ ]* \)*//p' | while read -r -a words; do
        for source in "${words[@]:0:${#words[@]}-1}"; do
            [ "$source" = . ] || grep -qxF "!${source//LICENSE-*/LICENSE-*}" .dockerignore ||
                die "$file copies $source, which .dockerignore leaves out"
            compgen -G "$source" >/dev/null || die "$file copies $source, which is not there"
        done
    done
    # What the build itself reads, by what the workspace says of itself.
    for source in src shards bench tests web Cargo.toml Cargo.lock; do
        grep -qxF "!$source" .dockerignore || die ".dockerignore leaves out $source"
        [ -e "$source" ] || die "$source is not there"
    done
    local version minimum
    version=$(sed -n 's/^ARG RUST_VERSION=//p' "$file")
    minimum=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    [ "$(printf '%s\n' "$minimum" "$version" | sort -V | head -1)" = "$minimum" ] ||
        die "$file builds with Rust $version, the workspace needs $minimum"
    if docker info >/dev/null 2>&1 && docker build --help | grep -q -- --check; then
        docker build --check -f "$file" .
    else
        echo "no Docker daemon: docker build --check left out"
    fi
}

phase() {
    printf '== %s\n' "$1"
    "${@:2}"
}

# procps has the unit's /bin/kill.
scripts/packages.sh systemd procps shellcheck jq python3 python3-yaml git
find_promtool
find_compose
phase unit check_unit
phase scripts check_scripts
phase prometheus check_prometheus
phase seccomp deploy/seccomp.sh check
phase compose check_compose
phase dockerfile check_dockerfile
echo "deploy/ is in order ($((SECONDS - started)) s)"
