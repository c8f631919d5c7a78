#!/bin/sh
# Runs an S3 server on a folder: JuiceFS' gateway, with its metadata in SQLite.
set -eu
for name in s3_access_key s3_secret_key; do
    [ -s "/run/secrets/$name" ] || { echo "the secret $name is missing, empty or not readable: \`make stack\` makes this file in docker/secrets" >&2; exit 1; }
done
umask 077
MINIO_ROOT_USER=$(cat /run/secrets/s3_access_key)
MINIO_ROOT_PASSWORD=$(cat /run/secrets/s3_secret_key)
export MINIO_ROOT_USER MINIO_ROOT_PASSWORD
meta=sqlite3:///data/meta.db
if [ ! -s /data/meta.db ]; then
    juicefs format --no-update "$meta" stack --storage file --bucket /data/objects/ --trash-days 0 --no-agent
fi
exec juicefs gateway "$meta" 0.0.0.0:9000 --multi-buckets --keep-etag --object-meta --cache-dir /tmp/cache --cache-size 512 \
    --log /tmp/gateway.log --no-usage-report --no-banner --no-agent --metrics 127.0.0.1:9567
