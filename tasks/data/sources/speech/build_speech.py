"""Build the datasets of utterances: spoken captions of stamps, prompts of a second voice, and an unseen voice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.tasks.data.format.dataset import SPLITS, Utterance, write_dataset
from stillhouse.tasks.data.sources.small import Progress
from stillhouse.tasks.data.sources.speech.asterisk import ALLISON, JUNE, MAXIM, Voice, read_prompts, rows_of
from stillhouse.tasks.data.sources.speech.row import TRAIN, UNSEEN, Row
from stillhouse.tasks.data.sources.speech.selection import letters_of, select
from stillhouse.tasks.data.sources.speech.spoken_stamps import read_spoken_stamps
from stillhouse.tasks.data.sources.stamps import LICENCE, SAMPLE_RATES, Choice, Chosen, choose_stamps


@dataclass(frozen=True)
class SpeechPlan:
    """How stamps and prompts become a dataset of utterances."""

    choice: Choice
    shares: tuple[tuple[str, float], ...]
    """Split and its share of the stamps. All other stamps are for training."""
    training_voices: tuple[Voice, ...]
    unseen_voice: Voice
    unseen_rows: int | None
    """Number of recordings of the unseen voice, or `None` for all."""

    def build(self, folder: Path, name: str, progress: Progress) -> None:
        """Build the dataset into a new folder.

        Raises:
            DataError: a source is missing or altered.
        """
        stamps = choose_stamps(self.choice, progress)
        prompts = {voice: read_prompts(voice, progress) for voice in (*self.training_voices, self.unseen_voice)}
        rejected: Counter[str] = Counter()
        rows = [*read_spoken_stamps(stamps, self.shares)]
        for voice, its_prompts in prompts.items():
            rows += rows_of(its_prompts, UNSEEN if voice == self.unseen_voice else TRAIN, rejected)
        progress(f"{name}: listening to {len(rows):,} recordings")
        kept = self._limit_unseen(select(rows, rejected))
        _tell(name, kept, rejected, progress)
        folder.mkdir(parents=True)
        about = self._describe(name, stamps, kept) | {"rejected": dict(sorted((+rejected).items()))}
        utterances = _utterances_of(kept, about["labels"])
        notices = dict.fromkeys((stamps.licence_text, *(each.licence_text for each in prompts.values())))
        write_dataset(
            folder,
            about,
            b"\n\n".join(notices),
            {split: utterances.get(split, []) for split in SPLITS},
            {UNSEEN: utterances.get(UNSEEN, [])},
        )

    def _describe(self, name: str, stamps: Chosen, rows: Sequence[Row]) -> dict[str, Any]:
        voices = (*self.training_voices, self.unseen_voice)
        pins = {f"{pin.package} {pin.version}": pin.sha256 for voice in voices for pin in voice.pins}
        return {
            "name": name,
            "licence": " AND ".join(dict.fromkeys((LICENCE, *(voice.licence for voice in voices)))),
            "sources": [{"name": source, "sha256": digest} for source, digest in {**stamps.digests, **pins}.items()],
            "labels": sorted({row.group for row in rows}),
            "languages": list(self.choice.languages),
            "voices": sorted({row.voice for row in rows}),
            "sample_rates": SAMPLE_RATES,
            "transcripts": {"letters": letters_of(rows)},
        }

    def _limit_unseen(self, rows: Sequence[Row]) -> list[Row]:
        unseen = [row for row in rows if row.split == UNSEEN][: self.unseen_rows]
        return [row for row in rows if row.split != UNSEEN] + unseen


STAMPS_SPEECH = SpeechPlan(
    choice=Choice("stamps_speech", ("be", "bg", "ca", "el", "es", "fr", "ro", "ru"), 1, None),
    shares=(("test", 0.10), ("gate", 0.12), ("validation", 0.05), ("calibration", 0.02)),
    training_voices=(JUNE, MAXIM),
    unseen_voice=ALLISON,
    unseen_rows=None,
)
STAMPS_SPEECH_SMALL = SpeechPlan(
    choice=Choice("stamps_speech_small", ("es", "fr"), 2, 60),
    shares=(("test", 0.10), ("gate", 0.20), ("validation", 0.10), ("calibration", 0.05)),
    training_voices=(),
    unseen_voice=ALLISON,
    unseen_rows=12,
)


def _tell(name: str, rows: Sequence[Row], rejected: Counter[str], progress: Progress) -> None:
    counts = Counter(row.split for row in rows)
    reasons = ", ".join(f"{count:,} ({reason})" for reason, count in sorted(rejected.items()) if count)
    progress(f"{name}: left out {reasons or 'nothing'}")
    progress(f"{name}: writing {', '.join(f'{split} {counts[split]:,}' for split in (*SPLITS, UNSEEN))}")


def _utterances_of(rows: Sequence[Row], groups: Sequence[str]) -> dict[str, list[Utterance]]:
    """Return split -> its utterances, in the order of the rows. A label is the place of its group."""
    place = {group: label for label, group in enumerate(groups)}
    utterances: dict[str, list[Utterance]] = {}
    for row in rows:
        utterance = Utterance(row.id, row.audio, row.text, place[row.group], row.language, row.voice)
        utterances.setdefault(row.split, []).append(utterance)
    return utterances
