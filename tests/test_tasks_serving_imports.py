"""The model server runs without torch, Airflow and the readers of data, as docker/serving.Dockerfile has it."""

import importlib.metadata
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from packaging.utils import canonicalize_name
from PIL import Image
from registry_samples import MODEL, registered

from stillhouse.models.workloads.registry import BUILT_IN
from stillhouse.tasks.local_stack.ports import choose_ports
from stillhouse.tasks.registry.promote import Decision, promote

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("airflow", "pandas", "pyarrow", "torch")
LOCK = (ROOT / "docker" / "requirements-serving.lock").read_text(encoding="utf-8")
WHOLE = (ROOT / "requirements.lock").read_text(encoding="utf-8")
FACES = ", ".join(f"{built_in.package}.runtime" for built_in in BUILT_IN.values())
OURS = ("cli.serve_alone", "serving.follow", "tracking.connection")
SERVING = ", ".join(f"stillhouse.tasks.{name}" for name in OURS)


def run(code: str) -> str:
    """Run Python code in a clean process."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def pins(lock: str) -> set[str]:
    """Read `name==version` of every package of a lock."""
    return set(re.findall(r"^(\S+==\S+) \\$", lock, re.MULTILINE))


def names(lock: str) -> set[str]:
    """Read the name of every package of a lock."""
    return {pin.partition("==")[0] for pin in pins(lock)}


@pytest.mark.parametrize("module", ["stillhouse.tasks.serving.app", "stillhouse.tasks.serving.server"])
def test_the_application_imports_nothing_heavy(module: str) -> None:
    """After the application is imported, none of the big packages is in memory, nor MLflow."""
    assert run(f"import sys, {module}; print([name for name in {(*HEAVY, 'mlflow')} if name in sys.modules])") == "[]"


def test_no_runtime_face_imports_what_reads_data() -> None:
    """The runtime faces of all workloads open bundles without pyarrow and without torch."""
    assert run(f"import sys, {FACES}; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


def absent() -> list[str]:
    """Name the modules of packages that the image does not have."""
    owners = importlib.metadata.packages_distributions()
    here = names(LOCK) | {"stillhouse"}
    return [module for module, of in owners.items() if not {canonicalize_name(owner) for owner in of} & here]


WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({absent()}))"
"""Code after which a process has no modules but those of the image."""


def test_the_server_runs_with_the_packages_of_its_lock_only() -> None:
    """The whole serving path is imported although no module of another package can be."""
    assert {"airflow", "boto3", "jiwer", "torch", "zstandard"} <= set(absent())
    assert run(f"{WITHOUT}; import {SERVING}, {FACES}; print('imported')") == "imported"


LIST = """
found = sorted(name for name, each in sys.modules.items() if "site-packages" in (getattr(each, "__cached__", "") or ""))
print("modules", *found, flush=True)
"""
SERVE = """
import os, threading, time
import urllib.request as http

def ask():
    while True:
        try:
            assert http.urlopen(ADDRESS + "/ready").status == 200
            break
        except OSError:
            time.sleep(0.05)
    assert http.urlopen(http.Request(ADDRESS + "/answer", PICTURE, {"content-type": "image/png"})).status == 200
    LIST
    os._exit(0)

threading.Thread(target=ask).start()
from stillhouse.tasks.cli.serve_alone import main
main()
"""
"""Code that serves until it has answered, and then lists the modules in memory."""


def test_the_image_compiles_every_module_that_a_server_imports(client: MlflowClient) -> None:
    """The image is read-only, so each start would compile a module again that the line of the Dockerfile misses."""
    registered(client, 1)
    promote(MODEL, Decision("ann", "better"))
    port, picture = choose_ports({"server": 8650})["server"], io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    replaced = {"LIST": LIST.strip().replace("\n", "\n    "), "PICTURE": repr(picture.getvalue())}
    serve = SERVE.replace("ADDRESS", repr(f"http://127.0.0.1:{port}"))
    for name, value in replaced.items():
        serve = serve.replace(name, value)
    arguments = f"sys.argv = ['serve_alone', '--port', '{port}', '--wait', '{MODEL}']"
    served = run(f"{WITHOUT}; {arguments}; import {FACES}\n{serve}").partition("modules ")[2].split()
    dockerfile = (ROOT / "docker" / "serving.Dockerfile").read_text(encoding="utf-8")
    line = re.findall(r'python -c "(import [^"]+)"', dockerfile)[0].replace("\\\n", "")
    compiled = run(f"{WITHOUT}\n{line}\n{LIST}").partition("modules ")[2].split()
    assert "h11._connection" in served
    assert sorted(set(served) - set(compiled)) == []


def test_the_serving_lock_is_a_part_of_the_whole_one() -> None:
    """Every pin is that of requirements.lock, every pin has a hash, and nothing heavy is among them."""
    assert pins(LOCK) <= pins(WHOLE)
    assert not {"apache-airflow", "boto3", "dvc", "pandas", "pyarrow", "torch"} & names(LOCK)
    blocks = re.split(r"^(?=\S+==)", LOCK, flags=re.MULTILINE)[1:]
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
