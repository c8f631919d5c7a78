"""The policy `auto`: approve a candidate if the evidence shows that it is not worse than the champion.

This is a non-inferiority test. The lower bound of the interval of the difference to the champion must lie above minus a
margin from the recipe. This must hold for the split `gate` as a whole and for its worst class or language. Otherwise a
person decides.
"""

from collections.abc import Iterator

from stillhouse.models.evaluation.schema import Measured
from stillhouse.tasks.judging.champion_comparison import ChampionComparison
from stillhouse.tasks.provenance.evidence import Evidence
from stillhouse.tasks.recipe.judging import Promotion
from stillhouse.tasks.reporting.quantities import percent, percent_limit, points


def doubts(policy: Promotion, evidence: Evidence, champion: str | None) -> list[str]:
    """List the reasons why a person must decide. If the list is empty, the policy approves.

    Args:
        policy: the recipe's policy.
        evidence: the results of the candidate's nightly run.
        champion: the current production version.
    """
    comparison = evidence.comparison
    verdicts = {check["name"]: check["verdict"] for check in evidence.gate["checks"]}
    found = [f"{name} is {verdict}" for name, verdict in verdicts.items() if verdict != "PASS"]
    if comparison.measured is None:
        return [*found, "no champion was measured beside it"]
    if comparison.champion != champion:
        found.append(f"it was measured beside version {comparison.champion}, and version {champion} is in production")
    return [*found, *_losses(policy, comparison.measured), *_slice_loss(policy, comparison), *_balance(comparison)]


def _losses(policy: Promotion, measured: Measured) -> Iterator[str]:
    churn, lowest = measured.paired.churn, measured.paired.difference.interval[0]
    if churn > policy.most_churn:
        yield f"{percent(churn)} of the answers change where {percent_limit(policy.most_churn)} may"
    if lowest <= -policy.max_quality_drop:
        yield f"quality may change by {points(lowest)} points where {_margin(policy.max_quality_drop)} is allowed"


def _slice_loss(policy: Promotion, comparison: ChampionComparison) -> Iterator[str]:
    worst = comparison.worst_slice()
    if worst is None:
        yield "no class or language was compared with the champion"
    elif (lowest := worst[1].interval[0]) <= -policy.max_slice_drop:
        allowed = _margin(policy.max_slice_drop)
        yield f"quality of {worst[0]} may change by {points(lowest)} points where {allowed} is allowed"


def _balance(comparison: ChampionComparison) -> Iterator[str]:
    if worse := comparison.worse():
        yield f"it is worse on {', '.join(worse)}"
    if not comparison.better():
        yield "it is clearly better on nothing"


def _margin(drop: float) -> str:
    return f"less than {points(-drop)}"
