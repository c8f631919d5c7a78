"""The result of a nightly run as text for a terminal. Pure functions: a summary in, lines out."""

from collections.abc import Mapping, Sequence
from typing import Any


def verdict_table(summary: Mapping[str, Any]) -> str:
    """Return the table of checks with their verdicts, then teacher beside student, from a summary.json."""
    checks = [("check", "value", "limit", "verdict", "")]
    checks += [_check(check) for check in summary["checks"]]
    parts = [f"verdict: {summary['verdict']}", _columns(checks)]
    if summary["teacher"] and summary["student"] and summary["ratios"]:
        parts.append(_columns(_models(summary)))
    if summary.get("difference"):
        parts.append(_difference(summary["difference"]))
    if summary.get("final_test"):
        parts.append(_final_test(summary["final_test"]))
    return "\n\n".join(parts)


def _check(check: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    return check["name"], _number(check["value"]), _number(check["limit"]), check["verdict"], check["reason"]


def _models(summary: Mapping[str, Any]) -> list[tuple[str, ...]]:
    kinds = (("quality", "quality"), ("bytes", "bytes"), ("latency_ms", "latency"))
    rows: list[tuple[str, ...]] = [("", "teacher", "student", "ratio")]
    for name, ratio in kinds:
        measured = (summary["teacher"], name), (summary["student"], name), (summary["ratios"], ratio)
        rows.append((name, *(_with_interval(part[key], part[f"{key}_interval"]) for part, key in measured)))
    return rows


def _difference(difference: Mapping[str, Any]) -> str:
    value, low, high = (100 * share for share in (difference["value"], *difference["interval"]))
    teacher_only, student_only = difference["discordant"]
    return (
        f"student - teacher: {value:+z.2f} points ({low:+z.2f} to {high:+z.2f}) on the gate split; only the teacher "
        f"is right on {teacher_only:,}, only the student on {student_only:,} (McNemar p {difference['mcnemar_p']:.2g})"
    )


def _final_test(found: Mapping[str, Any]) -> str:
    names = ("student", "teacher", "ratio")
    student, teacher, ratio = (_with_interval(found[name], found[f"{name}_interval"]) for name in names)
    return f"on the test split, which decides nothing: teacher {teacher}, student {student}, ratio {ratio}"


def _with_interval(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return _number(value) if low == high else f"{_number(value)} ({_number(low)} - {_number(high)})"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
