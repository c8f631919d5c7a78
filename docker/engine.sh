# What try.sh and stack.sh share: which tools are missing, podman's settings, and a base image without a hub.
# shellcheck shell=bash

say() {
    local name=${0##*/}
    echo "[docker/${name%.sh}] $*"
}

check_tools() { # check_tools TOOL...
    local missing=() tool
    for tool in "$@" $([ -n "${BASE:-}" ] || echo debootstrap); do
        command -v "$tool" > /dev/null || missing+=("$tool")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "not installed: ${missing[*]}; on Debian: apt-get install --no-install-recommends podman buildah runc netavark" \
            "aardvark-dns iptables debootstrap openssl; podman-compose is in PyPI"
        exit 2
    fi
    [ "$(id -u)" = 0 ] || { say "root is needed to make the base image and to run containers; use sudo"; exit 2; }
}

# runc, and limits that a small virtual machine accepts. Without systemd, podman cannot time health checks: we run them.
engine_settings() {
    [ -d /run/systemd/system ] || export DISABLE_HC_SYSTEMD=true
    [ -z "${CONTAINERS_CONF:-}" ] || return 0
    export CONTAINERS_CONF=${TMPDIR:-/tmp}/stillhouse-containers.conf
    printf '%s\n' '[engine]' 'runtime = "runc"' '[network]' 'network_backend = "netavark"' '[containers]' \
        'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]' > "$CONTAINERS_CONF"
}

local_base() {
    local scratch
    BASE=localhost/debian-python:bookworm
    podman image exists "$BASE" && return 0
    scratch=$(mktemp -d)
    say "making the base image from $MIRROR"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$scratch/root" "$MIRROR" \
        > "$scratch/debootstrap.log" 2>&1 || { tail -n 5 "$scratch/debootstrap.log"; rm -rf "$scratch"; exit 1; }
    tar -C "$scratch/root" -c . | podman import -q - "$BASE"
    rm -rf "$scratch"
}

MIRROR=${MIRROR:-http://deb.debian.org/debian}
