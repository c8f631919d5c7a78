# `stack.sh backup FOLDER` and `stack.sh restore FOLDER`: the databases, the objects and the secrets of the stack.
# A backup holds every secret, so only its owner can open its folder. docs/stack.md says what is in it.
# shellcheck shell=bash

MANIFEST=manifest.sha256

backup() { # backup FOLDER
    local folder=$1 partial=$1.partial name
    expect_unused "$folder"
    [ ! -e "$partial" ] || { say "$partial is what a backup left that did not end; delete it, then start again"; exit 1; }
    for name in postgres mlflow; do
        [ -n "$(container "$name")" ] || { say "the service $name does not run; start the stack with \`make stack\`"; exit 1; }
    done
    umask 077
    mkdir -p "$partial/secrets"
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$partial'; say 'the backup did not end, and nothing is left of it'" EXIT
    cp "$STACK_SECRETS"/* "$partial/secrets/"
    { date -u +%FT%TZ; git rev-parse HEAD 2> /dev/null || true; } > "$partial/made.txt"
    # What one store names must be in the stores that are copied later. So Airflow's database comes before MLflow's, and
    # the objects, which are written once, come last.
    for name in $(databases); do
        podman exec "$(container postgres)" pg_dump --host=/tmp --username=stillhouse --format=custom "$name" > "$partial/$name.dump"
        say "$name: $(wc -c < "$partial/$name.dump") bytes"
    done
    copy_objects dump > "$partial/objects.tar"
    write_manifest "$partial"
    sync -f "$partial"
    mv -T "$partial" "$folder"
    trap - EXIT
    say "the backup is $folder; it holds every secret of the stack"
}

restore() { # restore FOLDER
    local folder=$1 dump
    expect_whole "$folder"
    expect_no_stack
    expect_no_other_secrets "$folder"
    trap 'say "the restore did not end; run docker/stack.sh down, then restore again"' EXIT
    build_all
    (umask 077 && mkdir -p "$STACK_SECRETS" && cp "$folder"/secrets/* "$STACK_SECRETS/")
    secrets
    compose up -d --no-build postgres redis s3 > /dev/null
    await_health postgres redis s3
    for dump in "$folder"/*.dump; do restore_database "$dump"; done
    compose up -d --no-build prepare mlflow > /dev/null # they migrate the databases, if this code is newer
    await_health mlflow
    await_buckets
    copy_objects load < "$folder/objects.tar"
    start
    trap - EXIT
    say "restored from $folder; in production:"
    query mlflow "select name, alias, version from registered_model_aliases where alias = 'champion' order by name" | tr '|' ' '
}

restore_database() { # restore_database FILE
    local name
    name=$(basename "$1" .dump)
    [ -n "$(query postgres "select 1 from pg_database where datname = '$name'")" ] \
        || podman exec "$(container postgres)" createdb --host=/tmp --username=stillhouse "$name"
    podman exec -i "$(container postgres)" pg_restore --host=/tmp --username=stillhouse --dbname="$name" --no-owner \
        --single-transaction --exit-on-error < "$1"
    say "$name is restored"
}

# In the order of the alphabet: airflow, mlflow, and what MLflow needs for its logins.
databases() { query postgres "select datname from pg_database where not datistemplate and datname <> 'postgres' order by 1"; }

query() { podman exec "$(container postgres)" psql --host=/tmp --username=stillhouse --dbname="$1" -Atc "$2"; }

copy_objects() { # copy_objects dump|load
    podman exec -i -e WAIT_FOR=s3:9000 "$(container mlflow)" /entry/airflow.sh python -c "$(cat docker/objects.py)" "$1"
}

await_buckets() { # `prepare` makes them
    local begin=$SECONDS
    until [ "$(podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$(container prepare)")" = "exited 0" ]; do
        [ $((SECONDS - begin)) -le $SECONDS_TO_HEALTH ] || { podman logs --tail 20 "$(container prepare)" >&2; exit 1; }
        sleep 1
    done
}

write_manifest() { # write_manifest FOLDER
    (cd "$1" && find . -type f ! -name "$MANIFEST" | LC_ALL=C sort | xargs -d '\n' sha256sum > "$MANIFEST")
}

expect_unused() { # expect_unused FOLDER
    [ -z "$(ls -A "$1" 2> /dev/null)" ] && { [ ! -e "$1" ] || [ -d "$1" ]; } && return 0
    say "$1 is not empty; name a new folder"
    exit 1
}

# The folder has the files of its manifest with their digests, and no others.
expect_whole() { # expect_whole FOLDER
    local listed found
    [ -f "$1/$MANIFEST" ] || { say "$1 is not a backup: it has no $MANIFEST; name the folder of a backup that ended"; exit 1; }
    listed=$(cut -c 67- "$1/$MANIFEST" | LC_ALL=C sort)
    found=$(cd "$1" && find . -type f ! -name "$MANIFEST" | LC_ALL=C sort)
    if [ "$listed" != "$found" ] || ! (cd "$1" && sha256sum --check --strict --quiet "$MANIFEST" >&2); then
        say "$1 is damaged: its files are not those of its $MANIFEST; use another backup"
        exit 1
    fi
}

expect_no_stack() {
    [ -n "$(podman volume ls -q --filter name=stillhouse_)$(podman ps -aq --filter label=com.docker.compose.project=stillhouse)" ] \
        || return 0
    say "this host has a stack, and a restore would mix its data with those of the backup; make a backup of the stack," \
        "remove it with docker/stack.sh down, then restore"
    exit 1
}

expect_no_other_secrets() { # expect_no_other_secrets FOLDER
    local name
    for name in "$1"/secrets/*; do
        name=$(basename "$name")
        [ ! -e "$STACK_SECRETS/$name" ] || cmp -s "$STACK_SECRETS/$name" "$1/secrets/$name" || {
            say "$STACK_SECRETS/$name is not that of the backup; move it away, then restore"
            exit 1
        }
    done
}
