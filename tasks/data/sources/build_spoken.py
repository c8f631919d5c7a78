"""Build the datasets of spoken captions. A caption and its recording get the same split, chosen by their sentence."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stillhouse.tasks.data.format.dataset import Recording, write_dataset
from stillhouse.tasks.data.sources.drawing import SIDE
from stillhouse.tasks.data.sources.order import rank
from stillhouse.tasks.data.sources.pairs import deal
from stillhouse.tasks.data.sources.small import Progress
from stillhouse.tasks.data.sources.stamps import FEWEST, LANGUAGES, LICENCE, SAMPLE_RATES, Choice, Stamps, read_stamps


@dataclass(frozen=True)
class SpokenPlan:
    """How one source becomes a dataset of recordings."""

    read: Callable[[Progress], Stamps]
    shares: tuple[tuple[str, float], ...]
    """Split and its share of the (label, language) pairs. All other pairs go to the training split."""

    def build(self, folder: Path, name: str, progress: Progress) -> None:
        """Build the dataset into a new folder.

        Raises:
            DataError: the source is missing or altered.
        """
        source = self.read(progress)
        sentences = {(caption.label, caption.language): caption.name for caption in source.captions}
        recorded = {(recording.label, recording.language) for recording in source.recordings}
        dealt = deal(sentences, recorded, self.shares)
        splits: dict[str, list[Recording]] = {split: [] for split in (*dict(self.shares), "train")}
        for recording in sorted(source.recordings, key=lambda each: rank(each.id)):
            splits[dealt[recording.label, recording.language]].append(recording)
        progress(f"{name}: writing {', '.join(f'{split} {len(recordings):,}' for split, recordings in splits.items())}")
        captions = [replace(caption, split=dealt[caption.label, caption.language]) for caption in source.captions]
        folder.mkdir(parents=True)
        about = {
            "name": name,
            "licence": LICENCE,
            "sources": [{"name": file, "sha256": digest} for file, digest in source.digests.items()],
            "image_shape": [3, SIDE, SIDE],
            "dtype": "uint8",
            "value_range": [0, 255],
            "labels": list(source.labels),
            "languages": list(source.languages),
            "sample_rates": SAMPLE_RATES,
        }
        write_dataset(folder, about, source.licence_text, splits, {"captions": captions, "gallery": source.gallery})


STAMPS = SpokenPlan(
    partial(read_stamps, Choice("stamps", LANGUAGES, FEWEST, None)),
    (("test", 0.10), ("gate", 0.10), ("validation", 0.04), ("calibration", 0.02)),
)
STAMPS_SMALL = SpokenPlan(
    partial(read_stamps, Choice("stamps_small", ("en", "es", "fr", "ru"), 3, 40)),
    (("test", 0.15), ("gate", 0.20), ("validation", 0.08), ("calibration", 0.06)),
)
