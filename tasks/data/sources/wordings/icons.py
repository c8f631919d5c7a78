"""Sentences that ask for an icon by its concept and its style. No sentence of a split is in another split."""

from collections.abc import Iterator, Mapping, Sequence

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "train": (
        "{style} {noun}", "{noun}, {style} style", "a {style} icon of {noun}", "{noun} icon, {style}",
        "draw {noun} in {style}", "{style}: {noun}", "an icon that shows {noun}, {style}", "{noun}, drawn {style}",
    ),
    "calibration": ("a pictogram of {noun}, {style}",),
    "validation": ("a {style} pictogram: {noun}",),
    "gate": ("{noun} as a {style} symbol", "we need a {style} {noun} sign"),
    "test": ("please make a {style} glyph of {noun}", "{noun} for a {style} toolbar"),
}  # fmt: skip
"""Split -> its sentences. All splits share the concepts and the styles."""
EACH = 3
"""Training sentences of one icon."""


def sentences_for(split: str, noun: str, style: str, number: int) -> Iterator[str]:
    """Yield the sentences that ask for an icon.

    Args:
        split: the icon's split.
        noun: the concept, in words.
        style: the style, in words.
        number: number of the icon. Each icon of training has the next few sentences.
    """
    own: Sequence[str] = SENTENCES[split]
    chosen = [own[(number * EACH + place) % len(own)] for place in range(min(EACH, len(own)))]
    for sentence in chosen:
        yield sentence.format(noun=noun, style=style)
