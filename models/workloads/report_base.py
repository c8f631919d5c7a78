"""What a workload adds to the report: one section, laid out by a template of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.registry import resolve


@dataclass(frozen=True)
class Section:
    """A section of the report."""

    title: str
    template: Path
    """Jinja template of the section's inside. All values are escaped; the filters are those of `report.html`."""
    values: Mapping[str, Any]
    """What the template shows."""


class Report(Protocol):
    """A workload for people who read of it."""

    @property
    def slices(self) -> str:
        """Say what the slices are, such as `classes`."""

    def section(
        self,
        details: Mapping[str, Any],
        comparisons: Mapping[str, Any],
        tested: Mapping[str, Any] | None,
        data: Path | None,
    ) -> Section | None:
        """Lay out what only this workload tells; None if that is nothing.

        Args:
            details: what `Runtime.details` gave, read back.
            comparisons: what `Runtime.comparisons` gave, each with `value` and `interval`.
            tested: what `Runtime.test_details` gave; None if the split was not opened.
            data: the materialised dataset; None if this machine does not have it.

        Raises:
            ValueError: the details are not what the workload writes.
        """

    def answer_queries(self, bundle: Bundle, data: Path, queries: Sequence[str], cache: Path) -> str:
        """Lay out a model's answers to a person's own queries, as the inside of an HTML page with all texts escaped.

        Args:
            bundle: of the model.
            data: a materialised dataset.
            queries: what was typed, such as sentences or paths of files.
            cache: folder for what is worth keeping, for this model and this data alone.

        Raises:
            ModelError: a query cannot be answered; says why.
        """


def report_of(workload: str) -> Report:
    """Import a workload's face for the report.

    Raises:
        ModelError: there is no such workload.
    """
    face: Report = resolve(workload, "report")
    return face
