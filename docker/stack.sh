#!/usr/bin/env bash
# The stack of compose.yaml with podman: no Docker engine and no image hub are needed. Linux, as root.
#
#   docker/stack.sh up            builds the images, makes the secrets that are missing, starts everything, waits for health
#   docker/stack.sh night [RECIPE]    adds a second container host with a worker, runs a night, promotes the student, and
#                                     asks the model server; default: seed_digits
#   docker/stack.sh failures [NAME]   breaks the stack in the middle of nights, in the ways of docs/reliability.md
#   docker/stack.sh test [RECIPE]     both
#   docker/stack.sh tools         says which tools are missing, with exit code 2
#   docker/stack.sh backup FOLDER copies databases, objects and secrets of the running stack into a new folder
#   docker/stack.sh restore FOLDER  makes a stack from a backup, on a host that has none
#   docker/stack.sh stop          stops everything and keeps data, images and secrets; `up` goes on
#   docker/stack.sh down          stops and removes containers, networks, volumes, images and the secrets made here
#
# BASE, MIRROR, BUILD_OPTIONS, CONTAINERS_CONF   as in try.sh
# TORCH_WHEELS=PLACE                 where torch's wheel for the CPU is; a folder needs a -v in BUILD_OPTIONS
# STACK_SECRETS=FOLDER               default: docker/secrets
# STILLHOUSE_MODEL=RECIPE            whose champion the server serves; default: seed_digits
# AIRFLOW_PORT, MLFLOW_PORT, SERVER_PORT   on 127.0.0.1; default: 8080, 5000, 8500
set -euo pipefail
CALLED_IN=$PWD
cd "$(dirname "$0")/.."
# shellcheck source=docker/engine.sh
. docker/engine.sh
# shellcheck source=docker/second_host.sh
. docker/second_host.sh
# shellcheck source=docker/failures.sh
. docker/failures.sh
# shellcheck source=docker/backup.sh
. docker/backup.sh

export STACK_SECRETS=${STACK_SECRETS:-$PWD/docker/secrets} STILLHOUSE_MODEL=${STILLHOUSE_MODEL:-seed_digits}
SERVICES="postgres redis s3 mlflow api-server scheduler dag-processor triggerer worker worker-measure server"
BOUND_TO_DATA="airflow_fernet_key postgres_password signing_key"
SECONDS_TO_HEALTH=600
SECONDS_TO_STOP=30

compose() { # with STACK_ADDRESS, workers of other hosts can use the stack
    podman-compose --in-pod false -p stillhouse -f docker/compose.yaml ${STACK_ADDRESS:+-f docker/hosts.yaml} "$@"
}
container() { podman ps -aq --filter "label=com.docker.compose.project=stillhouse" --filter "label=com.docker.compose.service=$1" | head -n 1; }

build() { # build DOCKERFILE IMAGE [OPTION...]
    local file=$1 image=$2
    shift 2
    # shellcheck disable=SC2086 # BUILD_OPTIONS is several words
    buildah bud --quiet --force-rm --format docker --layers --isolation chroot --build-arg BASE="$BASE" "$@" ${BUILD_OPTIONS:-} \
        --ignorefile docker/stack.dockerignore -f "docker/$file" -t "localhost/$image" . > /dev/null
    say "$image: $(podman image inspect --format '{{.Size}}' "localhost/$image" | awk '{printf "%.0f MB", $1 / 1e6}')"
}

build_all() {
    [ -n "${BASE:-}" ] || local_base
    say "base: $(podman image inspect --format '{{.Size}}' "$BASE" | awk '{printf "%.0f MB", $1 / 1e6}')"
    for target in postgres redis s3; do build services.Dockerfile "stillhouse-$target" --target "$target"; done
    build serving.Dockerfile stillhouse-serving
    build airflow.Dockerfile stillhouse-airflow ${TORCH_WHEELS:+--build-arg TORCH_WHEELS="$TORCH_WHEELS"}
}

# A new file would not open the old database, not read what is encrypted in it, or sign as another deployment.
expect_secret_of_data() { # expect_secret_of_data NAME
    [ ! -s "$STACK_SECRETS/$1" ] && [ -n "$(podman volume ls -q --filter name=stillhouse_postgres)" ] || return 0
    say "the stack has data, and the secret $STACK_SECRETS/$1 is missing or empty; put the file back, for example from a backup"
    exit 1
}

