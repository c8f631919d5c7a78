"""The question whether a candidate goes to production, and every answer to it, on a real MLflow server."""

import itertools
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, against, registered, with_night, with_old_names
from report_samples import LABELS, final_test, passing_run

from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.provenance.verify import verify
from stillhouse.tasks.recipe.judging import Promotion
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.approval import Settled, audit_lines, decide, offer
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import CANDIDATE, CHAMPION, find_aliased, production_of
from stillhouse.tasks.tracking.held_out import note_look

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


def test_the_card_says_how_often_the_test_split_was_opened(client: MlflowClient) -> None:
    """What decided is of the gate split; the test split stands apart, with the looks at each split over all nights."""
    digests = final_test()["opened"]["split_digests"]
    for split in ("test", "gate", "gate", "test", "gate"):
        note_look(client, split, digests[split], {"recipe": "another"})
    text = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))["card"]
    gate, tested = text.index("| on the gate split |"), text.index("| on the test split, which decides nothing |")
    assert "| quality | 93.34 % (92.70 % to 93.96 %) | 92.90 % (92.22 % to 93.52 %) |" in text[gate:tested]
    assert "| quality | 93.12 % (92.62 % to 93.60 %) | 92.51 % (91.98 % to 93.00 %) |" in text[tested:]
    assert "test split was opened twice, the gate split was looked at 3 times and the validation split 0 times." in text


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
    assert set(row.evidence) >= {"gate", "evaluate", "compare_champion", "digest", "Report", "run"}
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
    assert find_aliased(client, PRODUCTION, CHAMPION) is None
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


def second(client: MlflowClient, comparison: dict[str, Any]) -> None:
    """Put a first version into production, and register a second that was measured against it."""
    registered(client, 1)
    promote(MODEL, Decision("ann", "the first"))
    with_night(client, registered(client, 2), comparison)


def test_the_card_compares_with_the_champion(client: MlflowClient) -> None:
    """Where something is in production the card has the difference with its interval, the churn, bytes and time."""
    second(client, against(0.003, fewer=1.4))
    text = offer(RECIPE, "dag/run")["card"]
    assert "| against version 1 of production, gate |" in text
    assert "| quality, points | +1.30 (+0.30 to +2.30) |" in text
    assert "| quality of Shirt, the worst slice, points | +0.00 (-1.00 to +1.00) |" in text
    assert "| answers that change (churn) | 2.00 % |" in text
    assert "| better, beyond doubt | quality, bytes |" in text


def test_a_candidate_that_is_better_on_nothing_is_not_offered(client: MlflowClient) -> None:
    """It stays registered and nobody is asked, unless somebody names it."""
    second(client, against(-0.001))
    with pytest.raises(
        Settled, match=r"^tiny version 2 is kept and not offered: on nothing is it clearly better than version 1$"
    ):
        offer(RECIPE, "dag/run")
    assert offer(RECIPE, "dag/run", "2")["version"] == "2"


AUTO = Promotion(policy="auto", most_churn=0.03)


@pytest.mark.parametrize(
    ("comparison", "reason"),
    [
        (against(0.003), None),
        pytest.param(against(0.003, churn=0.03), None, marks=pytest.mark.long),
        (against(0.003, churn=0.031), "3.10 % of the answers change where 3 % may"),
        (against(-0.009, fewer=2), None),
        (against(-0.011, fewer=2), "quality may change by -1.10 points where less than -1.00 is allowed"),
        pytest.param(against(-0.03, fewer=2), "it is worse on quality", marks=pytest.mark.long),
        pytest.param(against(0.003, slices=(0.2, -0.049)), None, marks=pytest.mark.long),
        (against(0.003, slices=(0.2, -0.051, 0.1)), "quality of Coat may change by -5.10 points where less than -5.00"),
        pytest.param(
            against(0.003, slices=(-1.0,)), "quality of Shirt may change by -100.00 points", marks=pytest.mark.long
        ),
        (against(0.003, slices=()), "no class or language was compared with the champion"),
        pytest.param(against(0.003, fewer=0.9), "it is worse on bytes", marks=pytest.mark.long),
        pytest.param(against(0.003, fast=(0.5, 0.9)), "it is worse on latency", marks=pytest.mark.long),
        (against(0.003, champion="7"), "it was measured beside version 7, and version 1 is in production"),
        pytest.param(against(-0.005, fewer=1.011), None, marks=pytest.mark.long),
        ({"champion": "1", "reason": "of another kind"}, "no champion was measured beside it"),
    ],
)
def test_auto_does_not_promote_a_model_that_may_be_worse(
    client: MlflowClient, comparison: dict[str, Any], reason: str | None
) -> None:
    """`auto` says yes only where quality, of the worst slice too, is surely no worse by more than the margins.

    Else a person is asked, and the card says why.
    """
    second(client, comparison)
    question = offer(RECIPE.model_copy(update={"promotion": AUTO}), "dag/run")
    assert (question["approved"] != "") == (reason is None)
    assert "The policy `auto` asks a person: " in question["card"] or reason is None
    assert (reason or "").replace("-", "\N{MINUS SIGN}") in question["card"]


