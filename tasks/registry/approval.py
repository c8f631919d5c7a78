"""The question whether a candidate goes to production: asked once, answered by a person or by the recipe's policy."""

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
    aliased,
    is_champion,
    production_of,
    version_of,
    with_alias,
)
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.answers import answering
from stillhouse.tasks.tracking.runs import PREFIX, connect

ASKED = f"{PREFIX}asked_by"
APPROVE = "Approve"
REMEDY = "run a nightly that passes, or name a version"


@dataclass(frozen=True)
class Offer:
    """A question, as small as it is passed from task to task."""

    model: str
    version: str
    card: str
    approved: str
    """Why the policy says yes without a person; empty: a person is asked."""
    evidence: Mapping[str, str]
    champion: str | None = None
    """Version in production when the question was put."""


class Settled(Exception):  # noqa: N818 - an outcome, not an error
    """There is nothing to ask; says why. Whoever names a version asks all the same."""


def offer(recipe: Recipe, asker: str, version: str | None = None) -> dict[str, Any]:
    """Assemble the question for a candidate.

    Args:
        recipe: whose candidate.
        asker: names the run that asks; the same run may ask again, another only for a version that it names.
        version: of the recipe's model; None: the candidate.

    Raises:
        Settled: it was offered before, or is no better than what is in production.
        StillhouseError: there is no candidate, or its night is not whole.
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
    champion = aliased(client, production_of(recipe.name), CHAMPION)
    if version is None and _no_better(evidence, champion):
        msg = f"{name} is kept and not offered: on nothing is it clearly better than version {champion}"
        raise Settled(msg)
    client.set_model_version_tag(recipe.name, chosen.version, ASKED, asker)
    links = {**evidence.links, **evidence.digests, "run": asker}
    approved, note = _by_policy(recipe, evidence, champion)
    text = f"{card(evidence)}\n\n{note}" if note else card(evidence)
    return asdict(Offer(recipe.name, evidence.version, text, approved, links, champion))


def _by_policy(recipe: Recipe, evidence: Evidence, champion: str | None) -> tuple[str, str]:
    """Give why the policy says yes, or nothing; and what the card says about why a person is asked."""
    measured_beside = evidence.challenge.champion
    if recipe.promotion.policy == "manual":
        stale = champion != measured_beside
        return "", f"**Version {champion} is in production now**, not version {measured_beside}." if stale else ""
    if found := doubts(recipe.promotion, evidence, champion):
        return "", f"The policy `auto` asks a person: {'; '.join(found)}."
    return f"policy auto: every check is PASS, and no class or language is inferior to version {champion}", ""


def _no_better(evidence: Evidence, champion: str | None) -> bool:
    """Whether a candidate was measured beside what is in production now, and is clearly better on nothing."""
    challenge = evidence.challenge
    return challenge.measured is not None and challenge.champion == champion and not challenge.better()


def decide(question: Mapping[str, Any], answer: Mapping[str, Any], deed: str) -> tuple[bool, str]:
    """Do what was answered, and audit it either way; without a clear yes nothing is promoted.

    Args:
        question: an `Offer`.
        answer: what Airflow's approval returned, `chosen_options` and `responded_by_user`.
        deed: names this decision, so that a retry audits it once.

    Returns:
        Whether it was promoted, and one sentence that says what became of it.

    Raises:
        ServiceError: MLflow does not answer; deciding again goes on where it was.
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
        raise  # what was noted is finished by the retry: it must not be called refused
    except StillhouseError as error:
        return False, refuse(asked.model, asked.version, Decision(str(who), str(error), asked.evidence), deed)


def _who(answer: Mapping[str, Any]) -> str | None:
    user = answer.get("responded_by_user")
    name = user.get("name") or user.get("id") if isinstance(user, Mapping) else user
    return str(name) if name else None


def audit_lines(model: str) -> list[str]:
    """Tell a production model's history, oldest first."""
    client = connect(load_settings().tracking_uri)
    with answering():
        rows = audit.rows_of(client, production_of(model))
    return [
        f"{row.number:4}  {row.at}  {row.action:8}  {row.before or '-'} -> {row.after or '-'}  {row.who}: {row.why}"
        for row in rows
    ]
