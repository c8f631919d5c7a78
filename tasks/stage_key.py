"""What a stage's output depends on, as one digest: its recipe slice, its inputs, its source, its libraries."""

import ast
import importlib.metadata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tasks.artifact import file_digest, json_digest
from tasks.pipeline import Stage

SOURCES = {
    "pull": "tasks.pull_data",
    "validate": "tasks.validate_data",
    "teacher": "tasks.train_teacher",
    "compress": "tasks.compress",
    "export": "tasks.export",
    "evaluate": "tasks.evaluate",
    "gate": "tasks.gate",
    "challenge": "tasks.challenge",
    "load": "tasks.load",
    "final_test": "tasks.final_test",
}
"""Kind of stage -> the module whose source, with all it imports of ours, is part of the key."""
EXTRA = {
    "evaluate": ("models.evaluation", "models.retrieval_evaluation", "models.serving"),
    "challenge": ("models.challenge",),
    "load": ("tasks.serving.load",),
    "final_test": ("models.final_test",),
    "compress": ("models.step_cost", "models.timing"),
}
"""Modules that a stage runs in a process of their own."""
LIBRARIES = (
    "torch",
    "torch-pruning",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "soundfile",
    "scipy",
    "numpy",
    "pyarrow",
    "great-expectations",
    "zstandard",
)
ROOT = Path(__file__).resolve().parent.parent


def stage_key(stage: Stage, inputs: Mapping[str, str], code: str | None = None) -> str:
    """Digest all that the stage's output depends on.

    Args:
        stage: the stage with its slice of the recipe, and with the facts from outside that it depends on.
        inputs: role -> digest of the artifact it reads.
        code: what `code_of` gave when the stage ran; None: what it gives now.
    """
    settings = {name: _plain(value) for name, value in stage.settings.items()}
    code = code_of(stage.kind) if code is None else code
    return json_digest(
        {"kind": stage.kind, "settings": settings, "inputs": {**inputs, **stage.outside}, "code": code}
    )


@cache  # once per process, as a process goes on with the code that it has loaded
def code_of(kind: str) -> str:
    """Digest the source and the libraries that a kind of stage runs with."""
    modules = (SOURCES[kind], *EXTRA.get(kind, ()))
    sources = {path.relative_to(ROOT).as_posix(): file_digest(path) for path in _sources(modules)}
    versions = {library: importlib.metadata.version(library) for library in LIBRARIES}
    return json_digest({"sources": sources, "versions": versions})


def code_digest(*modules: str) -> str:
    """Digest these modules, all that they import of ours, and the libraries: what their results depend on."""
    sources = {path.relative_to(ROOT).as_posix(): file_digest(path) for path in _sources(modules)}
    return json_digest({"sources": sources, "versions": {name: importlib.metadata.version(name) for name in LIBRARIES}})


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


@cache
def _sources(modules: tuple[str, ...]) -> tuple[Path, ...]:
    """Find the files of these modules and of all modules of ours that they import, wherever in the file."""
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        for path in _files_of(waiting.pop()):
            if path not in found:
                found.add(path)
                waiting += _imports(path)
    return tuple(sorted(found))


def _files_of(module: str) -> list[Path]:
    base = ROOT.joinpath(*module.split("."))
    packages = [ROOT.joinpath(*module.split(".")[:depth], "__init__.py") for depth in range(1, module.count(".") + 2)]
    return [path for path in (base.with_suffix(".py"), *packages) if path.is_file()]


def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in ("models", "tasks")]
