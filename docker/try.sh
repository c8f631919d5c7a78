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
# shellcheck source=docker/engine.sh
. docker/engine.sh

RECIPE=${1:-seed_digits}
OUT=${OUT:-docker-runs}
IMAGE=localhost/stillhouse
NAME=stillhouse-try-$$
trap 'podman rm -f "$NAME" >/dev/null 2>&1 || true' EXIT

check_tools podman buildah runc
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
