"""Build the datasets of icons: each concept is judged in a weight in which training has not seen it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.data.format.dataset import SPLITS, Example, Prompt, write_dataset
from stillhouse.tasks.data.sources.icons.read_icons import PACKAGES, SIDE, STYLES, WEIGHTS, Icon, Icons, read_icons
from stillhouse.tasks.data.sources.order import rank
from stillhouse.tasks.data.sources.small import Progress
from stillhouse.tasks.data.sources.wordings.icons import sentences_for

HELD_OUT = ("gate", "test", "validation", "calibration")
"""Splits in the order in which they get one weight of a concept each."""


@dataclass(frozen=True)
class IconPlan:
    """How icons become a dataset."""

    concepts: int | None
    """Number of concepts, or `None` for all."""
    few: Mapping[str, int]
    """Split that has icons of only so many concepts -> their number. All concepts are in the other splits."""

    def build(self, folder: Path, name: str, progress: Progress) -> None:
        """Build the dataset into a new folder.

        Raises:
            DataError: a source is missing or altered.
        """
        icons = read_icons(self.concepts, progress)
        whole = {concept: own for concept, own in icons.drawn.items() if len(_weights(own)) > len(HELD_OUT)}
        splits, prompts = self._deal(whole)
        counts = ", ".join(f"{split} {len(examples):,}" for split, examples in splits.items())
        progress(f"{name}: writing {len(whole):,} concepts, {counts}")
        folder.mkdir(parents=True)
        write_dataset(folder, _describe(name, icons, list(whole)), icons.notice, splits, {"prompts": prompts})

    def _deal(self, drawn: Mapping[str, Mapping[str, Icon]]) -> tuple[dict[str, list[Example]], list[Prompt]]:
        """Give each icon to a split, and each icon its sentences. Every split asks for every concept."""
        splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
        prompts: list[Prompt] = []
        places = {concept: place for place, concept in enumerate(sorted(drawn, key=rank))}
        for label, (concept, own) in enumerate(drawn.items()):
            held_out = _held_out(concept, own)
            for style, icon in own.items():
                split = held_out.get(style, "train")
                shown = split if places[concept] < self.few.get(split, len(drawn)) else "train"
                splits[shown].append(Example(f"{style}/{concept}", icon.tobytes(), label))
                for asked in sorted({split, shown}):
                    texts = sentences_for(asked, concept, style, len(splits[shown]))
                    prompts += [Prompt(text, label, asked, style) for text in texts]
        shuffled = {split: sorted(examples, key=lambda example: rank(example.id)) for split, examples in splits.items()}
        return shuffled, prompts


def _held_out(concept: str, own: Mapping[str, Icon]) -> dict[str, str]:
    """Return weight -> the split that judges the concept in this weight."""
    ordered = sorted(_weights(own), key=lambda style: rank(f"{concept}/{style}"))
    return dict(zip(ordered, HELD_OUT, strict=False))


def _weights(own: Mapping[str, Icon]) -> list[str]:
    return [style for style in own if style in WEIGHTS]


def _describe(name: str, icons: Icons, concepts: list[str]) -> dict[str, object]:
    return {
        "name": name,
        "licence": icons.licence,
        "sources": [{"name": package.spec, "sha256": package.sha256} for package in PACKAGES],
        "image_shape": [1, SIDE, SIDE],
        "dtype": "uint8",
        "value_range": [0, 255],
        "labels": concepts,
        "styles": list(STYLES),
    }


ICONS = IconPlan(None, {"validation": 500, "calibration": 200})
ICONS_SMALL = IconPlan(40, {"calibration": 20})
