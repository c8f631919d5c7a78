"""What a person deletes, renames or takes away in MLflow: what is said then, and what the next night does."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, registered
from tiny_house import tiny_recipe

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.provenance.verify import verify
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.approval import audit_lines
from stillhouse.tasks.registry.promote import Decision, promote, refuse, rollback
from stillhouse.tasks.registry.status import describe_status
from stillhouse.tasks.registry.versions import CANDIDATE, CHAMPION, PREVIOUS, find_aliased, production_of
from stillhouse.tasks.serving.follow import Follower
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import experiment_of, open_nightly
from stillhouse.tasks.tracking.tags import PREFIX

PRODUCTION = production_of(MODEL)
ANN = Decision("ann", "it is better")
KEY = "test/night"
Deed = Callable[[MlflowClient], object]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an MLflow database once: its tables take a while."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def house(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Two versions that were promoted one after the other, and a night with one stage."""
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{shutil.copy(empty, tmp_path)}"
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = connect(uri)
    for seed in (1, 2):
        registered(client, seed)
        promote(MODEL, ANN)
    with open_nightly(client, MODEL, KEY).child("pull", "pull"):
        pass
    return client


def status(client: MlflowClient, tmp_path: Path) -> list[str]:
    """What `stillhouse status` says of the recipe."""
    return describe_status(client, load_settings(), load_recipe(tiny_recipe(tmp_path)))


def number_of(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)


def delete_experiment(name: str) -> Deed:
    return lambda client: client.delete_experiment(number_of(client, name))


def rename_experiment(name: str) -> Deed:
    return lambda client: client.rename_experiment(number_of(client, name), f"old {name} {number_of(client, name)}")


def delete_run(name: str, query: str) -> Deed:
    def deed(client: MlflowClient) -> None:
        for run in client.search_runs([number_of(client, name)], query):
            client.delete_run(run.info.run_id)

    return deed


def all_of(*deeds: Deed) -> Deed:
    return lambda client: [deed(client) for deed in deeds]


ROWS = f"tags.`{audit.MODEL}` = '{PRODUCTION}'"
AUDIT: dict[str, tuple[Deed, str]] = {
    "the experiment deleted": (delete_experiment("production"), "mlflow experiments restore --experiment-id [0-9]+"),
    "the experiment renamed": (rename_experiment("production"), "renamed to old production .* back to production"),
    "the experiment renamed, and one made of its name": (
        all_of(rename_experiment("production"), lambda client: client.create_experiment("production")),
        "renamed to old production .* back to production",
    ),
    "renamed, by a house of before": (
        all_of(
            rename_experiment("production"), lambda client: client.delete_registered_model_tag(PRODUCTION, audit.NEWEST)
        ),
        "renamed to old production .* back to production",
    ),
    "renamed, then deleted": (
        all_of(rename_experiment("production"), lambda client: client.delete_experiment(renamed(client))),
        "mlflow experiments restore --experiment-id [0-9]+",
    ),
    "the newest row deleted": (
        delete_run("production", f"{ROWS} and tags.`{audit.NUMBER}` = '2'"),
        "row 2 .* mlflow runs restore --run-id [0-9a-f]{32}",
    ),
    "the first row deleted": (
        delete_run("production", f"{ROWS} and tags.`{audit.NUMBER}` = '1'"),
        "row 1 .* mlflow runs restore --run-id [0-9a-f]{32}",
    ),
    "all rows deleted": (delete_run("production", ROWS), "row 1 .* mlflow runs restore --run-id [0-9a-f]{32}"),
    "the newest row altered": (
        lambda client: client.set_tag(row(client, 2), audit.ROW, told(client, 2).replace("ann", "bob")),
        "row 2 of the audit .* was altered or removed; restore the experiment production from a backup",
    ),
}


def renamed(client: MlflowClient) -> str:
    return next(each.experiment_id for each in client.search_experiments() if each.name.startswith("old production"))


