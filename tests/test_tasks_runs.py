"""Which run of MLflow a result belongs to: each key has its own, and no edit or other machine changes that."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from light_night import WEIGHTS, bytes_of, doing, edit, light_house
from mlflow.tracking import MlflowClient
from tiny_house import House

from stillhouse.models.errors import ModelError
from stillhouse.tasks.errors import ArtifactError, RecipeError, ServiceError, StillhouseError
from stillhouse.tasks.judging.champion_comparison import ANSWER, ChampionComparison
from stillhouse.tasks.judging.seeds import run_seeds
from stillhouse.tasks.pipeline import frozen, outside
from stillhouse.tasks.pipeline import run_stage as stage_module
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.provenance import issue as issue_module
from stillhouse.tasks.provenance.evidence import evidence_of
from stillhouse.tasks.provenance.verify import fetch_record, verify
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.stages import pull as pull_data
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.tags import PREFIX, STAGE_RUNS


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with light stages."""
    with light_house(tmp_path_factory.mktemp("house")) as house:
        yield house


def bytes_told(house: House, version: str) -> int:
    """What an approval card of a version says of its student's bytes."""
    client = connect(house.settings.tracking_uri)
    found = evidence_of(client, client.get_model_version("tiny", version), house.settings.tracking_uri)
    return found.evaluation.student.bytes


@pytest.mark.long
def test_an_older_candidates_card_shows_its_own_numbers(house: House) -> None:
    """A run of the same name with another recipe leaves the older version's evidence and record as they were."""
    key = "shell/stages"
    versions = []
    for epochs in (21, 22):
        edit(house.recipe, "teacher.training.epochs", epochs)
        metrics = house.run(key, until="register")
        versions.append((metrics["version"], bytes_of(house.output(key, "export"))))
    (older, its_bytes), (newer, others) = versions
    assert (older, its_bytes) != (newer, others)
    assert (bytes_told(house, older), bytes_told(house, newer)) == (its_bytes, others)
    for version in (older, newer):
        assert [fault for _, fault in verify("tiny", version)] == [None, None, None]
    client = connect(house.settings.tracking_uri)
    evaluated = json.loads(client.get_model_version("tiny", older).tags[STAGE_RUNS])["evaluate"][0]
    client.set_tag(evaluated, f"{PREFIX}digest", "of something else")
    with pytest.raises(StillhouseError, match=f"stage evaluate of tiny version {older} was done again in MLflow run"):
        bytes_told(house, older)


def test_a_rerun_that_broke_is_not_finished(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stage that finished breaks when it is done again, no later stage takes its earlier output."""
    house.run("test/broke", until="step_1_distil")
    before = house.stages("test/broke")["teacher"]
    with monkeypatch.context() as patch:
        doing(patch, "teacher", broken)
        with pytest.raises(StillhouseError, match="stage teacher: it broke"):
            run_stage(house.recipe, "teacher", "test/broke", force=True)
    with pytest.raises(ArtifactError, match="stage teacher of run test/broke has not finished; run it first"):
        run_stage(house.recipe, "step_1_distil", "test/broke")
    assert run_stage(house.recipe, "teacher", "test/broke")["validation_quality"] == 0.9
    assert run_stage(house.recipe, "step_1_distil", "test/broke")["reused"] == 1
    known = connect(house.settings.tracking_uri).get_run(before.info.run_id)
    assert (known.info.status, known.data.tags) == ("FINISHED", before.data.tags)


def broken(_job: Job) -> Metrics:
    msg = "it broke"
    raise ModelError(msg)


def test_another_key_is_another_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that changes gives a stage another run of its own in MLflow; what was killed before is no longer open."""
    house.run("test/keys", until="teacher")
    first = house.stages("test/keys")["teacher"]
    client = connect(house.settings.tracking_uri)
    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "code_of", lambda kind, *_: f"other code of {kind}")
        run_stage(house.recipe, "teacher", "test/keys")
    other = house.stages("test/keys")["teacher"]
    client.update_run(other.info.run_id, status="RUNNING")  # as kill -9 leaves it
    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "code_of", lambda kind, *_: f"newest code of {kind}")
        run_stage(house.recipe, "teacher", "test/keys")
    newest = house.stages("test/keys")["teacher"]
    runs = [client.get_run(run.info.run_id) for run in (first, other, newest)]
    assert [run.info.status for run in runs] == ["FINISHED", "KILLED", "FINISHED"]
    assert len({run.data.tags[f"{PREFIX}stage_key"] for run in runs}) == 3


