"""Two DAGs of mapped candidates for `benchmarks/mapped_candidates.py`, which copies this file into a DAG folder.

A candidate of `bare` does nothing. A candidate of `tracked` is the stage `pull` of its own night, which reuses its
output: two runs in MLflow, a key, and a look-up.
"""

import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, Param


class NumbersOperator(BaseOperator):
    """Lists the numbers of the candidates."""

    def execute(self, context: Context) -> list[int]:
        """Count."""
        return list(range(context["params"]["candidates"]))


class BareOperator(BaseOperator):
    """Does nothing."""

    def __init__(self, *, number: int, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        """Keep the number."""
        super().__init__(**options)
        self.number = number

    def execute(self, context: Context) -> None:
        """Do nothing."""


class TrackedOperator(BareOperator):
    """Runs a reusable stage of a night of its own."""

    template_fields = ("number",)

    def execute(self, context: Context) -> None:
        """Reuse the data."""
        from stillhouse.tasks.pipeline.run_stage import run_stage

        recipe = Path(os.environ["STILLHOUSE_ROOT"]) / "candidate.yaml"
        run_stage(recipe, "pull", f"{context['dag_run'].run_id}/{self.number}")


for name, operator in {"bare": BareOperator, "tracked": TrackedOperator}.items():
    with DAG(name, schedule=None, params={"candidates": Param(1, type="integer")}) as globals()[name]:
        numbers = NumbersOperator(task_id="numbers", pool="cpu")
        operator.partial(task_id="candidate", pool="cpu").expand(number=numbers.output)
