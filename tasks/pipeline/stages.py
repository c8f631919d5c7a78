"""The one table of stages: which function does each kind, and what holds of the kind wherever it appears.

Functions and modules are named, and not imported: a DAG file and a stage's key read this table, and neither can wait
for torch.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from stillhouse.models.workloads.registry import module_of

Split = Literal["search", "gate"]


@dataclass(frozen=True)
class StageKind:
    """What holds of every stage of one kind."""

    function: str
    """`module:function`. The module's source, with all it imports of ours, is part of the stage's key."""
    subprocesses: tuple[str, ...] = ()
    """Modules that it runs in a process of their own. Their source is part of the key too."""
    heavy: bool = False
    """Trains or measures, so it takes the only slot of the training pool."""
    reusable: bool = True
    """Does work that a key describes. Any other stage acts on the registry or on the whole run, each time."""
    timed: bool = False
    """Its result is a time of this machine, so its key counts the machine."""
    split: Split | None = None
    """The held-out split that it measures on; a look at it is noted. `final_test` notes its own."""
    faces: tuple[Literal["training", "runtime"], ...] = ()
    """Faces of the workload that it runs. Those of the recipe's workload are part of the key, no others are."""
    builds: bool = True
    """Makes a part of what ships, or judges it by itself: a replay does it again."""


KINDS = {
    "pull": StageKind("stillhouse.tasks.stages.pull:pull_data"),
    "validate": StageKind("stillhouse.tasks.stages.validate:validate_data"),
    "teacher": StageKind(
        "stillhouse.tasks.stages.teacher:train_teacher", heavy=True, split="search", faces=("training",)
    ),
    "compress": StageKind(
        "stillhouse.tasks.stages.compress:compress",
        ("stillhouse.models.measurement.step_cost", "stillhouse.models.measurement.quick_latency"),
        heavy=True,
        split="search",
        faces=("training",),
    ),
    "export": StageKind("stillhouse.tasks.stages.export:export", faces=("training",)),
    "evaluate": StageKind(
        "stillhouse.tasks.stages.evaluate:evaluate",
        ("stillhouse.models.evaluation.evaluate",),
        heavy=True,
        timed=True,
        split="gate",
        faces=("runtime",),
    ),
    "gate": StageKind("stillhouse.tasks.judging.gate:gate_stage", builds=False),
    "challenge": StageKind(
        "stillhouse.tasks.stages.challenge:challenge",
        ("stillhouse.models.evaluation.champion",),
        heavy=True,
        timed=True,
        split="gate",
        faces=("runtime",),
        builds=False,
    ),
    "load": StageKind(
        "stillhouse.tasks.stages.load:load",
        ("stillhouse.tasks.serving.load",),
        heavy=True,
        timed=True,
        faces=("runtime",),
        builds=False,
    ),
    "final_test": StageKind(
        "stillhouse.tasks.stages.final_test:final_test",
        ("stillhouse.models.evaluation.final_test",),
        heavy=True,
        faces=("runtime",),
        builds=False,
    ),
    "register": StageKind("stillhouse.tasks.stages.register:register", reusable=False),
    "report": StageKind("stillhouse.tasks.stages.report:write_report", reusable=False),
}


def function_of(kind: str) -> Callable[..., Any]:
    """Import the function that does a kind of stage."""
    function: Callable[..., Any] = pkgutil.resolve_name(KINDS[kind].function)
    return function


def modules_of(kind: str, workload: str) -> tuple[str, ...]:
    """Name the modules that a kind of stage runs for a workload, each with all that it imports of ours."""
    row = KINDS[kind]
    faces = [module_of(workload, face) for face in row.faces]
    return (row.function.partition(":")[0], *row.subprocesses, *faces)
