#!/usr/bin/env bash
# Makes and checks seccomp.json: Docker's default profile and the three calls of io_uring, which that
# profile has left out since Docker 25. Nothing else may differ.
#
#   deploy/seccomp.sh make DEFAULT.json >deploy/seccomp.json    from another Docker's profile
#   deploy/seccomp.sh check                                     against the fingerprint below
#   deploy/seccomp.sh check DEFAULT.json                        against the profile itself
#
# The profile in use is moby 26.1.5's (profiles/seccomp/default.json, Apache-2.0), as Debian 13's
# package golang-github-docker-docker-dev 26.1.5+dfsg1-9+deb13u1 ships it.
set -euo pipefail

# Of that profile, as `jq -S -c .` writes it.
fingerprint=57a66f318d7064e9fea0edc5edd5343e7d1842d29df37f82b4aeed04f10b3c59
calls='["io_uring_enter", "io_uring_register", "io_uring_setup"]'
profile=$(dirname "$0")/seccomp.json

die() {
    echo "seccomp: $*" >&2
    exit 1
}

# The first group is what everybody may call, whatever the capabilities and the processor.
add_calls() {
    jq --tab --argjson calls "$calls" '
        if [.syscalls[].names[] | select(startswith("io_uring"))] != [] then
            error("this profile has calls of io_uring already")
        elif .syscalls[0] | .action != "SCMP_ACT_ALLOW" or (keys - ["action", "names"]) != [] then
            error("the first group is not the one without conditions")
        # Where the alphabet would have them, so that a diff shows three lines and no more.
        else .syscalls[0].names |= (index("ioctl") as $at | .[:$at] + $calls + .[$at:])
        end' "$1"
}

# Exactly these calls, once, in the group without conditions; then the profile without them.
without_calls() {
    jq -S -c --argjson calls "$calls" '
        if [.syscalls[].names[] | select(startswith("io_uring"))] != $calls
            or .syscalls[0].names - $calls == .syscalls[0].names then
            error("not exactly the three calls of io_uring in the first group")
        else .syscalls[0].names -= $calls
        end' "$profile"
}

case ${1:-}:$# in
make:2) add_calls "$2" ;;
check:1)
    found=$(without_calls | sha256sum)
    [ "${found%% *}" = "$fingerprint" ] ||
        die "seccomp.json differs from Docker's default in more than io_uring"
    ;;
check:2)
    diff <(jq -S . "$2") <(without_calls | jq -S .) >&2 ||
        die "seccomp.json differs from $2 in more than io_uring"
    ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
