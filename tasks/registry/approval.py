"""Ask once whether a candidate goes to production. A person or the recipe's policy answers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlflow.tracking import MlflowClient

from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.provenance.evidence import Evidence, evidence_of
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.card import card
from stillhouse.tasks.registry.policy import doubts
from stillhouse.tasks.registry.promote import Decision, promote, refuse
from stillhouse.tasks.registry.versions import (
    CANDIDATE,
    CHAMPION,
    find_aliased,
    is_champion,
    production_of,
    version_of,
    with_alias,
)
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.answers import answering
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.tags import PREFIX

ASKED = f"{PREFIX}asked_by"
APPROVE = "Approve"
REMEDY = "run a nightly that passes, or name a version"


@dataclass(frozen=True)
class Offer:
    """The approval question, in the small form that tasks pass to each other."""

    model: str
    version: str
    card: str
    approved: str
    """Reason why the policy approves without a person. If it is empty, a person is asked."""
    evidence: Mapping[str, str]
    champion: str | None = None
    """Production version at the time of the question."""


class Settled(Exception):  # noqa: N818 - an outcome, not an error
    """Raised, with the reason, if there is nothing to ask.

    If a person names a version that was offered before or is not better, the question is asked again.
    """


def offer(recipe: Recipe, asker: str, version: str | None = None) -> dict[str, Any]:
    """Assemble the question for a candidate.

    Args:
        recipe: the candidate's recipe.
        asker: name of the run that asks. The same run may ask again. Another run may ask again only if it names the
            version.
        version: a version of the recipe's model; `None` means the candidate.

    Raises:
        Settled: the version is in production already; or, if no version is named, another run has offered it already or
            it is not better than the champion.
        StillhouseError: there is no candidate, or its nightly run is incomplete.
        ServiceError: MLflow does not answer.
    """
    settings = load_settings()
    client = connect(settings.tracking_uri)
    with answering():
        return _offer(client, settings, recipe, asker, version)


def _offer(client: MlflowClient, settings: Settings, recipe: Recipe, asker: str, version: str | None) -> dict[str, Any]:
    chosen = version_of(client, recipe.name, version) if version else with_alias(client, recipe.name, CANDIDATE, REMEDY)
    name = f"{recipe.name} version {chosen.version}"
    if version is None and (other := chosen.tags.get(ASKED, asker)) != asker:
        msg = f"{name} was offered already, by {other}"
        raise Settled(msg)
    if is_champion(client, recipe.name, chosen):
        msg = f"{name} is in production already"
        raise Settled(msg)
    evidence = evidence_of(client, chosen, settings.tracking_uri)
    champion = find_aliased(client, production_of(recipe.name), CHAMPION)
    if version is None and _no_better(evidence, champion):
        msg = f"{name} is kept and not offered: on nothing is it clearly better than version {champion}"
        raise Settled(msg)
    client.set_model_version_tag(recipe.name, chosen.version, ASKED, asker)
    links = {**evidence.links, **evidence.digests, "run": asker}
    approved, note = _by_policy(recipe, evidence, champion)
    text = f"{card(evidence)}\n\n{note}" if note else card(evidence)
    return asdict(Offer(recipe.name, evidence.version, text, approved, links, champion))


def _by_policy(recipe: Recipe, evidence: Evidence, champion: str | None) -> tuple[str, str]:
    """Return the policy's reason for approval (or an empty string), and the card's note on why a person is asked."""
    measured_beside = evidence.comparison.champion
    if recipe.promotion.policy == "manual":
        stale = champion != measured_beside
        return "", f"**Version {champion} is in production now**, not version {measured_beside}." if stale else ""
    if found := doubts(recipe.promotion, evidence, champion):
        return "", f"The policy `auto` asks a person: {'; '.join(found)}."
    return f"policy auto: every check is PASS, and no class or language is inferior to version {champion}", ""


def _no_better(evidence: Evidence, champion: str | None) -> bool:
    """Tell whether a candidate was compared with the current champion and is clearly better on no measure."""
    comparison = evidence.comparison
    return comparison.measured is not None and comparison.champion == champion and not comparison.better()


def decide(question: Mapping[str, Any], answer: Mapping[str, Any], deed: str) -> tuple[bool, str]:
    """Carry out the answer and audit it. Without a clear yes nothing is promoted.

    Args:
        question: an `Offer`.
        answer: the result of Airflow's approval, with `chosen_options` and `responded_by_user`.
        deed: id of this decision, so that a retry does not audit it twice.

    Returns:
        Whether the version was promoted, and one sentence about the outcome.

    Raises:
        ServiceError: MLflow does not answer. If `decide` is called again, it continues where it stopped.
    """
    asked = Offer(**question)
    who = _who(answer)
    yes = list(answer.get("chosen_options") or []) == [APPROVE] and who is not None
    if not yes:
        why = "refused" if who else "nobody answered in time"
        return False, refuse(asked.model, asked.version, Decision(who or "nobody", why, asked.evidence), deed)
    decision = Decision(str(who), asked.approved or "approved", asked.evidence)
    try:
        over = asked.champion if asked.approved else None
        return True, promote(asked.model, decision, asked.version, newest=True, over=over)
    except ServiceError:
        raise  # The retry finishes the noted promotion, so it must not be audited as refused.
    except StillhouseError as error:
        return False, refuse(asked.model, asked.version, Decision(str(who), str(error), asked.evidence), deed)


def _who(answer: Mapping[str, Any]) -> str | None:
    user = answer.get("responded_by_user")
    name = user.get("name") or user.get("id") if isinstance(user, Mapping) else user
    return str(name) if name else None


def audit_lines(model: str) -> list[str]:
    """Return the history of a production model as lines, oldest first."""
    client = connect(load_settings().tracking_uri)
    with answering():
        rows = audit.rows_of(client, production_of(model))
    return [
        f"{row.number:4}  {row.at}  {row.action:8}  {row.before or '-'} -> {row.after or '-'}  {row.who}: {row.why}"
        for row in rows
    ]
