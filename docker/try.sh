#!/usr/bin/env bash
# Builds docker/Dockerfile and runs a recipe in the container to its verdict. No Docker engine and no image hub are
# needed: the tools are Debian's, and the base image is made with debootstrap. Linux, as root.
#
#   docker/try.sh [RECIPE]          default: seed_digits, the tiny recipe
#
# BASE=IMAGE            use this base image; default: a local Debian 12, made once
# MIRROR=URL            Debian mirror for that local base
# OUT=FOLDER            where the report goes; default: docker-runs
# BUILD_OPTIONS="..."   more options for `buildah bud`, such as -v for a proxy's certificates (for the build only)
# CONTAINERS_CONF=FILE  engine settings; default: runc, and limits that a small virtual machine accepts
set -euo pipefail
cd "$(dirname "$0")/.."

RECIPE=${1:-seed_digits}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
OUT=${OUT:-docker-runs}
IMAGE=localhost/stillhouse
NAME=stillhouse-try-$$
scratch=$(mktemp -d)
trap 'podman rm -f "$NAME" >/dev/null 2>&1 || true; rm -rf "$scratch"' EXIT

say() { echo "[docker/try] $*"; }

check_tools() {
    local missing=() tool
    for tool in podman buildah runc $([ -n "${BASE:-}" ] || echo debootstrap); do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "not installed: ${missing[*]}; on Debian: apt-get install --no-install-recommends ${missing[*]}"
        exit 2
    fi
    [ "$(id -u)" = 0 ] || { say "root is needed to make the base image and to run the container; use sudo"; exit 2; }
}

engine_settings() {
    [ -z "${CONTAINERS_CONF:-}" ] || return 0
    export CONTAINERS_CONF=$scratch/containers.conf
    printf '%s\n' '[engine]' 'runtime = "runc"' '[containers]' \
        'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]' > "$CONTAINERS_CONF"
}

local_base() {
    BASE=localhost/debian-python:bookworm
    podman image exists "$BASE" && return 0
    say "making the base image from $MIRROR"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$scratch/root" "$MIRROR" \
        > "$scratch/debootstrap.log" 2>&1 || { tail -n 5 "$scratch/debootstrap.log"; exit 1; }
    tar -C "$scratch/root" -c . | podman import -q - "$BASE"
}

check_tools
engine_settings
[ -n "${BASE:-}" ] || local_base
say "building $IMAGE on $BASE; the first time takes some minutes"
# shellcheck disable=SC2086 # BUILD_OPTIONS is several words
buildah bud --layers --isolation chroot --build-arg BASE="$BASE" --ignorefile docker/Dockerfile.dockerignore ${BUILD_OPTIONS:-} \
    -f docker/Dockerfile -t "$IMAGE" .
say "image size: $(podman image inspect --format '{{.Size}}' "$IMAGE" | awk '{printf "%.1f GB", $1 / 1e9}')"
say "running $RECIPE in the container, without a network"
code=0
podman run --name "$NAME" --network none "$IMAGE" make run PYTHON=python3 ONCE=1 RECIPE="$RECIPE" || code=$?
mkdir -p "$OUT"
podman cp "$NAME:/home/stillhouse/app/runs/." "$OUT" || true
say "exit code $code; the report is below $OUT"
exit "$code"
