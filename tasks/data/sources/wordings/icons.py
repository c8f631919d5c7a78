"""Sentences that ask for an icon by its concept and its style. No sentence of a split is in another split."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "train": (
        "{style} {noun}", "{noun}, {style} style", "a {style} icon of {noun}", "{noun} icon, {style}",
        "draw {noun} in {style}", "{style}: {noun}", "an icon that shows {noun}, {style}", "{noun}, drawn {style}",
        "i want a {style} {noun}", "please draw {noun}, {style}", "show me {noun}, {style}", "{noun} ({style})",
        "give me {style} {noun}", "the {style} {noun}", "one {noun} icon in the {style} style", "{style} {noun} here",
        "a small {style} {noun} for my page", "can you draw a {style} {noun}?", "let it be {noun}, {style}",
        "a white {style} {noun} on black", "something with {noun}, {style}", "{noun} in the {style} manner",
        "this is {noun}, {style}", "look for a {style} {noun}", "my site has a {style} {noun}", "use {style} {noun}",
        "{style} version of {noun}", "a nice {noun}, {style}", "a clean {style} drawing: {noun}", "any {style} {noun}",
        "create {noun}, {style}", "put {noun} into the corner, {style}", "a tiny {noun} with {style} strokes",
        "{noun} for an interface, {style}", "the shape is {noun}, the style {style}", "add a {style} {noun} entry",
        "only {noun}, {style}", "large {noun}, {style}", "graphic {noun}, {style}", "{noun}, and {style}",
    ),
    "calibration": ("a pictogram of {noun}, {style}",),
    "validation": ("a {style} pictogram: {noun}",),
    "gate": ("{noun} as a {style} symbol", "we need a {style} {noun} sign"),
    "test": ("please make a {style} glyph of {noun}", "{noun} for a {style} toolbar"),
}  # fmt: skip
"""Split -> its sentences. All splits share the concepts and the styles."""
FILLERS = (
    "about", "after", "again", "also", "analyst", "anything", "around", "artist", "asks", "author", "behind",
    "beside", "best", "better", "bright", "caption", "casual", "certain", "chapter", "children", "choose",
    "classic", "common", "cool", "created", "customers", "designed", "different", "doctors", "document", "easy",
    "evening", "every", "everyone", "exact", "example", "fancy", "final", "find", "following", "formal",
    "friendly", "good", "header", "headline", "her", "just", "last", "like", "lovely", "made", "many", "maybe",
    "minimal", "modern", "morning", "never", "new", "next", "nobody", "often", "old", "only", "our", "painted",
    "people", "perhaps", "placed", "prefer", "pretty", "previous", "product", "project", "quick", "quickly",
    "rare", "readers", "required", "retro", "rough", "same", "serious", "several", "shown", "smooth", "soft",
    "some", "special", "story", "teachers", "their", "tidy", "today", "tomorrow", "usual", "very", "visitors",
    "warm", "website", "with", "your",
)  # fmt: skip
"""Words that say nothing about an icon. Training sentences have them, so that an encoder learns to pass over words."""
LONGEST = 90
"""Most characters of a sentence with fillers. A longer one stays as it is."""
MOST_FILLERS, SPARSE, DROPPED = 3, 0.3, 0.4
"""Fillers of a training sentence; share of the sentences that lose words; share of their words that are lost."""
EACH = 8
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
    plain = [sentence.format(noun=noun, style=style) for sentence in chosen]
    if split != "train":
        yield from plain
        return
    random, said = Random(f"{noun}, {style}"), {*plain}  # noqa: S311 - no secret
    for sentence, text in zip(chosen, plain, strict=True):
        varied = vary(sentence, random).format(noun=noun, style=style)
        new = varied not in said and len(varied) <= LONGEST
        said.add(varied)
        yield varied if new else text


def vary(sentence: str, random: Random) -> str:
    """Put fillers into a sentence, and leave out some of its words. The noun and the style stay."""
    words = sentence.split(" ")
    if random.random() < SPARSE:
        words = [word for word in words if "{" in word or random.random() >= DROPPED]
    for _ in range(random.randint(0, MOST_FILLERS)):
        words.insert(random.randint(0, len(words)), random.choice(FILLERS))
    return " ".join(words)