def test_a_recipe_edited_while_a_night_runs_takes_effect_with_the_next(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """The night goes on with the recipe it began with, says so, and its record and report name that recipe."""
    edit(house.recipe, "teacher.training.epochs", 12)
    house.run("test/edited", until="teacher")
    assert "was edited" not in capsys.readouterr().out
    edit(house.recipe, "teacher.training.epochs", 3)
    for stage in stages_of(load_recipe(house.recipe))[3:]:
        metrics = run_stage(house.recipe, stage.name, "test/edited")
        assert "tiny.yaml was edited after run test/edited began: this run keeps" in capsys.readouterr().out
    assert metrics["verdict"] == "PASS"
    version = house.stages("test/edited")["register"].data.tags[f"{PREFIX}version"]
    client = connect(house.settings.tracking_uri)
    record = fetch_record(client, client.get_model_version("tiny", version))
    trained = json.loads((house.output("test/edited", "teacher") / WEIGHTS).read_text(encoding="utf-8"))
    assert record["recipe"]["teacher"]["training"]["epochs"] == trained["epochs"] == 12
    page = (house.settings.runs / "latest" / "report.html").read_text(encoding="utf-8")
    assert "epochs: 12" in page
    house.run("test/edited_next", until="teacher")
    trained = json.loads((house.output("test/edited_next", "teacher") / WEIGHTS).read_text(encoding="utf-8"))
    assert trained["epochs"] == 3


@pytest.mark.parametrize(
    ("text", "stage", "says"),
    [
        ("teacher: [", "validate", None),
        (None, "validate", None),
        ("name: another", "validate", None),
        ("", "polish", "recipe tiny has no stage 'polish'; .*; tiny.yaml was edited after run .* keeps the recipe"),
    ],
)
def test_a_file_that_is_broken_while_a_night_runs_breaks_the_next_night_only(
    house: House, capsys: pytest.CaptureFixture[str], text: str | None, stage: str, says: str | None
) -> None:
    """A night that has begun needs the recipe's file no more, be it broken, renamed or gone; its first stage does."""
    key, before = f"test/file_{abs(hash((text, stage)))}", house.recipe.read_text(encoding="utf-8")
    house.run(key, until="pull")
    house.recipe.unlink() if text is None else house.recipe.write_text(text, encoding="utf-8")
    try:
        capsys.readouterr()
        if says:
            with pytest.raises(RecipeError, match=says):
                run_stage(house.recipe, stage, key)
        else:
            assert "reused" in run_stage(house.recipe, stage, key)
        assert "tiny.yaml was edited after run" in capsys.readouterr().out
        with pytest.raises(RecipeError):
            run_stage(house.recipe, "pull", key)
    finally:
        house.recipe.write_text(before, encoding="utf-8")


def test_another_seed_or_revision_in_the_middle_is_refused(house: House) -> None:
    """A stage that is asked for a seed or a revision that its run did not begin with says how to begin again."""
    run_stage(house.recipe, "pull", "test/asked", seed=5)
    run_stage(house.recipe, "validate", "test/asked")
    run_stage(house.recipe, "validate", "test/asked", seed=5)
    with pytest.raises(RecipeError, match="test/asked began with seed 5, not 6; begin it again with the stage pull"):
        run_stage(house.recipe, "validate", "test/asked", seed=6)
    with pytest.raises(RecipeError, match="began with data revision None, not HEAD; begin it again"):
        run_stage(house.recipe, "validate", "test/asked", revision="HEAD")


def test_code_that_changes_during_a_night_signs_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stages say that the code changed, and the version is refused; begun again, it is registered."""
    edit(house.recipe, "teacher.training.epochs", 31)
    house.run("test/code", until="teacher")
    known = len(connect(house.settings.tracking_uri).search_model_versions("name = 'tiny'"))
    with monkeypatch.context() as patch:
        for module in (frozen, issue_module):
            patch.setattr(module, "code_digest", lambda: "of other code")
        for stage in stages_of(load_recipe(house.recipe))[3:-2]:
            run_stage(house.recipe, stage.name, "test/code")
        assert "the code changed after run test/code began with " in capsys.readouterr().out
        with pytest.raises(StillhouseError, match=r"the code changed after run test/code .* nothing is registered"):
            run_stage(house.recipe, "register", "test/code")
        assert len(connect(house.settings.tracking_uri).search_model_versions("name = 'tiny'")) == known
        house.run("test/code", until="register")  # all over: it begins with this code
    assert len(connect(house.settings.tracking_uri).search_model_versions("name = 'tiny'")) == known + 1


def test_a_stage_that_ran_with_other_code_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that changed and changed back in the middle of a night is noticed too, with the stage that it made."""
    edit(house.recipe, "teacher.training.epochs", 32)
    house.run("test/back", until="validate")
    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "code_of", lambda kind, *_: f"other code of {kind}")
        run_stage(house.recipe, "teacher", "test/back")
    for stage in stages_of(load_recipe(house.recipe))[3:-2]:
        run_stage(house.recipe, stage.name, "test/back")
    with pytest.raises(StillhouseError, match=r"the code changed .* \(teacher ran with other code than there is now\)"):
        run_stage(house.recipe, "register", "test/back")


