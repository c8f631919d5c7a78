"""Count the looks at each held-out split in MLflow, over all nights and recipes.

A look is one execution of a stage that measures the quality of a model on the split. A reused stage does not look. Each
look is one run of the experiment `held-out splits`, so two nights that look at the same time are both counted. A look
is recorded before the split is read, so a stage that is killed and run again counts twice.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from stillhouse.models.data.description import OLD_NAMES, describe
from stillhouse.tasks.stages.pull import materialise, read_pointer
from stillhouse.tasks.tracking.runs import experiment_of
from stillhouse.tasks.tracking.tags import PREFIX

EXPERIMENT = "held-out splits"
ABOUT = (
    "One run for each time that a stage measured a model on a held-out split: `validation` guides training and "
    "compression, `gate` decides the verdict, `test` is opened once for each candidate, after its verdict."
)
SPLITS = ("validation", "gate", "test")


def note_look(client: MlflowClient, split: str, split_digest: str, facts: Mapping[str, str]) -> str:
    """Record one look at a split. Returns the id of its MLflow run, which stays in the state RUNNING.

    Args:
        client: MLflow client.
        split: one of `SPLITS`.
        split_digest: digest of the split's content, as in dataset.json.
        facts: tags that say who looked and at what.
    """
    tags = {"split": split, "split_digest": split_digest, **facts}
    run = client.create_run(
        experiment_of(client, EXPERIMENT, ABOUT),
        tags={PREFIX + name: value for name, value in tags.items()},
        run_name=f"{split} {facts.get('recipe', '')}".strip(),
    )
    return str(run.info.run_id)


def note_stage(client: MlflowClient, split: str, data: Path, facts: Mapping[str, str]) -> None:
    """Record the look of a stage that is about to measure a model on a split.

    Args:
        client: MLflow client.
        split: one of `SPLITS`.
        data: the output of the stage `pull`.
        facts: tags that say who looked.
    """
    version = str(read_pointer(data)["data_version"])
    look = note_look(client, split, split_digests(materialise(data))[split], {**facts, "data_version": version})
    client.set_terminated(look)


def split_digests(data: Path) -> dict[str, str]:
    """Return split -> digest of its content in a materialised dataset. The digest changes only if the split changes."""
    splits: Mapping[str, Any] = describe(data)["splits"]
    return {split: str(splits[split]["digest"]) for split in SPLITS if split in splits}


def count_looks(client: MlflowClient, digests: Mapping[str, str]) -> dict[str, int]:
    """Count the looks at each split so far, including looks whose runs a person has deleted.

    Args:
        client: MLflow client.
        digests: split -> digest of its content.
    """
    return {split: len(looks_at(client, split, digest)) for split, digest in digests.items()}


def looks_at(client: MlflowClient, split: str, split_digest: str) -> list[Run]:
    """List the runs of all looks at a split, newest first, and those under the split's old name after them."""
    names = [split, *(old for old, present in OLD_NAMES.items() if present == split)]
    return [run for name in names for run in _looks(client, name, split_digest)]


def _looks(client: MlflowClient, name: str, split_digest: str) -> list[Run]:
    query = f"tags.`{PREFIX}split` = '{name}' and tags.`{PREFIX}split_digest` = '{split_digest}'"
    experiment, found, token = experiment_of(client, EXPERIMENT, ABOUT), [], None
    while True:
        page = client.search_runs([experiment], query, ViewType.ALL, order_by=["start_time DESC"], page_token=token)
        found += page
        token = page.token
        if not token:
            return found
