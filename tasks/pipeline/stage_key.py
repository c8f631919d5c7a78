"""The key of a stage: one digest of its part of the recipe, its inputs, its source and its libraries."""

from collections.abc import Mapping
from functools import cache

from stillhouse.models.providers import Provider
from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.artifacts.source_digest import code_digest
from stillhouse.tasks.pipeline.graph import Stage
from stillhouse.tasks.pipeline.stages import modules_of


def stage_key(stage: Stage, inputs: Mapping[str, str], code: str | None = None) -> str:
    """Compute the digest of everything that the stage's output depends on.

    Args:
        stage: the stage with its part of the recipe, and with the outside facts that it depends on.
        inputs: input name -> digest of the artifact that the stage reads.
        code: the result of `code_of` when the stage ran; None computes it now.
    """
    settings = {name: _plain(value) for name, value in stage.settings.items()}
    code = code_of(stage.kind, stage.workload, stage.providers) if code is None else code
    return json_digest({"kind": stage.kind, "settings": settings, "inputs": {**inputs, **stage.outside}, "code": code})


@cache  # once per process: a process keeps the code that it loaded
def code_of(kind: str, workload: str, providers: tuple[Provider, ...] = ()) -> str:
    """Compute the digest of the source and the libraries that a kind of stage runs with.

    Args:
        kind: the kind of stage.
        workload: the recipe's workload. The code of other workloads is not included.
        providers: the installed packages that the recipe uses.
    """
    return code_digest(*modules_of(kind, workload), providers=providers)


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
