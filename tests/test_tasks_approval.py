"""The question whether a candidate goes to production, and every answer to it, on a real MLflow server."""

from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, against, registered, with_night
from report_samples import LABELS, final_test, passing_run

from tasks.errors import ServiceError, StillhouseError
from tasks.held_out import note_look
from tasks.production import audit
from tasks.production.approval import Settled, audit_lines, decide, offer
from tasks.production.promote import Decision, promote
from tasks.production.versions import CHAMPION, aliased, production_of
from tasks.recipe import Promotion, Recipe

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
    assert "**Nothing is in production yet**" in text
    assert "| Shirt |" in text
    assert sum(f"| {label} |" in text for label in LABELS) == 3
    for address in ("[Report](http://127.0.0.1", "[MLflow run](http://", "[Data Docs](http://"):
        assert address in text


def test_the_card_says_how_often_the_sealed_split_was_opened(client: MlflowClient) -> None:
    """What decided is of the gate role; the sealed test stands apart, with the looks at each split over all nights."""
    digests = final_test()["opened"]["split_digests"]
    for split in ("sealed", "gate", "gate", "sealed", "gate"):
        note_look(client, split, digests[split], {"recipe": "another"})
    text = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))["card"]
    gate, sealed = text.index("| on the gate role |"), text.index("| on the sealed test, which decides nothing |")
    assert "| quality | 93.34 % (92.70 % to 93.96 %) | 92.90 % (92.22 % to 93.52 %) |" in text[gate:sealed]
    assert "| quality | 93.12 % (92.62 % to 93.60 %) | 92.51 % (91.98 % to 93.00 %) |" in text[sealed:]
    assert "sealed split was opened twice, the gate role was looked at 3 times and the search role 0 times." in text


def test_a_version_from_before_the_final_test_is_offered(client: MlflowClient) -> None:
    """A candidate whose night had no such stage can be approved, and its card says so."""
    with_night(client, registered(client, 1), final=None)
    assert "No final test was made of this version." in offer(RECIPE, "dag/run")["card"]


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
    promoted, said = decide(question, answered("Approve"), "dag/run")
    assert promoted
    assert said.startswith("tiny version 1 is the champion now")
    assert decide(question, answered("Approve"), "dag/run")[1].endswith("nothing changed")
    (row,) = audit.rows_of(client, PRODUCTION)
    assert (row.action, row.who, row.why) == ("promote", "ann", "approved")
    assert set(row.evidence) >= {"gate", "evaluate", "challenge", "digest", "Report", "run"}
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
        assert decide(question, answer, "dag/run") == (False, f"tiny version 1 was not promoted: {why}")
    assert aliased(client, PRODUCTION, CHAMPION) is None
    (row,) = audit.rows_of(client, PRODUCTION)
    assert (row.action, row.who, row.why, row.after) == ("refuse", who, why, None)


def test_a_superseded_candidate_is_not_promoted(client: MlflowClient) -> None:
    """A yes to a card whose version is not the candidate any more is audited as refused, and says why."""
    question = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))
    registered(client, 2)
    promoted, said = decide(question, answered("Approve"), "dag/run")
    assert not promoted
    assert said == "tiny version 1 was not promoted: tiny version 1 was superseded by version 2; look at that one"
    assert [row.action for row in audit.rows_of(client, PRODUCTION)] == ["refuse"]


def second(client: MlflowClient, challenge: dict[str, Any]) -> None:
    """Put a first version into production, and register a second that was measured against it."""
    registered(client, 1)
    promote(MODEL, Decision("ann", "the first"))
    with_night(client, registered(client, 2), challenge)


def test_the_card_compares_with_the_champion(client: MlflowClient) -> None:
    """Where something is in production the card has the difference with its interval, the churn, bytes and time."""
    second(client, against(0.003, fewer=1.4))
    text = offer(RECIPE, "dag/run")["card"]
    assert "| against version 1 of production, gate |" in text
    assert "| quality, points | +1.30 (+0.30 to +2.30) |" in text
    assert "| answers that change (churn) | 2.00 % |" in text
    assert "| better, beyond doubt | quality, bytes |" in text


def test_a_candidate_that_is_better_on_nothing_is_not_offered(client: MlflowClient) -> None:
    """It stays registered and nobody is asked, unless somebody names it."""
    second(client, against(-0.001))
    with pytest.raises(
        Settled, match=r"^tiny version 2 is kept and not offered: on nothing is it better than version 1$"
    ):
        offer(RECIPE, "dag/run")
    assert offer(RECIPE, "dag/run", "2")["version"] == "2"


@pytest.mark.parametrize(("churn", "yes"), [(0.02, True), (0.03, True), (0.031, False)])
def test_the_policy_says_yes_only_within_its_churn(client: MlflowClient, churn: float, *, yes: bool) -> None:
    """`auto` approves where every check is PASS and no more answers change than allowed, and says so in the audit."""
    recipe = RECIPE.model_copy(update={"promotion": Promotion(policy="auto", most_churn=0.03)})
    second(client, against(0.003, churn=churn))
    question = offer(recipe, "dag/run")
    assert question["approved"].startswith("policy auto: every check is PASS") == yes
    assert offer(RECIPE, "dag/run")["approved"] == ""
    if yes:
        decide(question, answered("Approve", "the recipe's policy"), "dag/run")
        row = audit.rows_of(client, PRODUCTION)[-1]
        assert (row.who, row.why) == ("the recipe's policy", question["approved"])


def test_the_policy_does_not_decide_what_has_no_champion(client: MlflowClient) -> None:
    """The first version of a production model is always a person's decision."""
    recipe = RECIPE.model_copy(update={"promotion": Promotion(policy="auto")})
    assert offer(recipe, "dag/run", with_night(client, registered(client, 1)))["approved"] == ""


def test_a_registry_that_is_away_is_no_refusal(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A yes during which MLflow went away is not audited as a no: deciding again finishes it, superseded or not."""
    question = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))
    with monkeypatch.context() as away:
        away.setattr(audit, "append", refused_by_the_server)
        with pytest.raises(ServiceError, match=r"^MLflow refused \(it is away\); look at its log and do it again$"):
            decide(question, answered("Approve"), "dag/run")
    registered(client, 2)
    assert decide(question, answered("Approve"), "dag/run")[1].endswith("is the champion already; nothing changed")
    assert [(row.action, row.after) for row in audit.rows_of(client, PRODUCTION)] == [("promote", "1")]


def refused_by_the_server(*_: object) -> None:
    msg = "it is away"
    raise MlflowException(msg)
