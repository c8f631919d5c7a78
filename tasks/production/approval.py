"""The question whether a candidate goes to production: asked once, answered by a person or by the recipe's policy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tasks.errors import ServiceError, StillhouseError
from tasks.production import audit
from tasks.production.card import card
from tasks.production.evidence import Evidence, evidence_of
from tasks.production.promote import Decision, promote, refuse
from tasks.production.versions import is_champion, production_of, version_of, with_alias
from tasks.recipe import Promotion, Recipe
from tasks.register import CANDIDATE
from tasks.reporting.quantities import percent, percent_limit
from tasks.settings import load_settings
from tasks.tracking import PREFIX, connect

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
    """
    settings = load_settings()
    client = connect(settings.tracking_uri)
    chosen = version_of(client, recipe.name, version) if version else with_alias(client, recipe.name, CANDIDATE, REMEDY)
    name = f"{recipe.name} version {chosen.version}"
    if version is None and (other := chosen.tags.get(ASKED, asker)) != asker:
        msg = f"{name} was offered already, by {other}"
        raise Settled(msg)
    if is_champion(client, recipe.name, chosen):
        msg = f"{name} is in production already"
        raise Settled(msg)
    evidence = evidence_of(client, chosen, settings.tracking_uri)
    if version is None and evidence.challenge.measured is not None and not evidence.challenge.better():
        msg = f"{name} is kept and not offered: on nothing is it better than version {evidence.challenge.champion}"
        raise Settled(msg)
    client.set_model_version_tag(recipe.name, chosen.version, ASKED, asker)
    links = {**evidence.links, **evidence.digests, "run": asker}
    approved = _approved_by_policy(recipe.promotion, evidence)
    return asdict(Offer(recipe.name, evidence.version, card(evidence), approved, links))


def _approved_by_policy(policy: Promotion, evidence: Evidence) -> str:
    """Say why the policy says yes, or nothing: a person is asked where it does not know."""
    found = evidence.challenge.measured
    passed = all(check["verdict"] == "PASS" for check in evidence.gate["checks"])
    if policy.policy == "manual" or found is None or not passed or found.paired.churn > policy.most_churn:
        return ""
    changed, most = percent(found.paired.churn), percent_limit(policy.most_churn)
    return f"policy auto: every check is PASS, and {changed} of the answers change where {most} may"


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
        return True, promote(asked.model, decision, asked.version, newest=True)
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
    return [
        f"{row.number:4}  {row.at}  {row.action:8}  {row.before or '-'} -> {row.after or '-'}  {row.who}: {row.why}"
        for row in audit.rows_of(client, production_of(model))
    ]
