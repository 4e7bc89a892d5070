#!/bin/sh
# Ends with 0 when the pool says at /readyz that miners get fresh work, and prints what it says.
# HTTP answers with a redirect where HTTPS is switched on, and either may be switched off, so both
# are asked; the certificate may be the pool's own. HEALTH_URLS names others, for other ports.
set -u

for url in ${HEALTH_URLS:-http://127.0.0.1/readyz https://127.0.0.1/readyz}; do
    if answer=$(curl --silent --insecure --max-time 2 --write-out '%{http_code}' "$url"); then
        echo "$url: $answer" | tr '\n' ' '
        # The last line is the status.
        [ "${answer##*[!0-9]}" != 200 ] || exit 0
    else
        echo "$url: no answer"
    fi
done
exit 1
