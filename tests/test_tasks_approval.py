"""The question whether a candidate goes to production, and every answer to it, on a real MLflow server."""

from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, registered, with_night
from report_samples import LABELS, passing_run

from tasks.errors import StillhouseError
from tasks.production import audit
from tasks.production.approval import Settled, audit_lines, decide, offer
from tasks.production.promote import Decision, promote
from tasks.production.versions import CHAMPION, aliased, production_of
from tasks.recipe import Recipe

RECIPE: Recipe = passing_run().recipe.model_copy(update={"name": MODEL})
PRODUCTION = production_of(MODEL)
ANN = {"id": "7", "name": "ann"}


def answered(option: str | None, user: Any = ANN) -> dict[str, Any]:
    """Give an answer as Airflow's approval returns it."""
    return {"chosen_options": [option] if option else [], "params_input": {}, "responded_by_user": user}


def test_the_card_says_what_a_person_needs(client: MlflowClient) -> None:
    """A card has the verdict, every check with its reason, numbers, churn, the worst slices and addresses."""
    question = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))
    text = question["card"]
    assert text.startswith("## tiny version 1: PASS")
    for check in passing_run().gate["checks"]:  # type: ignore[index]
        assert f"| {check['name']} | {check['verdict']} | {check['reason']} |" in text
    assert "of the answers change" in text
    assert "| Shirt |" in text
    assert sum(f"| {label} |" in text for label in LABELS) == 3
    for address in ("[Report](http://127.0.0.1", "[MLflow run](http://", "[Data Docs](http://"):
        assert address in text


def test_a_candidate_is_offered_once(client: MlflowClient) -> None:
    """A retry of the same run asks again, another run does not, unless it names the version; nor once it is live."""
    with_night(client, registered(client, 1))
    assert offer(RECIPE, "dag/one")["card"] == offer(RECIPE, "dag/one")["card"]
    with pytest.raises(Settled, match=r"^tiny version 1 was offered already, by dag/one$"):
        offer(RECIPE, "dag/two")
    assert offer(RECIPE, "dag/two", "1")["version"] == "1"
    promote(MODEL, Decision("ann", "by hand"))
    with pytest.raises(Settled, match=r"^tiny version 1 is in production already$"):
        offer(RECIPE, "dag/three", "1")


def test_a_night_that_is_gone_is_named(client: MlflowClient) -> None:
    """Without its night's gate and evaluation a candidate cannot be offered, nor where there is none."""
    with pytest.raises(StillhouseError, match=r"^tiny has no version with the alias candidate; run a nightly"):
        offer(RECIPE, "dag/run")
    registered(client, 1)
    with pytest.raises(
        StillhouseError, match=r"^MLflow has no whole night of tiny version 1 .*; run the recipe again$"
    ):
        offer(RECIPE, "dag/run")


def test_a_yes_promotes_and_names_who_said_it(client: MlflowClient) -> None:
    """An approved candidate becomes the champion, by a row that names the person and the digests of what was judged."""
    question = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))
    assert decide(question, answered("Approve"), "dag/run").startswith("tiny version 1 is the champion now")
    assert decide(question, answered("Approve"), "dag/run").endswith("nothing changed")
    (row,) = audit.rows_of(client, PRODUCTION)
    assert (row.action, row.who, row.why) == ("promote", "ann", "approved")
    assert set(row.evidence) >= {"gate", "evaluation", "digest", "Report", "run"}
    assert audit_lines(MODEL) == [f"   1  {row.at}  promote   - -> 1  ann: approved"]


@pytest.mark.parametrize(
    ("answer", "who", "why"),
    [
        (answered("Reject"), "ann", "refused"),
        (answered("Reject", None), "nobody", "nobody answered in time"),
        (answered("Approve", None), "nobody", "nobody answered in time"),
        (answered(None), "ann", "refused"),
    ],
)
def test_without_a_yes_of_a_person_nothing_is_promoted(
    client: MlflowClient, answer: dict[str, Any], who: str, why: str
) -> None:
    """A no, no answer in time and an answer of nobody leave production as it is, and one row each, however often."""
    question = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))
    for _ in range(2):
        assert decide(question, answer, "dag/run") == f"tiny version 1 was not promoted: {why}"
    assert aliased(client, PRODUCTION, CHAMPION) is None
    (row,) = audit.rows_of(client, PRODUCTION)
    assert (row.action, row.who, row.why, row.after) == ("refuse", who, why, None)


def test_a_superseded_candidate_is_not_promoted(client: MlflowClient) -> None:
    """A yes to a card whose version is not the candidate any more is audited as refused, and says why."""
    question = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))
    registered(client, 2)
    said = decide(question, answered("Approve"), "dag/run")
    assert said == "tiny version 1 was not promoted: tiny version 1 was superseded by version 2; look at that one"
    assert [row.action for row in audit.rows_of(client, PRODUCTION)] == ["refuse"]
