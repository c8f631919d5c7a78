"""The one table of stages: which function does each kind, and what holds of the kind wherever it appears.

Functions and modules are named, and not imported: a DAG file and a stage's key read this table, and neither can wait
for torch.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["search", "gate", "sealed"]


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
    builds: bool = True
    """Makes a part of what ships, or judges it by itself: a replay does it again."""


KINDS = {
    "pull": StageKind("tasks.pull_data:pull_data"),
    "validate": StageKind("tasks.validate_data:validate_data"),
    "teacher": StageKind("tasks.train_teacher:train_teacher", heavy=True, split="search"),
    "compress": StageKind("tasks.compress:compress", ("models.step_cost", "models.timing"), heavy=True, split="search"),
    "export": StageKind("tasks.export:export"),
    "evaluate": StageKind(
        "tasks.evaluate:evaluate",
        ("models.evaluation", "models.retrieval_evaluation"),
        heavy=True,
        timed=True,
        split="gate",
    ),
    "gate": StageKind("tasks.gate:gate_stage", builds=False),
    "challenge": StageKind(
        "tasks.challenge:challenge", ("models.challenge",), heavy=True, timed=True, split="gate", builds=False
    ),
    "load": StageKind("tasks.load:load", ("tasks.serving.load",), heavy=True, timed=True, builds=False),
    "final_test": StageKind("tasks.final_test:final_test", ("models.final_test",), heavy=True, builds=False),
    "register": StageKind("tasks.register:register", reusable=False),
    "report": StageKind("tasks.collect:write_report", reusable=False),
}


def function_of(kind: str) -> Callable[..., Any]:
    """Import the function that does a kind of stage."""
    function: Callable[..., Any] = pkgutil.resolve_name(KINDS[kind].function)
    return function


def modules_of(kind: str) -> tuple[str, ...]:
    """Name the modules that a kind of stage runs, each with all that it imports of ours."""
    return (KINDS[kind].function.partition(":")[0], *KINDS[kind].subprocesses)
