"""One recording of a source, with what its publisher says is spoken in it."""

from dataclasses import dataclass

from stillhouse.tasks.data.format.layout import UNSEEN_VOICE

UNSEEN = UNSEEN_VOICE
"""In the place of a split: the recording belongs to a voice that no split has."""
TRAIN = "train"


@dataclass(frozen=True)
class Row:
    """One recording with its text, before it is checked."""

    name: str
    """Name of the recording among those of its voice, such as `animals/birds/duck`."""
    audio: bytes
    text: str
    language: str
    voice: str
    group: str
    """Recordings of one group are not independent, so all of them have one split."""
    split: str

    @property
    def id(self) -> str:
        """Voice and name, such as `stamps-fr/animals/birds/duck`."""
        return f"{self.voice}/{self.name}"