def row(client: MlflowClient, number: int) -> str:
    query = f"{ROWS} and tags.`{audit.NUMBER}` = '{number}'"
    return str(client.search_runs([number_of(client, "production")], query)[0].info.run_id)


def told(client: MlflowClient, number: int) -> str:
    return str(client.get_run(row(client, number)).data.tags[audit.ROW])


@pytest.mark.parametrize("case", AUDIT)
def test_an_audit_that_is_gone_stops_every_move(house: MlflowClient, tmp_path: Path, case: str) -> None:
    """Everything that reads the audit says how it comes back, nothing moves, and no second history begins."""
    deed, remedy = AUDIT[case]
    deed(house)
    before = everywhere(house)
    for move in (
        lambda: promote(MODEL, ANN, "1"),
        lambda: rollback(MODEL, ANN),
        lambda: refuse(MODEL, "1", ANN, deed="card"),
        lambda: audit_lines(MODEL),
    ):
        with pytest.raises(StillhouseError, match=remedy):
            move()
    assert find_aliased(house, PRODUCTION, CHAMPION) == "2"
    (live, *_) = status(house, tmp_path)
    assert re.match("live: version 2, and the audit is not whole: ", live)
    assert re.search(remedy, live)
    faults = [fault for _, fault in verify(PRODUCTION, "2")]
    assert re.search(remedy, str(faults[2]))
    assert everywhere(house) == before


def everywhere(client: MlflowClient) -> int:
    """Count the rows of the audit, wherever they lie."""
    experiments = [each.experiment_id for each in client.search_experiments(view_type=ViewType.ALL)]
    return len(client.search_runs(experiments, ROWS, ViewType.ALL))


@pytest.mark.parametrize("case", ["the experiment deleted", "the newest row deleted", "the first row deleted"])
def test_what_the_sentence_says_brings_the_audit_back(house: MlflowClient, case: str) -> None:
    """After the command that the sentence names, the audit is whole and production moves again."""
    AUDIT[case][0](house)
    with pytest.raises(StillhouseError) as caught:
        audit_lines(MODEL)
    what, number = re.findall(r"mlflow (experiments|runs) restore --[a-z-]+ ([0-9a-f]+)", str(caught.value))[0]
    (house.restore_experiment if what == "experiments" else house.restore_run)(number)
    assert len(audit_lines(MODEL)) == 2
    assert "is the champion now" in promote(MODEL, ANN, "1")


CHAMPIONS: dict[str, Deed] = {
    "the model deleted": lambda client: client.delete_registered_model(PRODUCTION),
    "the model renamed": lambda client: client.rename_registered_model(PRODUCTION, "archived"),
    "the version deleted": lambda client: client.delete_model_version(PRODUCTION, "2"),
    "the alias taken away": lambda client: client.delete_registered_model_alias(PRODUCTION, CHAMPION),
}


@pytest.mark.parametrize("case", CHAMPIONS)
def test_a_champion_that_is_gone_is_told_and_audited(house: MlflowClient, tmp_path: Path, case: str) -> None:
    """Status and server say so, the server answers with what it has, and the next promotion audits both."""
    server = Follower(house, PRODUCTION)
    CHAMPIONS[case](house)
    (live, *_) = status(house, tmp_path)
    assert re.match("live: nothing; the audit ends with tiny-production version 2, promote by ann", live)
    assert live.endswith("promote a version again")
    server.look()
    assert server.current.version == "2"
    assert "has no version with the alias champion; promote one" in str(server.problem)
    assert [line.split()[2] for line in audit_lines(MODEL)] == ["promote", "promote"]
    assert "is the champion now" in promote(MODEL, ANN)
    moves = [(each.action, each.before) for each in audit.rows_of(house, PRODUCTION)]
    assert moves[2:] == [("external", "2"), ("promote", None)]
    server.look()
    assert server.problem is None


def test_a_previous_champion_that_is_gone_is_named(house: MlflowClient) -> None:
    """Without the alias `previous` a rollback says so, and one by its row in the audit still works."""
    house.delete_registered_model_alias(PRODUCTION, PREVIOUS)
    with pytest.raises(StillhouseError, match="tiny-production has no version with the alias previous"):
        rollback(MODEL, ANN)
    assert rollback(MODEL, ANN, row=2).startswith("tiny-production version 1 is the champion now")


