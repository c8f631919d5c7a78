"""Report interface of a workload: one section of the report, with its own template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.registry import resolve


@dataclass(frozen=True)
class Section:
    """A section of the report."""

    title: str
    template: Path
    """Jinja template for the content of the section. All values are escaped. It has the filters of `report.html`."""
    values: Mapping[str, Any]
    """Values for the template."""


class Report(Protocol):
    """Report of a workload."""

    @property
    def slices(self) -> str:
        """Return the plural name of the slices, such as `classes`."""

    def section(
        self,
        details: Mapping[str, Any],
        comparisons: Mapping[str, Any],
        tested: Mapping[str, Any] | None,
        data: Path | None,
    ) -> Section | None:
        """Return the section with the workload's own results, or None if there are none.

        Args:
            details: output of `Runtime.details`, read back.
            comparisons: output of `Runtime.comparisons`, each with `value` and `interval`.
            tested: output of `Runtime.test_details`. None if the test split was not opened.
            data: the materialised dataset. None if this machine does not have it.

        Raises:
            ValueError: the details do not have the workload's form.
        """

    def answer_queries(self, bundle: Bundle, data: Path, queries: Sequence[str], cache: Path) -> str:
        """Return a model's answers to a user's own queries, as the content of an HTML page. All texts are escaped.

        Args:
            bundle: the model's bundle.
            data: a materialised dataset.
            queries: the user's queries, such as sentences or file paths.
            cache: cache folder of this model and this dataset.

        Raises:
            ModelError: a query cannot be answered. The message gives the reason.
        """


@runtime_checkable
class Makes(Protocol):
    """The optional part of a report whose model makes files, such as pictures, from noise."""

    def make_files(self, bundle: Bundle, queries: Sequence[str], seed: int) -> list[tuple[str, bytes]]:
        """Return the ending and the content of a file for each query.

        Args:
            bundle: the model's bundle.
            queries: the user's queries.
            seed: seed of the noise.

        Raises:
            ModelError: a query cannot be answered, or the seed is out of range.
        """


def report_of(workload: str) -> Report:
    """Import the report module of a workload.

    Raises:
        ModelError: there is no such workload.
    """
    face: Report = resolve(workload, "report")
    return face