@pytest.mark.parametrize("gain", [{}, {"fewer": 1.001}, {"fewer": 1.009}, {"fast": (0.999, 1.2)}])
def test_a_gain_of_a_byte_is_no_gain(client: MlflowClient, gain: dict[str, Any]) -> None:
    """Better is an interval clear of no change, or a hundredth of the bytes; less is not offered, nor promoted."""
    second(client, against(-0.001, **gain))
    with pytest.raises(Settled, match="on nothing is it clearly better than version 1"):
        offer(RECIPE, "dag/run")
    named = offer(RECIPE.model_copy(update={"promotion": AUTO}), "dag/run", "2")
    assert named["approved"] == ""
    assert "it is clearly better on nothing" in named["card"]


def test_a_yes_of_the_policy_is_for_the_champion_it_looked_at(client: MlflowClient) -> None:
    """If a person promotes another version in between, the policy's yes is not carried out; a retry finds it done."""
    second(client, against(0.003))
    question = offer(RECIPE.model_copy(update={"promotion": AUTO}), "dag/run")
    promote(MODEL, Decision("ann", "quicker"), "2")
    assert decide(question, answered("Approve", "the recipe's policy"), "dag/run")[1].endswith("nothing changed")
    registered(client, 3)
    promote(MODEL, Decision("ann", "quicker"), "3")
    client.set_registered_model_alias(MODEL, CANDIDATE, "2")
    promoted, told = decide(question, answered("Approve", "the recipe's policy"), "dag/run")
    assert (promoted, told.partition(": ")[2]) == (
        False,
        "version 3 is in production now, and it was compared with version 1; look at it again",
    )


def test_the_card_names_a_champion_that_came_since(client: MlflowClient) -> None:
    """A comparison with what is no longer in production says so, and does not settle the question."""
    second(client, against(-0.001, champion="7"))
    assert "**Version 1 is in production now**, not version 7." in offer(RECIPE, "dag/run")["card"]


@pytest.mark.parametrize(("churn", "yes"), [(0.02, True), (0.03, True), (0.031, False)])
def test_the_policy_says_yes_only_within_its_churn(client: MlflowClient, churn: float, *, yes: bool) -> None:
    """`auto` approves where every check is PASS and no more answers change than allowed, and says so in the audit."""
    recipe = RECIPE.model_copy(update={"promotion": AUTO})
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


def test_a_version_with_the_old_names_is_offered_and_promoted(client: MlflowClient) -> None:
    """Its evidence and its record are read where older code wrote them, and nothing of it is rewritten."""
    version = with_night(client, registered(client, 1))
    with_old_names(client, version)
    before = client.get_model_version(MODEL, version).tags
    question = offer(RECIPE, "dag/run")
    assert "Nothing is in production yet" in question["card"]
    assert decide(question, answered("Approve"), "dag/run")[0]
    assert all(fault is None for _, fault in verify(PRODUCTION, "1"))
    after = client.get_model_version(MODEL, version).tags
    assert {name: after[name] for name in before} == before


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


@pytest.mark.long
def test_a_hiccup_at_any_call_is_no_refusal(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever call to MLflow fails, a yes is never audited as a no; the last attempt promotes, by one row."""
    question = offer(RECIPE, "dag/run", with_night(client, registered(client, 1)))
    for number in itertools.count(1):
        with monkeypatch.context() as away:
            failed = cut_line(away, number)
            try:
                promoted, told = decide(question, answered("Approve"), "dag/run")
            except ServiceError:
                assert failed == [number]
                continue
        assert (promoted, failed) == (True, []), told
        break
    assert number > 10
    assert [(row.action, row.after) for row in audit.rows_of(client, PRODUCTION)] == [("promote", "1")]


def cut_line(patch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let the n-th request fail, once; gives a list that gets its number when it has.

    `server-info` is not counted: MLflow's client asks it every few minutes, and goes on without an answer.
    """
    send, calls, failed = requests.Session.send, itertools.count(1), []

    def cut(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if "server-info" not in str(request.url) and next(calls) == number:
            failed.append(number)
            msg = "the line was cut"
            raise requests.ConnectionError(msg)
        return send(session, request, **options)

    patch.setattr(requests.Session, "send", cut)
    return failed


def refused_by_the_server(*_: object) -> None:
    msg = "it is away"
    raise MlflowException(msg)
