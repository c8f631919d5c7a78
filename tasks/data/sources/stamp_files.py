"""How Tux Paint's stamps are laid out: a picture, its captions and its recordings share a name in a tree of categories.

It reads names and captions; which stamps are wanted is for `tasks.data.sources.stamps`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ENGLISH = "en"
DRAWINGS = (".png", ".svg")
"""A picture that is both is taken as pixels: what its author saw does not hang on a renderer."""
CAPTIONS = ".txt"
SPOKEN = re.compile(r"(?P<name>.+)_desc_(?P<language>[^.]+)\.ogg")
"""`duck_desc_fr.ogg`; `duck.ogg` is what a duck sounds like."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Stamp:
    """One stamp, its files named from the stamps' folder."""

    name: str
    """Its path without ending, such as `animals/birds/duck`."""
    drawing: str
    captions: Mapping[str, str]
    """Language -> sentence."""
    recordings: Mapping[str, str]
    """Language -> a file that says it; only languages with a sentence."""


def stamps_among(folder: Path, names: Iterable[str]) -> Iterator[Stamp]:
    """Find the stamps that have a picture and an English caption among the files of a folder, by name.

    Raises:
        OSError: captions cannot be read.
    """
    known = set(names)
    spoken = _recordings_among(known)
    for name in sorted(each.removesuffix(CAPTIONS) for each in known if each.endswith(CAPTIONS)):
        captions = captions_in((folder / f"{name}{CAPTIONS}").read_text(encoding="utf-8"))
        drawing = next((name + ending for ending in DRAWINGS if name + ending in known), None)
        if drawing and ENGLISH in captions:
            recordings = {language: file for language, file in spoken.get(name, {}).items() if language in captions}
            yield Stamp(name, drawing, captions, recordings)


def captions_in(text: str) -> dict[str, str]:
    """Language -> sentence, English first: it is the first line, and `fr.utf8=Un canard.` may follow."""
    english, *others = text.split("\n")
    named = {ENGLISH: english} | dict(line.split(".utf8=", 1) for line in others if ".utf8=" in line)
    cleaned = {language: CONTROL.sub("", sentence).strip() for language, sentence in named.items()}
    return {language: sentence for language, sentence in cleaned.items() if sentence}


def categories_of(name: str) -> list[str]:
    """Name the folders a stamp is in, a word each: `animals/birds/duck` is `animals` and `birds`."""
    return [category.replace("_", " ") for category in PurePosixPath(name).parent.parts]


def _recordings_among(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Stamp -> language -> file, in the order of languages."""
    spoken: dict[str, dict[str, str]] = {}
    for file in sorted(names):
        if match := SPOKEN.fullmatch(file):
            spoken.setdefault(match["name"], {})[match["language"]] = file
    return spoken
