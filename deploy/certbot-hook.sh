#!/usr/bin/env bash
# Gets a certificate with certbot and puts it where the pool looks for it: DATA_DIR/tls_cert.pem and
# DATA_DIR/tls_key.pem. The pool reads the pair again within a minute; nothing is restarted.
#
#   deploy/certbot-hook.sh --domain pool.example.org --email me@example.org
#   deploy/certbot-hook.sh --sync-only --cert-name pool.example.org
#
# certbot keeps it as the certificate's deploy hook, so its renewals reach the pool too.
#
#   --domain NAME      a name to certify; may be given several times, the first names the certificate
#   --cert-name NAME   another name for the certificate
#   --email ADDRESS    whom the certificate authority writes to; --no-email for nobody
#   --standalone       certbot answers on port 80 itself, which has to be free meanwhile (the default)
#   --webroot DIR      something else serves DIR on port 80; the pool does not serve files
#   --staging          the authority's test service, whose certificates nobody trusts
#   --dry-run          asks for everything and keeps nothing
#   --force            renews what is not due yet
#   --sync-only        no certbot: only links or copies what is there
#   --link, --copy     whichever of them; without either it links, and copies where the owner of
#                      DATA_DIR may not read certbot's folder
#   --owner USER[:GROUP]  whose the copies are; without it the owner of DATA_DIR
#   --after COMMAND    run when certificate and key are in place
#   --data-dir DIR     the pool's data folder; DATA_DIR of the environment, or ./data without it
#   --live-dir DIR     where certbot keeps its certificates; /etc/letsencrypt/live without it
#   -- …               for certbot, such as the options of a DNS plugin
set -euo pipefail

data_dir=${DATA_DIR:-data}
live_dir=/etc/letsencrypt/live
domains=() certbot_options=() certbot_extra=()
cert_name='' email='' no_email='' webroot='' sync_only='' dry_run='' mode='' owner='' after=''
self=$(readlink -f "$0")

say() { echo "certbot-hook: $*"; }
die() {
    say "$*" >&2
    exit 1
}
usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$self"
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --domain | --cert-name | --email | --webroot | --owner | --after | --data-dir | --live-dir)
            [ -n "${2:-}" ] || die "$1 needs a value"
            ;;
        esac
        case $1 in
        --domain) domains+=("$2") && shift ;;
        --cert-name) cert_name=$2 && shift ;;
        --email) email=$2 && shift ;;
        --no-email) no_email=1 ;;
        --standalone) webroot='' ;;
        --webroot) webroot=$2 && shift ;;
        --staging) certbot_options+=(--staging) ;;
        --dry-run) dry_run=1 && certbot_options+=(--dry-run) ;;
        --force) certbot_options+=(--force-renewal) ;;
        --sync-only) sync_only=1 ;;
        --link | --copy) mode=${1#--} ;;
        --owner) owner=$2 && shift ;;
        --after) after=$2 && shift ;;
        --data-dir) data_dir=$2 && shift ;;
        --live-dir) live_dir=$2 && shift ;;
        --help | -h) usage && exit 0 ;;
        --)
            shift
            certbot_extra=("$@")
            break
            ;;
        *)
            usage >&2
            die "what is $1?"
            ;;
        esac
        shift
    done
    [ -d "$data_dir" ] || die "there is no data folder $data_dir: give --data-dir or DATA_DIR"
    data_dir=$(readlink -f "$data_dir")
    : "${cert_name:=${domains[0]:-}}"
}

# A command line that a shell reads back as it was: what certbot keeps for its renewals.
deploy_hook() {
    local words=("$self" --sync-only --data-dir "$data_dir" --live-dir "$live_dir")
    [ -z "$mode" ] || words+=("--$mode")
    [ -z "$owner" ] || words+=(--owner "$owner")
    [ -z "$after" ] || words+=(--after "$after")
    printf '%q ' "${words[@]}"
}

run_certbot() {
    [ ${#domains[@]} -gt 0 ] || die "no --domain"
    command -v certbot >/dev/null || die "there is no certbot; Debian's and Ubuntu's package is certbot"
    local options=(certonly --non-interactive --agree-tos --keep-until-expiring --expand
        --cert-name "$cert_name" --deploy-hook "$(deploy_hook)") domain
    if [ -n "$email" ]; then
        options+=(--email "$email")
    elif [ -n "$no_email" ]; then
        options+=(--register-unsafely-without-email)
    else
        die "no --email: the authority would have nobody to write to (--no-email if that is meant)"
    fi
    for domain in "${domains[@]}"; do
        options+=(--domain "$domain")
    done
    # A plugin's own options, after --, choose how to prove the name.
    if [ -n "$webroot" ]; then
        options+=(--webroot --webroot-path "$webroot")
    elif [ ${#certbot_extra[@]} -eq 0 ]; then
        options+=(--standalone)
    fi
    certbot "${options[@]}" "${certbot_options[@]}" "${certbot_extra[@]}"
}

# Whether a user could read what a link leads to; only root can ask for somebody else.
may_read() {
    local user=$1 file=$2
    if [ "$(id -u)" -eq 0 ] && [ "$user" != root ] && [ "$user" != 0 ]; then
        setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups test -r "$file"
    else
        test -r "$file"
    fi
}

# Puts the pair in place, each file at once. Between the two the pool may find a pair that does not
# fit: it keeps the one it has and looks again a minute later.
sync_pair() {
    # certbot tells its hooks which certificate it is about.
    local lineage=${RENEWED_LINEAGE:-$live_dir/$cert_name} file
    [ -n "${RENEWED_LINEAGE:-}$cert_name" ] || die "no --domain and no --cert-name: which certificate?"
    for file in fullchain.pem privkey.pem; do
        [ -r "$lineage/$file" ] || die "cannot read $lineage/$file"
    done
    : "${owner:=$(stat -c %u:%g "$data_dir")}"
    local user=${owner%%:*} how=$mode
    if [ -z "$how" ]; then
        how='link'
        if ! may_read "$user" "$lineage/privkey.pem"; then
            how=copy
            say "user $user may not read $lineage: copying instead of linking"
        fi
    elif [ "$how" = link ] && ! may_read "$user" "$lineage/privkey.pem"; then
        die "user $user may not read $lineage/privkey.pem, so a link would be of no use: --copy"
    fi
    place "$how" "$lineage/privkey.pem" "$data_dir/tls_key.pem" 0600
    place "$how" "$lineage/fullchain.pem" "$data_dir/tls_cert.pem" 0644
    case $how in
    link) say "tls_cert.pem and tls_key.pem of $data_dir are links to $lineage" ;;
    copy) say "tls_cert.pem and tls_key.pem of $data_dir are copies from $lineage" ;;
    esac
}

place() {
    local how=$1 from=$2 to=$3 permissions=$4 fresh=$3.new
    rm -f "$fresh"
    if [ "$how" = link ]; then
        ln -s "$from" "$fresh"
    else
        # Never readable by others, not even for a moment.
        install -m 0600 "$from" "$fresh"
        [ "$(id -u)" -ne 0 ] || chown "$owner" "$fresh"
        chmod "$permissions" "$fresh"
    fi
    mv -fT "$fresh" "$to"
}

read_options "$@"
[ -n "$sync_only" ] || run_certbot
if [ -n "$dry_run" ]; then
    say "a dry run: $data_dir stays as it is"
    exit 0
fi
sync_pair
[ -z "$after" ] || sh -c "$after"
