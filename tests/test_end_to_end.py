"""The tiny recipe under a real scheduler: killed once, finished, reused, promoted, rolled back; refused when wrong."""

import io
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from browser_pages import Pages, open_browser
from data_samples import built_digits
from night_house import (
    ASKS,
    DAG,
    PATIENCE_SECONDS,
    PROMPT_SECONDS,
    RECIPE,
    RECIPE_FILE,
    ROOT,
    Answers,
    House,
    Question,
    registered,
    serving,
    stillhouse,
    summary_of,
    training_process,
    waiting_question,
    watch,
)
from PIL import Image

from stillhouse.models.data.images import load_images
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.settings import Settings

pytestmark = pytest.mark.serial

ROLLBACK_SECONDS = 60.0
"""From the click to the former version's answers."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run the recipe once, with kill -9 of the training process after its first epochs."""
    folder = tmp_path_factory.mktemp("house")
    settings = Settings(ROOT, folder / "state", folder / "runs", "")
    try:
        watcher = watch(settings, folder / "output")
        os.kill(training_process(settings, watcher, folder / "output"), signal.SIGKILL)
        exit_code = watcher.wait(PATIENCE_SECONDS)
        yield House(settings, exit_code, (folder / "output").read_text(encoding="utf-8"), summary_of(settings))
    finally:
        stack.stop(settings, print)


def test_a_killed_training_is_taken_up_again(house: House) -> None:
    """After kill -9 of the training process, the run completes at the second attempt and exits 0."""
    assert house.exit_code == 0, house.output
    assert "teacher: broke after" in house.output
    assert "teacher: started again, attempt 2" in house.output


def test_the_run_ends_with_a_verdict_and_a_report(house: House) -> None:
    """The tiny student passes its gate, and the numbers stand in summary.json beside the report."""
    summary = house.summary
    assert (summary["recipe"], summary["verdict"], summary["error"]) == (RECIPE, "PASS", None)
    assert {check["verdict"] for check in summary["checks"]} == {"PASS"}
    assert summary["teacher"]["quality"] > 0.9
    assert summary["ratios"]["bytes"] > 100
    assert (house.settings.runs / "latest" / "report.html").exists()


def test_only_the_data_of_the_recipe_is_in_the_remote(house: House) -> None:
    """The run fills its remote with the recipe's dataset and no other."""
    assert len(list((house.settings.state / "remote").rglob("*.dir"))) == 1


def test_the_watcher_shows_the_stages_and_where_to_look(house: House) -> None:
    """The output has a line per stage, the verdict, the report's path and both addresses with credentials."""
    addresses = stack.addresses(house.settings)
    for stage in stages_of(load_recipe(RECIPE_FILE)):
        assert re.search(rf"^\[ *\d+ s\] {stage.name}: done in", house.output, re.MULTILINE), stage.name
    assert "verdict: PASS" in house.output
    assert f"{addresses.airflow}  user admin, password {addresses.password}" in house.output
    assert addresses.mlflow in house.output
    assert "report.html" in house.output


def test_exactly_one_version_is_registered(house: House) -> None:
    """The student is registered once, as the candidate, although its run had been killed."""
    assert registered(house.settings) == [house.summary["mlflow"]["version"]]
    assert house.summary["mlflow"]["alias"] == "candidate"


@pytest.mark.long
def test_a_second_run_reuses_everything(house: House, tmp_path: Path) -> None:
    """With nothing changed every reusable stage is reused, and no second version is registered."""
    watcher = watch(house.settings, tmp_path / "output")
    exit_code = watcher.wait(PATIENCE_SECONDS)
    output = (tmp_path / "output").read_text(encoding="utf-8")
    assert exit_code == 0, output
    summary = summary_of(house.settings)
    stages = stages_of(load_recipe(RECIPE_FILE))
    assert set(summary["reused"]) == {stage.name for stage in stages if stage.reusable}
    assert "teacher: reused" in output
    assert registered(house.settings) == [house.summary["mlflow"]["version"]]


@pytest.fixture(scope="module")
def question(house: House) -> Question:
    """The promotion that the first run's candidate woke, once it waits."""
    return waiting_question(house)


def test_the_candidate_is_offered_with_its_card(house: House, question: Question) -> None:
    """Registering woke the promotion, whose card has the verdict, the checks and the addresses."""
    card = question.card()
    assert card["subject"] == f"Promote {RECIPE} version {house.summary['mlflow']['version']}?"
    assert card["options"] == ["Approve", "Reject"]
    assert f"## {RECIPE} version {house.summary['mlflow']['version']}: PASS" in card["body"]
    for check in house.summary["checks"]:
        assert check["reason"] in card["body"]
    assert f"[MLflow run]({stack.addresses(house.settings).mlflow}/#/experiments/" in card["body"]


