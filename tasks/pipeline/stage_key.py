"""What a stage's output depends on, as one digest: its recipe slice, its inputs, its source, its libraries."""

from collections.abc import Mapping
from functools import cache

from stillhouse.models.providers import Provider
from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.artifacts.source_digest import code_digest
from stillhouse.tasks.pipeline.graph import Stage
from stillhouse.tasks.pipeline.stages import modules_of


def stage_key(stage: Stage, inputs: Mapping[str, str], code: str | None = None) -> str:
    """Digest all that the stage's output depends on.

    Args:
        stage: the stage with its slice of the recipe, and with the facts from outside that it depends on.
        inputs: role -> digest of the artifact it reads.
        code: what `code_of` gave when the stage ran; None: what it gives now.
    """
    settings = {name: _plain(value) for name, value in stage.settings.items()}
    code = code_of(stage.kind, stage.workload, stage.providers) if code is None else code
    return json_digest({"kind": stage.kind, "settings": settings, "inputs": {**inputs, **stage.outside}, "code": code})


@cache  # once per process, as a process goes on with the code that it has loaded
def code_of(kind: str, workload: str, providers: tuple[Provider, ...] = ()) -> str:
    """Digest the source and the libraries that a kind of stage runs with.

    Args:
        kind: of the stage.
        workload: the recipe's; of the others nothing counts.
        providers: the installed packages that the recipe uses.
    """
    return code_digest(*modules_of(kind, workload), providers=providers)


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
