"""The policy `auto`: does the evidence show that a candidate is at least as good as the champion, or is a person asked?

The question is non-inferiority: the lower end of the interval of the difference to the champion must lie above minus a
margin of the recipe, for the gate role as a whole and for its worst class or language.
"""

from collections.abc import Iterator

from stillhouse.models.evaluation.schema import Measured
from stillhouse.tasks.judging.challenge import Challenge
from stillhouse.tasks.provenance.evidence import Evidence
from stillhouse.tasks.recipe.judging import Promotion
from stillhouse.tasks.reporting.quantities import percent, percent_limit, points


def doubts(policy: Promotion, evidence: Evidence, champion: str | None) -> list[str]:
    """Say why a person must decide; nothing if the policy may say yes by itself.

    Args:
        policy: of the recipe.
        evidence: what the candidate's night left.
        champion: version that is in production now.
    """
    challenge = evidence.challenge
    verdicts = {check["name"]: check["verdict"] for check in evidence.gate["checks"]}
    found = [f"{name} is {verdict}" for name, verdict in verdicts.items() if verdict != "PASS"]
    if challenge.measured is None:
        return [*found, "no champion was measured beside it"]
    if challenge.champion != champion:
        found.append(f"it was measured beside version {challenge.champion}, and version {champion} is in production")
    return [*found, *_losses(policy, challenge.measured), *_slice_loss(policy, challenge), *_balance(challenge)]


def _losses(policy: Promotion, measured: Measured) -> Iterator[str]:
    churn, lowest = measured.paired.churn, measured.paired.difference.interval[0]
    if churn > policy.most_churn:
        yield f"{percent(churn)} of the answers change where {percent_limit(policy.most_churn)} may"
    if lowest <= -policy.max_quality_drop:
        yield f"quality may change by {points(lowest)} points where {_margin(policy.max_quality_drop)} is allowed"


def _slice_loss(policy: Promotion, challenge: Challenge) -> Iterator[str]:
    worst = challenge.worst_slice()
    if worst is None:
        yield "no class or language was compared with the champion"
    elif (lowest := worst[1].interval[0]) <= -policy.max_slice_drop:
        allowed = _margin(policy.max_slice_drop)
        yield f"quality of {worst[0]} may change by {points(lowest)} points where {allowed} is allowed"


def _balance(challenge: Challenge) -> Iterator[str]:
    if worse := challenge.worse():
        yield f"it is worse on {', '.join(worse)}"
    if not challenge.better():
        yield "it is clearly better on nothing"


def _margin(drop: float) -> str:
    return f"less than {points(-drop)}"