CANDIDATES: dict[str, tuple[Deed, str]] = {
    "the model deleted": (lambda client: client.delete_registered_model(MODEL), "1"),
    "the model renamed": (lambda client: client.rename_registered_model(MODEL, "archived"), "1"),
    "the version deleted": (lambda client: client.delete_model_version(MODEL, "2"), "3"),
    "the alias taken away": (lambda client: client.delete_registered_model_alias(MODEL, CANDIDATE), "3"),
}


@pytest.mark.parametrize("case", CANDIDATES)
def test_a_candidate_that_is_gone_is_made_again(house: MlflowClient, tmp_path: Path, case: str) -> None:
    """Production goes on, a promotion says what to do, and the next night has a candidate again."""
    deed, version = CANDIDATES[case]
    deed(house)
    assert [line.split(":")[0] for line in status(house, tmp_path)] == ["live"]
    with pytest.raises(StillhouseError, match="alias candidate; run a nightly that passes, or name a version"):
        promote(MODEL, ANN)
    if case != "the alias taken away":
        with pytest.raises(StillhouseError, match="tiny has no version 2; choose one"):
            list(verify(MODEL, "2"))
    assert [fault for _, fault in verify(PRODUCTION, "2")] == [None, None, None]
    assert registered(house, 3) == version
    assert "is the champion now" in promote(MODEL, ANN)


NIGHT = f"tags.`{PREFIX}run_key` = '{KEY}'"
NIGHTS: dict[str, tuple[Deed, str, str]] = {
    "the experiment deleted": (
        delete_experiment(MODEL),
        "^the experiment tiny was deleted in MLflow; .*mlflow experiments restore --experiment-id",
        "^the experiment tiny was deleted in MLflow",
    ),
    "the experiment renamed": (rename_experiment(MODEL), "", ""),
    "the run of the night deleted": (
        delete_run(MODEL, NIGHT),
        "^the run test/night was deleted in MLflow; .*mlflow runs restore --run-id .*, or start a new one$",
        "",
    ),
    "the run of a stage deleted": (delete_run(MODEL, f"tags.`{PREFIX}stage` = 'pull'"), "", ""),
}


@pytest.mark.parametrize("case", NIGHTS)
def test_a_night_that_is_gone_is_named_or_begun_again(house: MlflowClient, tmp_path: Path, case: str) -> None:
    """A stage of that night and the next night go on, or end in one sentence with the command that mends it."""
    deed, same, new = NIGHTS[case]
    deed(house)
    for name, refusal in ((KEY, same), ("test/next", new)):
        if refusal:
            with pytest.raises(StillhouseError, match=refusal):
                open_nightly(house, MODEL, name)
            continue
        night = open_nightly(house, MODEL, name)
        with night.child("pull", "pull"):
            pass
        assert [run.data.tags[f"{PREFIX}stage"] for run in night.children()] == ["pull"]
    lines = status(house, tmp_path)
    assert [line.split(":")[0] for line in lines] == (["no night can run"] if new else []) + ["live"]
    assert [fault for _, fault in verify(PRODUCTION, "2")] == [None, None, None]


def test_the_command_has_no_password() -> None:
    """The address of MLflow in the sentence carries neither user nor password."""
    from stillhouse.tasks.tracking.deleted import restore_experiment

    sentence = restore_experiment(MlflowClient("http://ann:secret@mlflow.example:5000"), "7")
    assert sentence == (
        "bring it back with `MLFLOW_TRACKING_URI=http://mlflow.example:5000 mlflow experiments restore "
        "--experiment-id 7`"
    )


def test_an_experiment_that_nobody_deleted_is_made_once(house: MlflowClient) -> None:
    """An unknown experiment is started, and found after that."""
    first = experiment_of(house, "never seen before")
    assert experiment_of(house, "never seen before") == first