def test_data_that_lands_between_two_tries_of_a_pull_is_of_the_next_night(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that the key counts is the version that is pulled, whatever is deployed a moment later."""
    asked: list[str] = []
    real = frozen.data_digest

    def once(data: Data) -> str:
        asked.append(data.dataset)
        return real(data)

    for module in (frozen, outside, pull_data):
        monkeypatch.setattr(module, "data_digest", once)
    run_stage(house.recipe, "pull", "test/data", force=True)
    assert asked == ["digits"]


def test_a_promotion_during_the_comparison_cannot_move_its_result(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion is read once: the result names the champion that its key and its tag name."""
    house.run("test/one", until="register")
    run_stage(house.recipe, "compare_champion", "test/one", force=True)
    key_of = stage_module.stage_key

    def promoted_in_between(*given: object, **named: object) -> str:
        key = key_of(*given, **named)  # type: ignore[arg-type]
        promote("tiny", Decision("ann", "while the next night compares"))
        return key

    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "stage_key", promoted_in_between)
        run_stage(house.recipe, "compare_champion", "test/one", force=True)
    run = house.stages("test/one")["compare_champion"]
    found = ChampionComparison.model_validate_json(
        (house.output("test/one", "compare_champion") / ANSWER).read_text(encoding="utf-8")
    )
    assert (run.data.tags[f"{PREFIX}outside.champion"], found.champion) == ("none", None)
    run_stage(house.recipe, "compare_champion", "test/one")
    again = house.stages("test/one")["compare_champion"].data.tags[f"{PREFIX}outside.champion"]
    assert again.startswith("1:")


def test_a_recipe_edited_between_two_seeds_is_not_taken_for_luck(house: House) -> None:
    """Seeds of two recipes are refused: their spread would be that of the edit."""

    def edited_before_the_second(line: str) -> None:
        if line == "seed 8: pull":
            edit(house.recipe, "teacher.training.epochs", 41)

    edit(house.recipe, "teacher.training.epochs", 40)
    with pytest.raises(RecipeError, match="recipe tiny was edited while its seeds ran; run them again"):
        run_seeds(house.recipe, [7, 8], edited_before_the_second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{", StillhouseError), ("{}", StillhouseError), ('{"recipe": {}}', StillhouseError), (None, ServiceError)],
)
def test_what_a_run_began_with_is_read_or_named(
    house: House, monkeypatch: pytest.MonkeyPatch, text: str | None, expected: type[StillhouseError]
) -> None:
    """A run whose beginning cannot be read says so and how to go on; a server that does not answer is worth a retry."""
    run_stage(house.recipe, "pull", "test/unread")
    monkeypatch.setattr(frozen, "json_digest", lambda _: house.parent("test/unread").data.tags[frozen.TAG])

    def given(_client: MlflowClient, _run: str, _path: str, folder: str) -> str:
        if text is None:
            raise requests.ConnectionError
        (Path(folder) / "run.json").write_text(text, encoding="utf-8")
        return f"{folder}/run.json"

    monkeypatch.setattr(MlflowClient, "download_artifacts", given)
    with pytest.raises(StillhouseError, match="began with") as refused:
        run_stage(house.recipe, "validate", "test/unread")
    assert type(refused.value) is expected
