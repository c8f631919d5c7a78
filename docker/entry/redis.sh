#!/bin/sh
# Runs Redis. It reads its password from its standard input, so that no command line shows it.
set -eu
exec redis-server - <<CONF
bind * -::*
requirepass $(cat /run/secrets/redis_password)
dir /data
appendonly yes
save ""
CONF
