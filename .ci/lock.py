"""Write requirements.lock and requirements-light.lock anew from pyproject.toml: `make lock`.

The pins that are there stay, unless pyproject.toml rules them out. The light lock has no extras, and each of its pins
is that of the whole lock. torch is resolved as its CPU wheel, so nothing of CUDA is asked for; in a lock it has the
hash of that wheel beside those of the registry's own, and either installs. Nothing is replaced unless both are whole.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK, LIGHT = ROOT / "requirements.lock", ROOT / "requirements-light.lock"
EXTRAS = ("pipeline", "dev")
NEW = ROOT / ".venv" / "lock"
COMPILE = (
    *("--quiet", "--no-header", "--strip-extras", "--allow-unsafe", "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links", "--annotation-style", "split"),
)
FOR_A_GPU = re.compile(r"^(?:nvidia-|cuda-|triton(?!client)|pytorch-triton)\S*", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def main() -> None:
    """Compile, put the old comments and torch's hashes back, check, and only then replace the locks."""
    old, torch = LOCK.read_text(encoding="utf-8"), pinned_torch((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hashes = set(HASH.findall(torch_block(old))) if torch_block(old).startswith(f"torch=={torch} ") else registry(torch)
    whole = merge(old, resolve(old, torch, EXTRAS), torch, hashes)
    light = merge(LIGHT.read_text(encoding="utf-8"), resolve(whole, torch, ()), torch, hashes)
    new = {LOCK: whole, LIGHT: light}
    for text in new.values():
        if found := FOR_A_GPU.search(text):
            sys.exit(f"make lock: {found[0]} is for a GPU; the locks stay as they are, look which package wants it")
    for lock, text in new.items():
        (NEW / lock.name).write_text(text, encoding="utf-8")
        (NEW / lock.name).replace(lock)


def pinned_torch(pyproject: str) -> str:
    """Read the version of torch that pyproject.toml pins."""
    asked = tomllib.loads(pyproject)["project"]["dependencies"]
    exact = [each.removeprefix("torch==") for each in asked if re.fullmatch(r"torch==[0-9.]+", each)]
    if len(exact) != 1:
        sys.exit("make lock: pyproject.toml does not pin torch; write torch==VERSION, a range would find a CUDA build")
    return exact[0]


def resolve(old: str, torch: str, extras: Sequence[str]) -> str:
    """Let pip-compile resolve pyproject.toml and some extras with torch's CPU wheel, keeping the old pins."""
    NEW.mkdir(parents=True, exist_ok=True)
    (NEW / "cpu.txt").write_text(f"torch=={torch}+cpu\n", encoding="utf-8")
    (NEW / "compiled.lock").write_text(old, encoding="utf-8")
    command = [sys.executable, "-m", "piptools", "compile", *COMPILE, "--constraint", str(NEW / "cpu.txt")]
    command += [f"--extra={extra}" for extra in extras]
    command += ["--output-file", str(NEW / "compiled.lock"), "pyproject.toml"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(
            f"make lock: pyproject.toml has no solution with torch {torch}+cpu; read above, and if torch is what is "
            "missing, put its CPU wheel into pip's find-links: PIP_FIND_LINKS=FOLDER make lock"
        )
    return (NEW / "compiled.lock").read_text(encoding="utf-8")


def registry(torch: str) -> set[str]:
    """Ask the registry for the hashes of all its wheels of a version of torch; no wheel is downloaded."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    kind = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(f"{index}/torch/", headers=kind), timeout=60) as reply:  # noqa: S310 - pip's own index
        files = json.load(reply)["files"]
    return {file["hashes"]["sha256"] for file in files if file["filename"].startswith(f"torch-{torch}-")}


def torch_block(lock: str) -> str:
    """Cut out torch's lines: its pin, its hashes, and who needs it; empty if there are none."""
    found = re.search(r"^torch==(?:.*\n?)(?:^ .*\n?)*", lock, re.MULTILINE)
    return found[0] if found else ""


def merge(old: str, compiled: str, torch: str, hashes: set[str]) -> str:
    """Give the compiled lock with the old one's first comments, and with torch at its plain version and all hashes.

    Args:
        old: the lock so far.
        compiled: what pip-compile wrote; its torch has the local version `+cpu` and the hash of that wheel.
        torch: the version that pyproject.toml pins.
        hashes: SHA-256 digests of the registry's own wheels, or all that the old lock has of this version.
    """
    block = torch_block(compiled)
    lines = [f"    --hash=sha256:{digest}" for digest in sorted(hashes | set(HASH.findall(block)))]
    needed = re.sub(r"^    #   -c .*\n", "", block[block.index("    # via") :], flags=re.MULTILINE)
    pin = " \\\n".join([f"torch=={torch}", *lines]) + "\n"
    comments = re.match(r"(?:#.*\n)*", old)
    return f"{comments[0] if comments else ''}{compiled.replace(block, pin + needed)}"


if __name__ == "__main__":
    main()
