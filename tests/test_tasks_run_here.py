"""A run without servers: the same stages, verdict and report as a night, and nothing registered."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from data_samples import quiet
from light_night import doing, lighten
from tiny_house import tiny_recipe, use_local_data

from stillhouse.models.errors import ModelError
from stillhouse.tasks.errors import RecipeError, StillhouseError
from stillhouse.tasks.local_run import local_store
from stillhouse.tasks.local_run.local_store import make_local_store
from stillhouse.tasks.local_run.run_here import run_here, stages_here
from stillhouse.tasks.pipeline import outside
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.settings import load_settings

SECONDS = 0.3
"""A stage that was done takes at most this of the processor on average."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a host that has no repository, no git and no MLflow, with light stages and the digits in its cache."""
    root = tmp_path_factory.mktemp("host")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("PATH", str(root))
        patch.chdir(root)
        lighten(patch)
        path = tiny_recipe(root)
        use_local_data(path, load_settings().state)
        yield path


def summary_of(run: str) -> Any:
    """Read the summary of a run."""
    return json.loads((load_settings().runs / f"local__{run}" / "summary.json").read_text(encoding="utf-8"))


def test_a_run_here_ends_with_verdict_and_report(recipe: Path) -> None:
    """Every stage that needs no server runs; report and summary say what was left out, and the host stays tidy."""
    told = run_here(recipe, "first", progress=quiet)
    assert list(told) == [stage.name for stage in stages_here(load_recipe(recipe))]
    assert not {"compare_champion", "load_test", "register"} & told.keys()
    summary = summary_of("first")
    assert (summary["error"], summary["verdict"], summary["unread"]) == (None, told["report"]["verdict"], [])
    assert summary["mlflow"]["version"] is None
    left_out = "nothing was registered, load-tested or compared with production, because the run used no server"
    assert summary["left_out"] == [left_out]
    page = Path(str(told["report"]["report"])).read_text(encoding="utf-8")
    assert left_out[1:] in page
    assert "in this host&#39;s cache, not in DVC" in page
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert {path.name for path in recipe.parent.iterdir()} == {".stillhouse", "runs", "tiny.yaml"}


def test_what_is_done_is_reused_quickly(recipe: Path) -> None:
    """Another run reuses every stage that has a key, and takes little time for each."""
    run_here(recipe, "before", until="gate", progress=quiet)
    began = time.process_time()
    told = run_here(recipe, "after", until="gate", progress=quiet)
    assert (time.process_time() - began) / len(told) < SECONDS
    assert {result["reused"] for result in told.values()} == {1.0}
    assert not (load_settings().runs / "local__after").exists()


def test_another_checker_checks_the_data_again(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of `validate` has the version of Great Expectations; what it finds decides whether more is done again."""
    run_here(recipe, "checked", until="teacher", progress=quiet)
    monkeypatch.setattr(outside, "find_checker", lambda: "9.9")
    told = run_here(recipe, "checked_again", until="teacher", progress=quiet)
    assert [told[stage]["reused"] for stage in ("pull", "validate", "teacher")] == [1.0, 0.0, 1.0]


def test_a_run_that_breaks_has_a_report(recipe: Path) -> None:
    """The sentence names the stage, the reason and the page; the same key continues the run afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        doing(patch, "evaluate", broken)
        with pytest.raises(StillhouseError, match=r"stage evaluate failed: stage evaluate: it broke \(report: .*html"):
            run_here(recipe, "broken", force=True, progress=quiet)
    assert "it broke" in summary_of("broken")["error"]
    assert run_here(recipe, "broken", progress=quiet)["report"]["verdict"] == "PASS"
    assert summary_of("broken")["error"] is None


def broken(_job: Job) -> Metrics:
    msg = "it broke"
    raise ModelError(msg)


def test_a_stage_of_a_server_is_none_of_a_run_here(recipe: Path) -> None:
    """`until` names a stage that the run has."""
    with pytest.raises(RecipeError, match=r"recipe tiny has no stage 'register' without a server; use one of pull, "):
        run_here(recipe, "until", until="register", progress=quiet)


def test_a_store_that_was_not_finished_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed while it makes the database leaves none."""
    monkeypatch.setenv("STILLHOUSE_ROOT", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(local_store, "_make", half_make)
        with pytest.raises(KeyboardInterrupt):
            make_local_store(load_settings())
    database = tmp_path / ".stillhouse" / "local" / "mlflow.db"
    assert not database.exists()
    assert make_local_store(load_settings()) == f"sqlite:///{database}"
    assert database.exists()


def half_make(database: Path) -> None:
    database.write_bytes(b"half")
    raise KeyboardInterrupt
