"""The approval card: the summary that a person reads before approving. Pure: evidence in, Markdown out."""

from collections.abc import Iterable, Mapping

from stillhouse.models.evaluation.schema import Estimate, Evaluation
from stillhouse.tasks.judging.champion_comparison import ChampionComparison
from stillhouse.tasks.judging.final_test import FinalTest, describe_looks
from stillhouse.tasks.provenance.evidence import Evidence
from stillhouse.tasks.reporting.markdown import table
from stillhouse.tasks.reporting.quantities import percent, times

WORST = 3
"""Number of slices on the card."""


def card(evidence: Evidence) -> str:
    """Write the card: verdict, numbers, changes for users, the worst slices, and links."""
    evaluation = evidence.evaluation
    parts = [
        f"## {evidence.model} version {evidence.version}: {evidence.gate['verdict']}",
        table(("check", "verdict", "why"), ((c["name"], c["verdict"], c["reason"]) for c in evidence.gate["checks"])),
        table(("on the gate split", "teacher", "student", "ratio"), _numbers(evaluation)),
        _final(evidence.final_test, evidence.looks),
        _against(evidence.comparison),
        _worst(evaluation),
        " · ".join(f"[{what}]({address})" for what, address in evidence.links.items()),
    ]
    return "\n\n".join(part for part in parts if part)


def _numbers(evaluation: Evaluation) -> Iterable[tuple[str, ...]]:
    teacher, student, ratios = evaluation.teacher, evaluation.student, evaluation.ratios
    quality = (_share(teacher.quality.gate), _share(student.quality.gate), _share(ratios.quality.gate))
    yield "quality", *quality
    yield "bytes", f"{teacher.bytes:,}", f"{student.bytes:,}", f"{times(ratios.bytes)} fewer"
    low, high = map(times, ratios.latency.interval)
    milliseconds = (f"{teacher.latency_ms.p10:.4f} ms", f"{student.latency_ms.p10:.4f} ms")
    yield "time, batch 1, one thread", *milliseconds, f"{times(ratios.latency.value)} ({low} to {high})"


def _final(final: FinalTest, looks: Mapping[str, int]) -> str:
    """Show the final test, which does not influence the verdict, and how often the splits were used."""
    found = final.opened
    if found is None:
        return final.skipped or "No final test was made of this version."
    quality = ("quality", _share(found.teacher), _share(found.student), _share(found.ratio))
    shown = table(("on the test split, which decides nothing", "teacher", "student", "ratio"), [quality])
    return f"{shown}\n\n{describe_looks(looks)}"


def _against(comparison: ChampionComparison) -> str:
    """Describe the changes for users of the current champion."""
    found = comparison.measured
    if found is None:
        return comparison.reason or "**Nothing is in production yet**: there is no champion to compare it with."
    low, high = (f"{100 * end:+z.2f}" for end in found.paired.difference.interval)
    fast, slow = map(times, found.latency.interval)
    rows = [
        ("quality, points", f"{100 * found.paired.difference.value:+z.2f} ({low} to {high})"),
        *_worst_against(comparison),
        ("answers that change (churn)", percent(found.paired.churn)),
        ("bytes", f"{times(found.bytes)} fewer"),
        ("time", f"{times(found.latency.value)} ({fast} to {slow}) as fast"),
        ("better, beyond doubt", ", ".join(comparison.better()) or "nothing"),
        ("worse, beyond doubt", ", ".join(comparison.worse()) or "nothing"),
    ]
    return table((f"against version {comparison.champion} of production, gate", ""), rows)


def _worst_against(comparison: ChampionComparison) -> Iterable[tuple[str, str]]:
    worst = comparison.worst_slice()
    if worst is not None:
        low, high = (f"{100 * end:+z.2f}" for end in worst[1].interval)
        yield f"quality of {worst[0]}, the worst slice, points", f"{100 * worst[1].value:+z.2f} ({low} to {high})"


def _share(estimate: Estimate) -> str:
    low, high = map(percent, estimate.interval)
    return f"{percent(estimate.value)} ({low} to {high})"


def _worst(evaluation: Evaluation) -> str:
    """Show the slices with the largest losses against the teacher, if there are any."""
    classes = evaluation.classes
    rows = zip(classes.labels, classes.teacher, classes.student, classes.count, strict=True)
    known = [(label, t, s, count) for label, t, s, count in rows if t is not None and s is not None and s < t]
    worst = sorted(known, key=lambda row: row[2] - row[1])[:WORST]
    cells = (
        (label, percent(t), percent(s), f"{100 * (s - t):+z.1f} points", str(count)) for label, t, s, count in worst
    )
    return table(("worst slices", "teacher", "student", "difference", "examples"), cells) if worst else ""