# The folder is closed to other users; the files are open, because a container's user has another number than root.
secrets() {
    mkdir -p "$STACK_SECRETS" && chmod 700 "$STACK_SECRETS"
    local name
    for name in $BOUND_TO_DATA; do expect_secret_of_data "$name"; done
    for name in airflow_password airflow_secret mlflow_admin_password mlflow_pipeline_password mlflow_promoter_password \
        mlflow_reader_password mlflow_session_key postgres_password redis_password s3_access_key s3_secret_key; do
        [ -s "$STACK_SECRETS/$name" ] || head -c 24 /dev/urandom | od -An -vtx1 | tr -d ' \n' > "$STACK_SECRETS/$name"
    done
    [ -s "$STACK_SECRETS/airflow_fernet_key" ] \
        || head -c 32 /dev/urandom | base64 | tr '+/' '-_' > "$STACK_SECRETS/airflow_fernet_key"
    [ -s "$STACK_SECRETS/signing_key" ] || openssl genpkey -algorithm ed25519 -out "$STACK_SECRETS/signing_key"
    chmod 644 "$STACK_SECRETS"/*
}

await_health() { # await_health SERVICE...
    local service begin=$SECONDS
    for service in "$@"; do
        [ "$service" != server ] || continue # it answers once there is a champion
        until podman healthcheck run "$(container "$service")" > /dev/null 2>&1; do
            if [ $((SECONDS - begin)) -gt $SECONDS_TO_HEALTH ]; then
                podman logs --tail 20 "$(container "$service")" >&2 || true
                say "$service is not healthy after $SECONDS_TO_HEALTH s; its log ends above"
                exit 1
            fi
            sleep 2
        done
        say "$service is healthy after $((SECONDS - begin)) s"
    done
}

# podman-compose keeps a container whose image was built again, so new code would not run.
remove_outdated() {
    local id
    for id in $(stack_containers); do
        if [ "$(podman inspect --format '{{.Image}}' "$id")" != "$(podman image inspect --format '{{.Id}}' "$(podman inspect --format '{{.ImageName}}' "$id")")" ]; then
            podman rm -f -v --time $SECONDS_TO_STOP "$id" > /dev/null
        fi
    done
}

start() {
    compose up -d --no-build > /dev/null
    # shellcheck disable=SC2086 # several services
    await_health $SERVICES
}

up() {
    build_all
    secrets
    remove_outdated
    start
    say "Airflow http://127.0.0.1:${AIRFLOW_PORT:-8080}, user admin, password in $STACK_SECRETS/airflow_password"
    say "MLflow  http://127.0.0.1:${MLFLOW_PORT:-5000}, user reader, password in $STACK_SECRETS/mlflow_reader_password"
}

try_night() {
    local recipe=$1 address=http://127.0.0.1:${SERVER_PORT:-8500} begin
    export STILLHOUSE_MODEL=$recipe
    add_second_host
    night run "$recipe"
    expect_closed "$recipe"
    begin=$(date +%s%N)
    podman restart --time 2 "$(container server)" > /dev/null
    until python3 -c "import urllib.request as r; print(r.urlopen('$address/version', timeout=2).read().decode())" 2> /dev/null; do
        [ $(($(date +%s%N) - begin)) -lt 60000000000 ] || { say "the model server does not answer at $address"; exit 1; }
        sleep 0.1
    done
    say "the model server answers $((($(date +%s%N) - begin) / 1000000)) ms after its restart"
}

# Another host reaches the published ports only, a worker reaches no database, and a reader changes nothing in MLflow.
expect_closed() { # expect_closed RECIPE
    local found others
    others=$(ss -ltnpH | grep -v conmon | awk '{sub(/.*:/, "", $4); print $4}' | sort -un) # of other programs of this host
    # shellcheck disable=SC2086 # several ports
    found=$(on_second python3 docker/outside.py ports "$FIRST_ADDRESS" $others) || { say "$found"; exit 1; }
    say "$found"
    found=$(python3 docker/outside.py reader "http://127.0.0.1:${MLFLOW_PORT:-5000}" "$STACK_SECRETS/mlflow_reader_password" "$1") \
        || { say "$found"; exit 1; }
    say "$found"
    if podman exec "$(container worker)" python -c "import socket; socket.create_connection(('postgres', 5432), 5)" 2> /dev/null; then
        say "a worker reaches Postgres; look at the networks of compose.yaml"
        exit 1
    fi
    say "a worker does not reach Postgres"
}

remove() { # remove SERVICE...: the containers, and their volumes without a name
    local service
    for service in "$@"; do
        podman rm -f -v --time $SECONDS_TO_STOP "$(container "$service")" > /dev/null
    done
}

add_second_host() {
    [ -z "${STACK_ADDRESS:-}" ] || return 0
    make_cable
    export STACK_ADDRESS=$FIRST_ADDRESS
    remove redis s3 mlflow api-server # podman-compose would make them anew, and leave their volumes without a name
    start
    second_up
    say "a second container host has $(on_second podman ps -q | wc -l) worker"
}

stack_containers() { podman ps -aq --filter label=com.docker.compose.project=stillhouse; }

stop() { # stop SECONDS: the time that a service has to end by itself
    local containers
    containers=$(stack_containers)
    # shellcheck disable=SC2086 # several ids
    [ -z "$containers" ] || podman rm -f -v --time "$1" $containers > /dev/null
}

down() {
    local volumes
    second_down
    stop 5
    compose down -v > /dev/null 2>&1 || true
    volumes=$(podman volume ls -q --filter name=stillhouse_)
    # shellcheck disable=SC2086
    [ -z "$volumes" ] || podman volume rm -f $volumes > /dev/null
    for image in airflow serving postgres redis s3; do podman image rm -f "localhost/stillhouse-$image" > /dev/null 2>&1 || true; done
    [ -n "${BASE:-}" ] || podman image rm -f localhost/debian-python:bookworm > /dev/null 2>&1 || true
    podman image prune -f > /dev/null 2>&1 || say "images without a name are left, because a build that was interrupted uses them"
    rm -rf "$PWD/docker/secrets"
    say "left in podman: $(podman ps -aq | wc -l) containers, $(podman volume ls -q | wc -l) volumes, $(podman images -aq | wc -l) images"
}

check_tools podman buildah runc podman-compose openssl python3
engine_settings
case ${1:-} in
    up) up ;;
    night) try_night "${2:-seed_digits}" ;;
    failures) try_failures "${@:2}" ;;
    test) try_night "${2:-seed_digits}" && try_failures ;;
    backup | restore) "$1" "$(cd "$CALLED_IN" && realpath -m "${2:?name the folder of the backup}")" ;;
    stop) stop $SECONDS_TO_STOP ;;
    down) down ;;
    tools) say "all tools are here" ;; # check_tools has ended this otherwise
    *) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
