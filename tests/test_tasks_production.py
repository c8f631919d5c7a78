"""Promotion, rollback and the audit, on a real MLflow server: decided once, done once, whoever is killed."""

import dataclasses
import itertools
import multiprocessing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, killed_at_call, registered

from stillhouse.tasks.errors import ArtifactError, StillhouseError
from stillhouse.tasks.provenance.places import RECORD
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.promote import Decision, promote, refuse, rollback
from stillhouse.tasks.registry.versions import CHAMPION, DIGEST, PREVIOUS, find_aliased, production_of

PRODUCTION = production_of(MODEL)
ANN = Decision("ann", "its worst slice is better", {"report": "file://report.html"})


def moves(client: MlflowClient) -> list[tuple[str, str | None, str | None]]:
    return [(row.action, row.before, row.after) for row in audit.rows_of(client, PRODUCTION)]


def champion(client: MlflowClient) -> tuple[str | None, str | None]:
    return find_aliased(client, PRODUCTION, CHAMPION), find_aliased(client, PRODUCTION, PREVIOUS)


def digest(client: MlflowClient, model: str, version: str) -> str:
    found: str = client.get_model_version(model, version).tags[DIGEST]
    return found


def test_promotion_and_rollback_move_the_champion_and_are_audited(client: MlflowClient) -> None:
    """The candidate is copied to production, the former champion is `previous`, and a rollback swaps the two."""
    registered(client, 1)
    assert promote(MODEL, ANN) == "tiny version 1 is the champion now, as tiny-production version 1; before it was none"
    assert promote(MODEL, ANN) == "tiny version 1 is the champion already; nothing changed"
    with pytest.raises(StillhouseError, match=r"^tiny-production has no version with the alias previous"):
        rollback(MODEL, ANN)
    registered(client, 2)
    promote(MODEL, ANN)
    assert champion(client) == ("2", "1")
    assert rollback(MODEL, ANN).startswith("tiny-production version 1 is the champion now")
    assert champion(client) == ("1", "2")
    assert moves(client) == [("promote", None, "1"), ("promote", "1", "2"), ("rollback", "2", "1")]
    first = audit.rows_of(client, PRODUCTION)[0]
    assert (first.who, first.why, first.evidence["report"]) == ("ann", ANN.why, "file://report.html")
    assert first.evidence["digest"] == client.get_model_version(PRODUCTION, "1").tags[DIGEST]


def test_any_row_of_the_audit_can_be_reversed(client: MlflowClient) -> None:
    """Reversing a row brings back what was the champion before it; the first row and an unknown one are refused."""
    for seed in (1, 2, 3):
        registered(client, seed)
        promote(MODEL, ANN)
    rollback(MODEL, ANN, row=2)
    assert champion(client) == ("1", "3")
    with pytest.raises(StillhouseError, match=r"^row 1 of the audit .* no champion before it; see `stillhouse audit`$"):
        rollback(MODEL, ANN, row=1)
    with pytest.raises(StillhouseError, match=r"^row 9 of the audit .* no such row"):
        rollback(MODEL, ANN, row=9)


def test_an_older_version_promoted_again_is_not_copied_again(client: MlflowClient) -> None:
    """One file is one version of the production model, however often it becomes the champion."""
    registered(client, 1)
    registered(client, 2)
    for version in ("1", "2", "1"):
        promote(MODEL, ANN, version)
    assert champion(client) == ("1", "2")
    assert len(client.search_model_versions(f"name = '{PRODUCTION}'")) == 2


def test_what_no_gate_passed_or_is_not_whole_is_not_promoted(client: MlflowClient) -> None:
    """A version without a passed gate, of another digest, superseded or unknown changes nothing."""
    registered(client, 1, verdict="FAIL")
    with pytest.raises(StillhouseError, match=r"^tiny version 1 did not pass a gate of Stillhouse"):
        promote(MODEL, ANN)
    altered = registered(client, 2)
    client.set_model_version_tag(MODEL, altered, DIGEST, "0" * 64)
    with pytest.raises(ArtifactError, match="not the judged file 0000"):
        promote(MODEL, ANN)
    registered(client, 3)
    with pytest.raises(StillhouseError, match=r"^tiny version 2 was superseded by version 3; look at that one$"):
        promote(MODEL, ANN, altered, newest=True)
    with pytest.raises(StillhouseError, match=r"^tiny has no version 99; choose one"):
        promote(MODEL, ANN, "99")
    assert moves(client) == []


