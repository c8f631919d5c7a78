"""Write the locks of the container images anew, from docker/*.in: `make lock-images`.

Every pin is that of requirements.lock, unless an image asks for another version. Run `make lock` first.
"""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
FREE = r"amqp|billiard|celery|kombu|vine"
"""Packages that the stack has at another version than requirements.lock, or may have."""
LEFT_OUT = {
    "serving": {
        *("cryptography", "google-auth", "pyasn1", "pyasn1-modules"),  # logins of Databricks
        *("huggingface-hub", "hf-xet", "fsspec", "filelock", "httpx2", "httpcore2", "truststore"),  # a hub
        *("typer", "shellingham", "rich", "markdown-it-py", "mdurl", "pygments"),  # a hub's command line
        *("gitpython", "gitdb", "smmap"),  # the commit of a training run
    }
}
"""Image -> packages that others ask for and that its program never imports. A test imports it without them."""
SOURCES: dict[str, tuple[str, ...]] = {
    "s3": (),
    "serving": (),
    "stack": ("--extra=pipeline", "pyproject.toml"),
}
"""Image -> what is locked beside docker/requirements-IMAGE.in."""


def main() -> None:
    """Compile the lock of each image that is named on the command line, or of all."""
    lock = _lock_script()
    whole = lock.LOCK.read_text(encoding="utf-8")
    torch = lock.pinned_torch((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hashes = set(lock.HASH.findall(lock.torch_block(whole)))
    lock.NEW.mkdir(parents=True, exist_ok=True)
    pins = [pin for pin in re.findall(r"^(\S+==\S+)", whole, re.MULTILINE) if not re.match(f"({FREE})==", pin)]
    (lock.NEW / "pins.txt").write_text("\n".join(pins).replace(f"torch=={torch}\n", f"torch=={torch}+cpu\n") + "\n")
    for image in sys.argv[1:] or SOURCES:
        compiled = _compile(lock, image, SOURCES[image])
        target = ROOT / "docker" / f"requirements-{image}.lock"
        target.write_text(
            lock.merge("", compiled, torch, hashes) if lock.torch_block(compiled) else compiled, encoding="utf-8"
        )


def _compile(lock: ModuleType, image: str, more: Sequence[str]) -> str:
    output = lock.NEW / f"{image}.lock"
    output.unlink(missing_ok=True)
    command = [sys.executable, "-m", "piptools", "compile", *lock.COMPILE, "--constraint", str(lock.NEW / "pins.txt")]
    command += ["--output-file", str(output), *more, f"docker/requirements-{image}.in"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(f"make lock-images: docker/requirements-{image}.in has no solution with requirements.lock; read above")
    text = output.read_text(encoding="utf-8")
    for name in LEFT_OUT.get(image, ()):
        text = re.sub(rf"^{name}==.*\n(?: .*\n)*", "", text, flags=re.MULTILINE)
    return re.sub(r"^    #   -c \S*pins\.txt\n", "", text, flags=re.MULTILINE)


def _lock_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ROOT / ".ci" / "lock.py")
    if spec is None or spec.loader is None:
        sys.exit(".ci/lock.py is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
