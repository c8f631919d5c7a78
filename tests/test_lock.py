"""The two locks hold what pyproject.toml asks for, all that this needs, and nothing else."""

import ast
import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LIGHT = (ROOT / "requirements-light.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(lock: str) -> dict[str, Version]:
    """Name and version of every package of a lock."""
    found = re.findall(r"^(\S+?)==(\S+)", lock, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


PINS, LIGHT_PINS = pins(LOCK), pins(LIGHT)


def asked(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for."""
    chosen = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return [Requirement(each) for part in chosen for each in part]


ALL = asked("pipeline", "dev")


def needed_by(requirement: Requirement) -> Iterator[Requirement]:
    """What an installed package needs on this machine, with the extras that are asked of it."""
    for text in importlib.metadata.requires(requirement.name) or []:
        found = Requirement(text)
        extras = ["", *requirement.extras]
        if found.marker is None or any(found.marker.evaluate({"extra": extra}) for extra in extras):
            yield found


def reachable(waiting: list[Requirement]) -> set[str]:
    """Names of all packages that are needed, from pyproject.toml on."""
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            waiting += needed_by(requirement)
    return {name for name, _ in seen}


@pytest.mark.parametrize("requirement", ALL, ids=str)
def test_what_the_project_asks_for_is_pinned(requirement: Requirement) -> None:
    """Each dependency, also of the two extras, is in the lock at a version that pyproject.toml allows."""
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)], prereleases=True)


FOREIGN = {
    "tensorflow": {"ai_edge_litert", "h5py", "keras", "tensorflow", "tf2onnx"},
    "openvino": {"openvino"},
    "executorch": {"executorch", "torchao"},
    "timm": {"timm"},
}
"""Lock -> modules that only its environment has."""


def imported() -> set[str]:
    """Top-level modules of others that our packages import, wherever in a file."""
    found: set[str] = set()
    for path in (path for folder in ("dags", "tasks", "models") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"stillhouse", "airflow"}


def test_what_the_code_imports_is_asked_for() -> None:
    """Every module that is imported comes from a package that pyproject.toml names, not from one that another needs."""
    names = {canonicalize_name(requirement.name) for requirement in ALL}
    owners = importlib.metadata.packages_distributions()
    here = imported() - set().union(*FOREIGN.values())
    of = {module: {canonicalize_name(owner) for owner in owners.get(module, [])} for module in here}
    assert {module: packages for module, packages in of.items() if not packages & names} == {}


def test_the_lock_holds_all_that_is_needed_and_nothing_else() -> None:
    """Every pinned package is needed by what pyproject.toml asks for, and every needed one is pinned."""
    assert set(PINS) == reachable(list(ALL))


def test_the_light_lock_is_a_part_of_the_whole_one() -> None:
    """It holds what the dependencies without extras need, at the same versions, and nothing that nights alone need."""
    assert set(LIGHT_PINS) == reachable(asked())
    assert PINS | LIGHT_PINS == PINS
    assert not {"apache-airflow", "boto3", "dvc", "great-expectations", "mlflow", "pandas", "scipy"} & set(LIGHT_PINS)


def test_the_fixed_packages_are_asked_for() -> None:
    """The packages that the project was to be built on are named by pyproject.toml itself."""
    names = {canonicalize_name(requirement.name) for requirement in asked("pipeline")}
    assert {"apache-airflow", "mlflow", "torch", "dvc", "boto3", "great-expectations"} <= names


def test_the_lock_is_what_is_installed() -> None:
    """This environment has each package at its pin, so what the tests say holds for the lock."""
    installed = {name: Version(importlib.metadata.version(name)).public for name in PINS}
    assert installed == {name: version.public for name, version in PINS.items()}


def test_no_package_is_for_a_gpu() -> None:
    """The lock leaves out what only the registry's own build of torch wants."""
    assert [name for name in PINS if re.match(r"nvidia-|cuda-|triton(?!client)|pytorch-triton", name)] == []


@pytest.mark.parametrize("lock", [LOCK, LIGHT], ids=["whole", "light"])
def test_every_pin_has_a_hash(lock: str) -> None:
    """Nothing is installed of which the lock does not know the digest."""
    blocks = re.split(r"^(?=\S+==)", lock, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins(lock))
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("tool", FOREIGN)
def test_what_runs_in_a_foreign_environment_is_in_its_lock(tool: str) -> None:
    """The modules that only that environment has are imported, and its lock pins their packages with hashes."""
    lock = (ROOT / "tasks" / "foreign" / f"{tool}.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^(\S+?)==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE)
    assert imported() >= FOREIGN[tool] - {"ai_edge_litert"}
    assert {name.replace("_", "-").replace("tensorflow", "tensorflow-cpu") for name in FOREIGN[tool]} <= set(pins)
    assert f'"{tool}.lock"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """What `make lock` runs."""
    spec = importlib.util.spec_from_file_location("lock", ROOT / ".ci" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def block(name: str, *digits: str, needed: str) -> str:
    """Lines of a lock for one package."""
    return " \\\n".join([name, *(f"    --hash=sha256:{digit * 64}" for digit in digits)]) + f"\n    # via {needed}\n"


BEFORE, AFTER = block("sympy==1.14.0", "5", needed="torch"), block("tqdm==4.70.1", "6", needed="dvc")


def test_the_lock_names_no_folder_of_this_machine() -> None:
    """Whoever makes the lock leaves no path of theirs in it."""
    assert re.findall(r"^.*(?: /|\.venv|file:/).*$", LOCK + LIGHT, re.MULTILINE) == []


def test_torch_keeps_its_hashes_and_the_lock_its_comments(script: ModuleType) -> None:
    """In the new lock torch has its plain version and every hash, and the first comments stay."""
    old = "# one\n# two\n" + BEFORE + block("torch==2.13.0", "1", "3", needed="old") + AFTER
    compiled = (
        BEFORE
        + block("torch==2.13.0+cpu", "2", needed="\n    #   -c /home/me/cpu.txt\n    #   new")
        + block("torch-pruning==1.6.1", "7", needed="us")
    )
    new = script.merge(old, compiled, "2.13.0", {"1" * 64, "3" * 64})
    assert new == ("# one\n# two\n" + BEFORE + block("torch==2.13.0", "1", "2", "3", needed="\n    #   new")) + block(
        "torch-pruning==1.6.1", "7", needed="us"
    )
    assert script.merge(new, compiled, "2.13.0", set(script.HASH.findall(script.torch_block(new)))) == new


@pytest.mark.parametrize("line", ["torch", "torch>=2.13", "torch==2.13.0,<3"])
def test_a_torch_that_is_not_pinned_is_refused(script: ModuleType, line: str) -> None:
    """Without one exact version pip would look for the newest build, which is one for a GPU."""
    with pytest.raises(SystemExit, match=r"does not pin torch; write torch==VERSION"):
        script.pinned_torch(f'[project]\ndependencies = ["{line}"]')


def test_a_package_for_a_gpu_leaves_the_lock_as_it_is(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If anything wants CUDA after all, `make lock` ends with its name and replaces nothing."""
    old = block("torch==2.13.0", "1", needed="us")
    for name, constant in (("requirements.lock", "LOCK"), ("requirements-light.lock", "LIGHT")):
        (tmp_path / name).write_text(old, encoding="utf-8")
        monkeypatch.setattr(script, constant, tmp_path / name)
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["torch==2.13.0"]', encoding="utf-8")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "resolve", lambda *_: f"{block('nvidia-nccl==2.0', '4', needed='torch')}{old}")
    with pytest.raises(SystemExit, match=r"nvidia-nccl==2\.0 is for a GPU; the locks stay as they are"):
        script.main()
    assert {path.read_text(encoding="utf-8") for path in tmp_path.glob("*.lock")} == {old}
