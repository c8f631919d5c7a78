"""docker/: what can be said of it without building an image, which `docker/try.sh` does."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("podman", "buildah", "runc", "debootstrap")


@pytest.mark.parametrize("there", [(), ("podman",), ("podman", "buildah", "runc")])
def test_missing_tools_are_named_with_the_remedy(tmp_path: Path, there: tuple[str, ...]) -> None:
    """Without the tools, try.sh says which are missing and how to install all, and ends with exit code 2."""
    for name in ("bash", "dirname", "mktemp", "rm", "id"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": str(tmp_path), "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run([ROOT / "docker" / "try.sh"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    missing = " ".join(tool for tool in TOOLS if tool not in there)
    told = f"not installed: {missing}; on Debian: apt-get install --no-install-recommends {' '.join(TOOLS[:3])}"
    assert f"[docker/try] {told}" in done.stdout


def test_the_image_takes_any_base() -> None:
    """The Dockerfile names a public base that an argument replaces, and installs what is locked, by its hash."""
    lines = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert "ARG BASE=python:3.11-slim-bookworm\nFROM ${BASE}\n" in lines
    assert lines.count("pip install") == lines.count("--require-hashes") == 2
