#!/bin/sh
# Runs Redis. It reads its password from its standard input, so that no command line shows it.
set -eu
[ -s /run/secrets/redis_password ] || { echo "the secret redis_password is missing, empty or not readable: \`make stack\` makes this file in docker/secrets" >&2; exit 1; }
exec redis-server - <<CONF
bind * -::*
requirepass $(cat /run/secrets/redis_password)
dir /data
appendonly yes
save ""
CONF
