# What `stack.sh failures` does to the stack in the middle of a night. Sourced by stack.sh; docs/reliability.md has the table.
# Each function gets the container of the worker that trains.
# shellcheck shell=bash

FAILURES="kill_worker cut_network stop_redis restart_postgres restart_scheduler refuse_s3 fill_disk"

nothing() { :; }

kill_worker() { # without a warning, as if memory ran out; its restart policy starts it again
    kill -9 "$(engine_of "$1" inspect --format '{{.State.Pid}}' "$1")"
}

cut_network() {
    local process
    process=$(engine_of "$1" inspect --format '{{.State.Pid}}' "$1")
    drop "$process" -I
    sleep 60
    drop "$process" -D
}

drop() { # drop PROCESS -I|-D: what goes out of this process' network, and what comes in
    nsenter --target "$1" --net iptables "$2" OUTPUT ! -o lo -j DROP
    nsenter --target "$1" --net iptables "$2" INPUT ! -i lo -j DROP
}

stop_redis() { pause_service redis 30; }

refuse_s3() { pause_service s3 60; }

pause_service() { # pause_service SERVICE SECONDS: while it is stopped, connections are refused
    podman stop --time 5 "$(container "$1")" > /dev/null
    sleep "$2"
    podman start "$(container "$1")" > /dev/null
}

restart_postgres() { podman restart --time 10 "$(container postgres)" > /dev/null; }

restart_scheduler() { podman restart --time 10 "$(container scheduler)" > /dev/null; }

before_fill_disk() { podman stop --time 10 "$(container worker)" > /dev/null; } # the second host's disk has 1 GB

fill_disk() { # after 60 s the disk has room again
    engine_of "$1" exec "$1" sh -c 'dd if=/dev/zero of=/state/filler bs=1M 2> /dev/null; df -h /state | tail -n 1'
    sleep 60
    engine_of "$1" exec "$1" rm -f /state/filler
    podman start "$(container worker)" > /dev/null
}

engine_of() { # engine_of CONTAINER ARGUMENT...: run podman on the host that has the container
    local wanted=$1
    shift
    if podman container exists "$wanted"; then podman "$@"; else on_second podman "$@"; fi
}

night() { # night COMMAND...: see night.py
    podman exec -i "$(container api-server)" /entry/airflow.sh python - "$@" < docker/night.py
}

try_failures() { # try_failures [NAME...]: first nothing, for the digest
    local name
    add_second_host
    for name in nothing ${*:-$FAILURES}; do try_failure "$name" seed_digits; done
}

# One failure, one night. The digest must be that of the night in which nothing happened.
try_failure() { # try_failure FAILURE RECIPE
    local run worker begin=$SECONDS found
    [ "$(type -t "before_$1")" != function ] || "before_$1"
    run=$(night begin "$2")
    worker=$(night await "$2" "$run" teacher)
    say "$1: the teacher trains in $worker"
    "$1" "$worker"
    found=$(night end "$2" "$run") || { say "$1: $found"; return 1; }
    # shellcheck disable=SC2086 # several services
    await_health $SERVICES > /dev/null
    say "$1: $found; $((SECONDS - begin)) s in all"
    [ -n "${DIGEST:-}" ] || DIGEST=$(echo "$found" | awk '{print $2}')
    [ "$(echo "$found" | awk '{print $2}')" = "$DIGEST" ] || { say "$1: expected the digest $DIGEST"; return 1; }
    expect_no_orphans
}

# A worker that is idle has Celery's processes and the server of its logs. A process of Celery's pool keeps the title
# "airflow supervisor" after its task. A process in the state Z has ended.
expect_no_orphans() {
    local worker left
    for worker in $(container worker) $(on_second podman ps -q 2> /dev/null); do
        left=$(engine_of "$worker" top "$worker" state args \
            | grep -v -e COMMAND -e '^Z' -e celery -e MainProcess -e serve-logs -e 'airflow supervisor' || true)
        [ -z "$left" ] || { say "left in $worker: $left"; return 1; }
    done
}