def test_a_yes_is_served_promptly_and_the_champion_answers(
    house: House, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An approved candidate becomes the champion within 30 seconds, loads there without a pickle, and is right."""
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.addresses(house.settings).mlflow)
    asked = time.monotonic()
    question.airflow.answer(ASKS, question.run, "approve", "Approve")
    while question.airflow.run_state(ASKS, question.run) != "success":
        assert time.monotonic() < asked + PROMPT_SECONDS
        time.sleep(0.2)
    champion = mlflow.pyfunc.load_model(f"models:/{RECIPE}-production@champion")
    tested = load_images(built_digits(), "test")
    answers = champion.predict(pd.DataFrame({"pixels": [image_CHW.tolist() for image_CHW in tested.images_NCHW]}))
    found = (answers["class"].to_numpy() == tested.labels_N).mean()
    assert found == pytest.approx(house.summary["final_test"]["student"], abs=0.01)
    with pytest.raises(ServiceError, match="409"):
        question.airflow.answer(ASKS, question.run, "approve", "Reject")


def test_the_command_line_tells_the_audit_and_what_is_live(house: House) -> None:
    """`stillhouse audit` finds the embedded MLflow and names who said yes; promoting again changes nothing."""
    version = house.summary["mlflow"]["version"]
    assert "promote   - -> 1  admin: approved" in stillhouse(house, "audit", RECIPE).stdout
    said = stillhouse(house, "promote", RECIPE, "--yes").stdout
    assert said == f"{RECIPE} version {version} is the champion already; nothing changed\n"
    refused = stillhouse(house, "rollback", RECIPE)
    assert (refused.returncode, refused.stderr) == (1, "stillhouse: nobody is there to ask; say --yes\n")


@pytest.mark.long
def test_an_unknown_conf_key_ends_the_run_at_once(house: House) -> None:
    """A conf key that no param declares fails the run without a retry; nothing is registered."""
    airflow = Airflow(stack.addresses(house.settings))
    run = airflow.trigger(DAG, {"tracking_uri": "http://elsewhere"})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while airflow.run_state(DAG, run) not in {"success", "failed"}:
        assert time.monotonic() < deadline
        time.sleep(1)
    states = {task["task_id"]: (task["state"], task["try_number"]) for task in airflow.tasks(DAG, run)}
    assert states["pull"] == ("failed", 1)
    assert states["teacher"][0] == "upstream_failed"
    assert airflow.run_state(DAG, run) == "failed"
    assert registered(house.settings) == [house.summary["mlflow"]["version"]]


@pytest.fixture(scope="module")
def pages(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A browser that is logged in to Airflow; its screenshots go to STILLHOUSE_SCREENSHOTS."""
    folder = Path(os.environ.get("STILLHOUSE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    with open_browser(stack.addresses(house.settings), folder) as pages:
        yield pages


@pytest.fixture(scope="module")
def second(house: House, tmp_path_factory: pytest.TempPathFactory) -> Question:
    """A smaller student is registered beside the champion of before, and the promotion is triggered by hand."""
    recipe = tmp_path_factory.mktemp("changed") / f"{RECIPE}.yaml"
    recipe.write_text(RECIPE_FILE.read_text(encoding="utf-8").replace("sparsity: 0.5", "sparsity: 0.6"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILLHOUSE_STATE", str(house.settings.state))
        patch.setenv("STILLHOUSE_RUNS", str(house.settings.runs))
        patch.setenv("MLFLOW_TRACKING_URI", stack.addresses(house.settings).mlflow)
        for stage in stages_of(load_recipe(recipe)):
            run_stage(recipe, stage.name, "tests/second")
    Airflow(stack.addresses(house.settings)).trigger(ASKS, {})
    return waiting_question(house)


@pytest.fixture(scope="module")
def server(house: House, second: Question) -> Iterator[Answers]:
    """Serve the champion that there is while the second candidate waits."""
    del second
    with serving(house) as answers:
        yield answers


@pytest.mark.long
def test_a_person_reads_the_card_in_a_browser(pages: Pages, second: Question) -> None:
    """Airflow's page of required actions leads to the card: its tables are tables, its links open MLflow's pages."""
    pages.open_card(f"Promote {RECIPE} version 2?")
    pages.expect_heading(f"{RECIPE} version 2: PASS")
    for row in ("quality PASS student keeps", "bytes PASS", "latency PASS", "parity PASS", "time, batch 1, one thread"):
        pages.expect_row(row)
    pages.expect_row("against version 1 of production, gate")
    pages.expect_row("better, beyond doubt bytes")
    pages.shoot("card")
    pages.follow("Report")
    pages.expect_in_frame("The student passed its gate")
    pages.shoot("report")
    assert second.state("approve") == "awaiting_input"


@pytest.mark.long
def test_the_champion_answers_over_http(house: House, server: Answers) -> None:
    """The server of the first version answers a PNG and raw pixels of a digit with its label, and says what it is."""
    tested = load_images(built_digits(), "test")
    stream = io.BytesIO()
    Image.fromarray(tested.images_NCHW[0, 0]).save(stream, "PNG")
    picture = server.ask("answer", data=stream.getvalue(), headers={"content-type": "image/png"})
    pixels = server.ask("answer", json={"pixels": tested.images_NCHW[:1].tolist()})
    assert picture == pixels
    assert (pixels["answers"][0]["label"], pixels["version"]) == (str(tested.labels_N[0]), "1")
    assert server.ask("ready") == {"status": "ready", "problem": None}
    assert server.ask("version")["model"] == f"{RECIPE}-production"
    assert sorted(registered(house.settings)) == ["1", "2"]


@pytest.mark.long
def test_a_click_on_approve_is_served(pages: Pages, second: Question, server: Answers) -> None:
    """Within 30 seconds of the click the run is done, the new version answers, and MLflow's page shows the aliases."""
    pages.open_card(f"Promote {RECIPE} version 2?")
    clicked = time.monotonic()
    pages.click("Approve")
    pages.keep_seconds("from yes to answers", server.seconds_until("2", PROMPT_SECONDS))
    while second.airflow.run_state(ASKS, second.run) != "success":
        assert time.monotonic() < clicked + PROMPT_SECONDS
        time.sleep(0.2)
    pages.expect_text("Response received")
    pages.shoot("approved")
    pages.open_model(f"{RECIPE}-production")
    pages.expect_alias("2", "champion")
    pages.expect_alias("1", "previous")
    pages.shoot("champion")


@pytest.mark.long
def test_a_click_rolls_back(house: House, pages: Pages, server: Answers) -> None:
    """Within 60 seconds of the click the former version answers; MLflow's page shows it, the audit says who and why."""
    pages.fill_trigger(f"rollback_{RECIPE}", why="one digit is read worse")
    pages.shoot("rollback")
    pages.submit_trigger()
    pages.keep_seconds("from the rollback's click to answers", server.seconds_until("1", ROLLBACK_SECONDS))
    pages.open_model(f"{RECIPE}-production")
    pages.expect_alias("1", "champion")
    pages.shoot("rolled_back")
    assert "rollback  2 -> 1  admin: one digit is read worse" in stillhouse(house, "audit", RECIPE).stdout


@pytest.mark.long
@pytest.mark.parametrize(("seconds", "option"), [(0.1, "Approve"), (0.3, "Reject"), (0.5, "Approve")])
def test_an_answer_in_a_hurry_counts_or_is_asked_for_again(
    house: House, second: Question, seconds: float, option: str
) -> None:
    """So soon after the question that Airflow may lose it, a yes promotes once and a no never, asked again or not."""
    stillhouse(house, "promote", RECIPE, "--version", "1", "--yes")
    before = stillhouse(house, "audit", RECIPE).stdout.splitlines()
    question = Question(second.airflow, second.airflow.trigger(ASKS, {"version": "2"}))
    answer_after(question, seconds, option)
    deadline = time.monotonic() + 3 * PROMPT_SECONDS
    while (state := second.airflow.run_state(ASKS, question.run)) not in {"success", "failed"}:
        assert time.monotonic() < deadline
        if question.state("approve") == "awaiting_input":
            answer_after(question, seconds=5.0, option=option)
        time.sleep(0.5)
    assert state == "success"
    (row,) = stillhouse(house, "audit", RECIPE).stdout.splitlines()[len(before) :]
    assert ("promote   1 -> 2  admin: approved" if option == "Approve" else "refuse    1 -> 1  admin: refused") in row


def answer_after(question: Question, seconds: float, option: str) -> None:
    """Answer so long after the question is there; one that was answered meanwhile is left alone."""
    deadline = time.monotonic() + PROMPT_SECONDS
    while True:
        with suppress(ServiceError):
            question.card()
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(seconds)
    with suppress(ServiceError):
        question.airflow.answer(ASKS, question.run, "approve", option)