def test_what_another_house_made_is_not_promoted(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version with every tag in place, but signed with another house's key or not at all, stays where it is."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("STILLHOUSE_STATE", str(tmp_path / "elsewhere"))
        registered(client, 1)
    with pytest.raises(StillhouseError, match=r"^the provenance record was not signed by this deployment .*; fetch it"):
        promote(MODEL, ANN)
    copied = registered(client, 2)
    client.delete_model_version_tag(MODEL, copied, RECORD.tag)
    with pytest.raises(
        StillhouseError, match=r"^the provenance record is not the one that the version was registered with"
    ):
        promote(MODEL, ANN)
    assert moves(client) == []


def test_a_version_that_does_not_answer_is_not_rolled_back_to(client: MlflowClient) -> None:
    """A previous champion whose file was altered since is refused, and the champion stays."""
    registered(client, 1)
    promote(MODEL, ANN)
    registered(client, 2)
    promote(MODEL, ANN)
    client.set_model_version_tag(PRODUCTION, "1", DIGEST, "0" * 64)
    with pytest.raises(ArtifactError, match="not the judged file"):
        rollback(MODEL, ANN)
    assert champion(client) == ("2", "1")


def test_an_alias_moved_by_hand_is_audited_as_external(client: MlflowClient) -> None:
    """Whoever acts next finds that the champion was moved outside, and says so in a row of its own, once."""
    for seed in (1, 2):
        registered(client, seed)
        promote(MODEL, ANN)
    client.set_registered_model_alias(PRODUCTION, CHAMPION, "1")
    for _ in range(2):
        refuse(MODEL, "2", ANN, deed="card-7")
    assert moves(client)[2:] == [("external", "2", "1"), ("refuse", "1", "1")]


def test_an_altered_audit_is_noticed(client: MlflowClient) -> None:
    """A row that says something else than it did, and one that was taken out, stop the next move."""
    for seed in (1, 2):
        registered(client, seed)
        promote(MODEL, ANN)
    experiment = client.get_experiment_by_name(audit.EXPERIMENT)
    assert experiment is not None
    run = client.search_runs([experiment.experiment_id], f"tags.`{audit.NUMBER}` = '1'")[0]
    client.set_tag(run.info.run_id, audit.ROW, run.data.tags[audit.ROW].replace("ann", "bob"))
    with pytest.raises(StillhouseError, match=r"^row 2 of the audit of tiny-production was altered or removed"):
        rollback(MODEL, ANN)
    client.delete_run(run.info.run_id)
    with pytest.raises(StillhouseError, match=r"^row 1 of the audit"):
        rollback(MODEL, ANN)


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True])
def test_a_promotion_killed_anywhere_is_finished_by_the_next(client: MlflowClient, *, after: bool) -> None:
    """Killed before or after any call that changes something: one version, one row, the aliases right."""
    registered(client, 1)
    promote(MODEL, ANN)
    for number in itertools.count(1):
        before = len(audit.rows_of(client, PRODUCTION))
        version = registered(client, 10 * number + after)
        killed = killed_at_call(number, lambda: promote(MODEL, ANN), after=after)
        promote(MODEL, ANN)
        assert len(audit.rows_of(client, PRODUCTION)) == before + 1
        tags = [each.tags[DIGEST] for each in client.search_model_versions(f"name = '{PRODUCTION}'")]
        assert len(set(tags)) == len(tags) == before + 1
        now, former = champion(client)
        assert (now, former) == (str(before + 1), str(before))
        assert (
            client.get_model_version(PRODUCTION, now or "").tags[DIGEST]
            == client.get_model_version(MODEL, version).tags[DIGEST]
        )
        if not killed:
            break
    assert number > 5


def test_two_at_once_promote_once(client: MlflowClient) -> None:
    """Two promotions of the same candidate at the same time leave one row; the second says that nothing changed."""
    registered(client, 1)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        said = pool.starmap(promote, [(MODEL, dataclasses.replace(ANN, who=who)) for who in ("ann", "bob")])
    assert sorted("nothing changed" in each for each in said) == [False, True]
    assert moves(client) == [("promote", None, "1")]
