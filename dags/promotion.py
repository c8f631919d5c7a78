"""One `promotion_<recipe>` DAG for every recipe: a candidate is registered, a person approves, the alias moves.

The asset event of the stage `register` starts the DAG. The approval holds no slot while it waits. If nobody answers in
time, the answer is no. The file imports little, for the same reason as dags/nightly.py.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import DAG, Context, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from stillhouse.dags.events import RECIPES, candidate_of
from stillhouse.dags.every_recipe import dags_of_recipes
from stillhouse.dags.notify import Awaiting, tell
from stillhouse.dags.worker import WorkerOperator
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe

VERSION = Param(
    default=None,
    type=["null", "string"],
    pattern=r"^[1-9][0-9]{0,8}$",
    title="Version",
    description="Version of the recipe's model to ask about; empty for the candidate.",
)


class OfferOperator(WorkerOperator):
    """Assembles the approval card of a candidate; skips if there is nothing to ask."""

    def __init__(self, *, recipe_path: str, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Keep the recipe's path."""
        super().__init__(**options)
        self.recipe_path = recipe_path

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the results of the candidate's nightly run."""
        from stillhouse.tasks.registry.approval import Settled, offer

        run = context["dag_run"]
        try:
            return offer(
                load_recipe(Path(self.recipe_path)), f"{run.dag_id}/{run.run_id}", context["params"]["version"]
            )
        except Settled as settled:
            raise AirflowSkipException(str(settled)) from settled
        except ServiceError:
            raise
        except StillhouseError as error:
            raise AirflowFailException(str(error)) from error


class CandidateApproval(ApprovalOperator):
    """Asks a person, unless the policy has answered. Any answer, also a no, goes to the next task, which audits it."""

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - as Airflow's
        """Ask the question."""
        if context["ti"].xcom_pull(task_ids="card")["approved"]:
            return {"chosen_options": [self.APPROVE], "responded_by_user": "the recipe's policy"}
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ANN401 - as Airflow's
        """Return the answer. A no does not skip the next task."""
        return HITLOperator.execute_complete(self, context, event)


class DecideOperator(WorkerOperator):
    """Promotes after a yes, and audits every answer."""

    def execute(self, context: Context) -> str:
        """Carry out the answer."""
        from stillhouse.tasks.registry.approval import decide

        run, pull = context["dag_run"], context["ti"].xcom_pull
        question = pull(task_ids="card")
        try:
            promoted, said = decide(question, pull(task_ids="approve"), f"{run.dag_id}/{run.run_id}")
        except Exception as error:
            if context["ti"].try_number > context["ti"].max_tries:
                remedy = "the answer is kept: clear the task decide in Airflow to carry it out"
                tell("pipeline broken", question["model"], f"{' '.join(str(error).split())[:300]}; {remedy}")
            raise
        tell("promoted" if promoted else "not promoted", question["model"], said)
        return said


def promotion(path: Path, recipe: Recipe) -> DAG:
    """Build the DAG of one recipe."""
    patience = timedelta(hours=recipe.promotion.answer_hours)
    with DAG(
        f"promotion_{recipe.name}",
        schedule=[candidate_of(recipe)],
        catchup=False,
        max_active_runs=16,
        is_paused_upon_creation=False,
        tags=[recipe.name, "promotion"],
        params={"version": VERSION},
        default_args={"owner": recipe.owner, "retries": 3, "retry_delay": timedelta(seconds=5)},
        doc_md=f"Asks whether a candidate of `{recipe.name}` goes to production. No answer in {patience} is a no.",
    ) as dag:
        card = OfferOperator(task_id="card", recipe_path=str(path))
        approve = CandidateApproval(
            task_id="approve",
            subject="Promote {{ ti.xcom_pull(task_ids='card')['model'] }} "
            "version {{ ti.xcom_pull(task_ids='card')['version'] }}?",
            body="{{ ti.xcom_pull(task_ids='card')['card'] }}",
            defaults=ApprovalOperator.REJECT,
            response_timeout=patience,
            notifiers=[Awaiting()],
        )
        # If MLflow is down for up to two hours, a person's answer is not lost.
        decide = DecideOperator(
            task_id="decide", retries=20, retry_exponential_backoff=2.0, max_retry_delay=timedelta(minutes=10)
        )
        _ = card >> approve >> decide
    return dag


globals().update(dags_of_recipes("promotion", RECIPES, lambda path: promotion(path, load_recipe(path))))
