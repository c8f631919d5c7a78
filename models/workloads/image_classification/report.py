"""Image classification in the report: what all workloads tell is enough."""

from stillhouse.models.workloads.report_base import Report


class ImageClassification:
    """Has no section of its own."""

    slices = "classes"

    def section(self, *_: object) -> None:
        """Tell nothing more."""


REPORT: Report = ImageClassification()
