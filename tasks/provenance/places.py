"""Where a version's provenance record is: the tag with its digest, and its path among the nightly run's artifacts.

Versions that were registered until commit 30cef8a have other names. Their records are read, and signed again, where
they are.
"""

from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion

from stillhouse.tasks.tracking.tags import PREFIX


@dataclass(frozen=True)
class Place:
    """The names of one provenance record."""

    tag: str
    """Tag of the version: the record's digest."""
    path: str
    """Artifact of the nightly run: the record."""


RECORD = Place(f"{PREFIX}provenance", "provenance/record.json")
OLD_RECORD = Place(f"{PREFIX}passport", "passport/passport.json")
CARD = "provenance/model_card.md"


def place_of(version: ModelVersion) -> Place:
    """Return the place of a version's provenance record."""
    return OLD_RECORD if OLD_RECORD.tag in version.tags and RECORD.tag not in version.tags else RECORD
