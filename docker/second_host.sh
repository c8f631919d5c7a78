# A second container host on this machine, for `stack.sh test`: a podman of its own, with its own containers, behind a
# network of its own. Only a cable of two ends joins it to this host. Sourced by stack.sh.
# shellcheck shell=bash

SECOND=stillhouse-second
SECOND_FILES=${TMPDIR:-/tmp}/$SECOND
FIRST_ADDRESS=10.231.77.1 SECOND_ADDRESS=10.231.77.2

make_cable() {
    [ ! -e "/run/netns/$SECOND" ] || return 0
    ip netns add "$SECOND"
    ip link add sh-first type veth peer name sh-second netns "$SECOND"
    ip address add "$FIRST_ADDRESS/30" dev sh-first
    ip link set sh-first up
    ip -n "$SECOND" address add "$SECOND_ADDRESS/30" dev sh-second
    ip -n "$SECOND" link set sh-second up
    ip -n "$SECOND" link set lo up
    ip netns exec "$SECOND" sysctl -q -w net.ipv4.ip_forward=1 2> /dev/null || true
}

# The images of the first host can be read; everything else of this podman is its own.
second_settings() {
    mkdir -p "$SECOND_FILES"
    printf '%s\n' '[storage]' 'driver = "overlay"' "graphroot = \"$SECOND_FILES/storage\"" "runroot = \"$SECOND_FILES/run\"" \
        '[storage.options]' "additionalimagestores = [\"$(podman info --format '{{.Store.GraphRoot}}')\"]" \
        > "$SECOND_FILES/storage.conf"
    sed "s#^\[engine\]#[engine]\ntmp_dir = \"$SECOND_FILES/tmp\"\nlock_type = \"file\"#; \
        s#^\[network\]#[network]\nnetwork_config_dir = \"$SECOND_FILES/networks\"#" "$CONTAINERS_CONF" > "$SECOND_FILES/containers.conf"
}

on_second() { # on_second COMMAND...
    CONTAINERS_CONF="$SECOND_FILES/containers.conf" CONTAINERS_STORAGE_CONF="$SECOND_FILES/storage.conf" \
        nsenter --net="/run/netns/$SECOND" "$@"
}

# Its worker has a disk of 1 GB, so that a disk can be filled without harm.
second_up() {
    second_settings
    mkdir -p "$SECOND_FILES/state"
    mountpoint -q "$SECOND_FILES/state" || mount -t tmpfs -o size=1g,uid=10001,gid=10001,mode=0700 tmpfs "$SECOND_FILES/state"
    STACK_ADDRESS=$FIRST_ADDRESS STATE=$SECOND_FILES/state on_second podman-compose --in-pod false -p stillhouse-workers -f docker/worker.yaml up -d \
        --no-build > /dev/null
}

second_down() {
    [ -e "/run/netns/$SECOND" ] || return 0
    if [ -d "$SECOND_FILES" ]; then
        on_second podman rm -f -v --time 5 -a > /dev/null 2>&1 || true
        on_second podman volume prune -f > /dev/null 2>&1 || true
        on_second podman network prune -f > /dev/null 2>&1 || true
    fi
    ip link del sh-first 2> /dev/null || true
    ip netns del "$SECOND"
    umount "$SECOND_FILES/state" "$SECOND_FILES/storage/overlay" 2> /dev/null || true
    rm -rf "$SECOND_FILES"
}
