"""One `rollback_<recipe>` DAG for every recipe: it makes the previous champion the champion again.

The DAG is never scheduled. The audit records who started it and why. The file imports little, for the same reason as
dags/nightly.py.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Context, Param
from airflow.sdk.exceptions import AirflowFailException

from stillhouse.dags.events import RECIPES
from stillhouse.dags.every_recipe import dags_of_recipes
from stillhouse.dags.notify import tell
from stillhouse.dags.worker import WorkerOperator
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe

PARAMS = {
    "why": Param(type="string", minLength=3, title="Why", description="Goes into the audit."),
    "row": Param(
        default=None,
        type=["null", "integer"],
        minimum=1,
        title="Row",
        description="Row of the audit to reverse; empty for the last move.",
    ),
}


class RollbackOperator(WorkerOperator):
    """Makes the previous champion the champion again."""

    def __init__(self, *, model: str, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Keep the name of the recipe's model."""
        super().__init__(**options)
        self.model = model

    def execute(self, context: Context) -> str:
        """Roll back."""
        from stillhouse.tasks.registry.promote import Decision, rollback

        params, run = context["params"], context["dag_run"]
        who = run.triggering_user_name or "somebody with a trigger"
        try:
            said = rollback(self.model, Decision(who, params["why"]), params["row"])
        except ServiceError:
            raise
        except StillhouseError as error:
            raise AirflowFailException(str(error)) from error
        tell("rolled back", self.model, f"{said}, by {who}: {params['why']}")
        return said


def rollback_dag(recipe: Recipe) -> DAG:
    """Build the DAG of one recipe."""
    with DAG(
        f"rollback_{recipe.name}",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=[recipe.name, "rollback"],
        params=PARAMS,
        default_args={"owner": recipe.owner, "retries": 2, "retry_delay": timedelta(seconds=5)},
        doc_md=f"Makes the previous champion of `{recipe.name}` the champion again.",
    ) as dag:
        RollbackOperator(task_id="rollback", model=recipe.name, execution_timeout=timedelta(minutes=5))
    return dag


globals().update(dags_of_recipes("rollback", RECIPES, lambda path: rollback_dag(load_recipe(path))))
