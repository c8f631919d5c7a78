"""Make the DAGs of one kind for every recipe, so that a faulty recipe does not remove the DAGs of other recipes.

If a DAG file raises, Airflow drops all its DAGs. So a fault of one recipe becomes a DAG that is tagged `broken-recipe`
and fails with the reason. If a worker parses the file for a task, and it cannot use the recipe although the scheduler
can, the task's log has the reason. Four DAG files share this module; it builds no other workflow.
"""

import logging
import re
import socket
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, get_parsing_context
from airflow.sdk.exceptions import AirflowFailException

from stillhouse.tasks.errors import RecipeError
from stillhouse.tasks.recipe.folders import faults, recipe_files

MOST_CHARACTERS = 2000
log = logging.getLogger(__name__)


class BrokenRecipeOperator(BaseOperator):
    """Fails with the reason why a recipe cannot be used."""

    def __init__(self, *, reason: str, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Keep the reason."""
        super().__init__(**options)
        self.reason = reason

    def execute(self, context: Context) -> None:
        """Fail with the reason."""
        del context
        raise AirflowFailException(self.reason)


def dags_of_recipes(kind: str, folder: Path, build: Callable[[Path], DAG | None]) -> dict[str, DAG]:
    """Build one DAG for each recipe file.

    A process that runs a task reads the file again and needs one DAG only. If that DAG is the one of a recipe, the
    other recipes are not read.

    Args:
        kind: first part of the DAGs' ids.
        folder: folder of the project's own recipe files. The files of STILLHOUSE_RECIPES are added.
        build: reads one recipe file and makes its DAG, or returns `None` if the recipe needs none.

    Returns:
        DAG id -> DAG. If a recipe cannot be read, only the kind `nightly` has a DAG for it, which fails with the
            reason. Any other fault gives such a DAG in each affected kind.
    """
    wanted = get_parsing_context().dag_id
    for path in recipe_files(folder):
        if f"{kind}_{path.stem}" == wanted and wanted in (found := _dags_of([path], kind, [], build)):
            return found
    return _dags_of(recipe_files(folder), kind, faults(folder) if kind == "nightly" else [], build)


def _dags_of(
    paths: Iterable[Path], kind: str, broken: list[tuple[Path, str]], build: Callable[[Path], DAG | None]
) -> dict[str, DAG]:
    found: dict[str, DAG] = {}
    for path in paths:
        try:
            dag = build(path)
        except RecipeError as error:
            _say_in_task(kind, path, str(error))
            broken += [(path, str(error))] if kind == "nightly" else []
        except Exception as error:  # any error at all: the other recipes' DAGs must stay
            log.warning("the DAG %s of %s cannot be built", kind, path, exc_info=error)
            _say_in_task(kind, path, str(error))
            broken.append((path, _unforeseen(kind, path, error)))
        else:
            found |= {dag.dag_id: dag} if dag else {}
    for path, reason in broken:
        dag = broken_dag(_free_id(kind, path, found), reason)
        found[dag.dag_id] = dag
    return found


def broken_dag(dag_id: str, reason: str) -> DAG:
    """Build the DAG that reports a recipe's fault."""
    reason = re.sub(r"[^\t\n -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", reason)[:MOST_CHARACTERS]
    with DAG(
        dag_id,
        schedule=None,
        tags=["broken-recipe"],
        doc_md=f"**This recipe cannot be used.** {reason}",
    ) as dag:
        BrokenRecipeOperator(task_id="recipe", reason=reason)
    return dag


@cache
def _say_in_task(kind: str, path: Path, why: str) -> None:
    """Log once why this host cannot use a recipe, if a task of that recipe is about to start here.

    Airflow itself only logs that it does not find the task or its DAG.
    """
    if get_parsing_context().dag_id == f"{kind}_{path.stem}":
        said, remedy = " ".join(why.split()), "give it the image and the packages of the deployment"
        log.error("the worker %s cannot use the recipe %s: %s; %s", socket.gethostname(), path.name, said, remedy)


def _unforeseen(kind: str, path: Path, error: Exception) -> str:
    said = " ".join(str(error).split())
    return (
        f"the DAG {kind} of recipe {path} cannot be built ({type(error).__name__}: {said}); mend or remove that file, "
        "and tell those who maintain Stillhouse"
    )


def _free_id(kind: str, path: Path, taken: dict[str, DAG]) -> str:
    """Make a DAG id that is valid for Airflow, whatever the file's name is, and that no other recipe's DAG has."""
    name = f"{kind}_{re.sub(r'[^A-Za-z0-9_.-]', '_', path.stem)[:200]}"
    number = 1
    while (free := name if number == 1 else f"{name}.{number}") in taken:
        number += 1
    return free
