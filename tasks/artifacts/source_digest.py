"""One digest of modules: their source, all our modules that they import anywhere in a file, and library versions."""

import ast
import importlib.metadata
from collections.abc import Collection
from functools import cache
from pathlib import Path

from stillhouse.models.providers import Provider
from stillhouse.tasks.artifacts.artifact import file_digest, json_digest

LIBRARIES = (
    "torch",
    "torch-pruning",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "tokenizers",
    "soundfile",
    "scipy",
    "numpy",
    "pyarrow",
    "zstandard",
)
ABSENT = "not installed"
ROOT = Path(__file__).resolve().parents[2]


def version_of(package: str) -> str:
    """Return the version of an installed package, or `ABSENT`."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


def code_digest(*modules: str, providers: Collection[Provider] = ()) -> str:
    """Return the digest of these modules, all our modules that they import, and the libraries.

    Args:
        modules: dotted names.
        providers: installed packages that also run. All their files count, and all our modules that they import.
    """
    ours = [name for provider in providers for path in provider.sources for name in _imports(path)]
    files = files_with_imports((*modules, *sorted(set(ours))))
    content = {
        "sources": {path.relative_to(ROOT).as_posix(): file_digest(path) for path in files},
        "versions": {name: version_of(name) for name in LIBRARIES},
    }
    if providers:
        content["providers"] = {f"{each.distribution} {each.version}": each.digest for each in providers}
    return json_digest(content)


@cache
def files_with_imports(modules: tuple[str, ...]) -> tuple[Path, ...]:
    """Find the files of these modules and of all our modules that they import, anywhere in a file."""
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        for path in _files_of(waiting.pop()):
            if path not in found:
                found.add(path)
                waiting += _imports(path)
    return tuple(sorted(found))


def _files_of(module: str) -> list[Path]:
    path = module.split(".")[1:]  # the folders stand at the top of the repository
    base = ROOT.joinpath(*path)
    packages = [ROOT.joinpath(*path[:depth], "__init__.py") for depth in range(1, len(path) + 1)]
    return [path for path in (base.with_suffix(".py"), *packages) if path.is_file()]


def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith(("stillhouse.models.", "stillhouse.tasks."))]
