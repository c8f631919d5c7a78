"""The table of stage kinds: the function of each kind, and the properties of the kind.

The table names functions and modules and does not import them: DAG files and stage keys read this table, and torch
would take too long to load there.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from stillhouse.models.workloads.registry import module_of

Split = Literal["validation", "gate"]
Queue = Literal["cpu", "train", "measure"]
"""A stage's pool in Airflow and its queue in Celery: light work, training, or times that are measured alone.

Every executor has pools. Only Celery has queues.
"""


@dataclass(frozen=True)
class StageKind:
    """The properties of every stage of one kind."""

    function: str
    """`module:function`. The stage's key includes the source of this module and of all our modules that it imports."""
    subprocesses: tuple[str, ...] = ()
    """Modules that the stage runs in a separate process. The stage's key includes their source too."""
    heavy: bool = False
    """The stage trains or measures, so it is never in the queue `cpu`."""
    reusable: bool = True
    """A key identifies the stage's work, so it can be reused.

    Other stages act on the registry or the whole run, every time.
    """
    timed: bool = False
    """The result is a time measured on this machine, so the stage's key includes the machine."""
    split: Split | None = None
    """The held-out split that the stage measures on. Each such look is recorded. `final_test` records its own."""
    faces: tuple[Literal["training", "runtime"], ...] = ()
    """Faces (modules) of the workload that the stage runs.

    The key includes those of the recipe's workload, and no others.
    """
    served: bool = False
    """The stage needs the registry or the server of the models. A run without servers leaves it out."""
    builds: bool = True
    """The stage makes a part of the bundle, or measures it. `stillhouse reproduce` repeats these stages only."""

    @property
    def queue(self) -> Queue:
        """The queue whose workers run the stage, and the pool that bounds how many of its kind run."""
        if self.timed:
            return "measure"
        return "train" if self.heavy else "cpu"


KINDS = {
    "pull": StageKind("stillhouse.tasks.stages.pull:pull_data"),
    "validate": StageKind("stillhouse.tasks.stages.validate:validate_data"),
    "teacher": StageKind(
        "stillhouse.tasks.stages.teacher:train_teacher", heavy=True, split="validation", faces=("training",)
    ),
    "compress": StageKind(
        "stillhouse.tasks.stages.compress:compress",
        ("stillhouse.models.measurement.step_cost", "stillhouse.models.measurement.quick_latency"),
        heavy=True,
        split="validation",
        faces=("training",),
    ),
    "join": StageKind(
        "stillhouse.tasks.compression.components:join", heavy=True, split="validation", faces=("training",)
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
    "compare_champion": StageKind(
        "stillhouse.tasks.stages.compare_champion:compare_champion",
        ("stillhouse.models.evaluation.champion",),
        heavy=True,
        timed=True,
        split="gate",
        faces=("runtime",),
        served=True,
        builds=False,
    ),
    "load_test": StageKind(
        "stillhouse.tasks.stages.load_test:load_test",
        ("stillhouse.tasks.serving.load_generator",),
        heavy=True,
        timed=True,
        faces=("runtime",),
        served=True,
        builds=False,
    ),
    "final_test": StageKind(
        "stillhouse.tasks.stages.final_test:final_test",
        ("stillhouse.models.evaluation.final_test",),
        heavy=True,
        faces=("runtime",),
        builds=False,
    ),
    "register": StageKind("stillhouse.tasks.stages.register:register", reusable=False, served=True),
    "report": StageKind("stillhouse.tasks.stages.report:write_report", reusable=False),
}


def function_of(kind: str) -> Callable[..., Any]:
    """Import the function of a kind of stage."""
    function: Callable[..., Any] = pkgutil.resolve_name(KINDS[kind].function)
    return function


def modules_of(kind: str, workload: str) -> tuple[str, ...]:
    """Name the modules that a kind of stage runs for a workload.

    The key also includes our modules that these import.
    """
    row = KINDS[kind]
    faces = [module_of(workload, face) for face in row.faces]
    return (row.function.partition(":")[0], *row.subprocesses, *faces)
