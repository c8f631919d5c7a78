#!/bin/sh
# Puts the secrets, which are files, into the variables of Airflow, MLflow and the S3 clients. Then it runs a command.
set -eu
umask 077
secret() {
    if [ ! -s "/run/secrets/$1" ] || [ ! -r "/run/secrets/$1" ]; then
        echo "the secret $1 is missing, empty or not readable: \`make stack\` makes this file in docker/secrets; a worker of" \
            "another host needs the file of the stack's host" >&2
        exit 1
    fi
    cat "/run/secrets/$1"
}
has() { [ -r "/run/secrets/$1" ]; }

AWS_ACCESS_KEY_ID=$(secret s3_access_key)
AWS_SECRET_ACCESS_KEY=$(secret s3_secret_key)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY

case "$*" in # without these, Airflow would use a database and keys of its own
    "airflow celery "*) needed="redis_password mlflow_pipeline_password signing_key" ;;
    "airflow "*) needed="postgres_password redis_password airflow_fernet_key airflow_password airflow_secret signing_key" ;;
    "mlflow"*) needed="postgres_password mlflow_session_key mlflow_admin_password mlflow_pipeline_password \
        mlflow_promoter_password mlflow_reader_password" ;;
    *) needed= ;;
esac
for name in $needed; do secret "$name" > /dev/null; done
if has postgres_password; then
    database="postgresql+psycopg2://stillhouse:$(secret postgres_password)@postgres:5432"
    export MLFLOW_BACKEND_STORE_URI="$database/mlflow" AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="$database/airflow"
    export STILLHOUSE_MLFLOW_ACCOUNTS="$database/mlflow_accounts"
    unset database
fi
if has redis_password; then # results go to Redis too, so that a worker needs no database
    queue="redis://:$(secret redis_password)@redis:6379"
    export AIRFLOW__CELERY__BROKER_URL="$queue/0" AIRFLOW__CELERY__RESULT_BACKEND="$queue/1"
    unset queue
fi
if has airflow_fernet_key; then
    AIRFLOW__CORE__FERNET_KEY=$(secret airflow_fernet_key)
    export AIRFLOW__CORE__FERNET_KEY
fi
if has airflow_secret; then # a worker has it to check who may read its logs
    AIRFLOW__API__SECRET_KEY=$(secret airflow_secret)
    AIRFLOW__API_AUTH__JWT_SECRET=$AIRFLOW__API__SECRET_KEY
    export AIRFLOW__API__SECRET_KEY AIRFLOW__API_AUTH__JWT_SECRET
fi
if has airflow_password; then # Airflow also writes to this file
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=/tmp/airflow_users.json
    printf '{"admin": "%s"}\n' "$(secret airflow_password)" > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
fi
if has mlflow_session_key; then
    MLFLOW_FLASK_SERVER_SECRET_KEY=$(secret mlflow_session_key)
    export MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_AUTH_CONFIG_PATH=/tmp/mlflow_auth.ini
fi
if has signing_key; then
    mkdir -p "$STILLHOUSE_STATE/keys"
    cp /run/secrets/signing_key "$STILLHOUSE_STATE/keys/signing.pem"
fi
[ -z "${AIRFLOW_HOME:-}" ] || mkdir -p "$AIRFLOW_HOME"
python /entry/prepare.py wait ${WAIT_FOR:-}
if [ "${1:-}" = mlflow ]; then
    python /entry/prepare.py accounts
fi
exec "$@"
