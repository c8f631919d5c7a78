#!/bin/sh
# Makes the cluster and the databases of Airflow and MLflow (its runs and its accounts) once, then runs Postgres. The password comes from a file.
set -eu
[ -s /run/secrets/postgres_password ] || { echo "the secret postgres_password is missing, empty or not readable: \`make stack\` makes this file in docker/secrets" >&2; exit 1; }
umask 077
if [ ! -s /data/PG_VERSION ]; then
    initdb --pgdata=/data --username=stillhouse --pwfile=/run/secrets/postgres_password \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 > /dev/null
    echo "host all all all scram-sha-256" >> /data/pg_hba.conf
fi
pg_ctl --pgdata=/data --wait --silent --options="-c listen_addresses= -c unix_socket_directories=/tmp" start
for name in airflow mlflow mlflow_accounts; do
    if [ -z "$(psql --host=/tmp --username=stillhouse --dbname=postgres -Atc "select 1 from pg_database where datname = '$name'")" ]; then
        createdb --host=/tmp --username=stillhouse "$name"
    fi
done
pg_ctl --pgdata=/data --wait --silent stop
exec postgres -D /data -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=200
