"""The file layout of Tux Paint's stamps: a stamp's picture, captions and recordings share a name in a category tree.

This module reads names and captions. `tasks.data.sources.stamps` selects the stamps.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ENGLISH = "en"
DRAWINGS = (".png", ".svg")
"""If a picture exists as both, the PNG is used, because its pixels do not depend on a renderer."""
CAPTIONS = ".txt"
SPOKEN = re.compile(r"(?P<name>.+)_desc_(?P<language>[^.]+)\.ogg")
"""Matches the recording of a caption, such as `duck_desc_fr.ogg`. (`duck.ogg` is the sound of a duck.)"""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Stamp:
    """One stamp. Its file paths are relative to the stamps' folder."""

    name: str
    """Path without the file ending, such as `animals/birds/duck`."""
    drawing: str
    captions: Mapping[str, str]
    """Language -> sentence."""
    recordings: Mapping[str, str]
    """Language -> file with the spoken sentence. Only languages with a sentence are present."""


def stamps_among(folder: Path, names: Iterable[str]) -> Iterator[Stamp]:
    """Find the stamps of a folder that have a picture and an English caption, sorted by name.

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
    """Return language -> sentence. The first line is English; lines such as `fr.utf8=Un canard.` may follow."""
    english, *others = text.split("\n")
    named = {ENGLISH: english} | dict(line.split(".utf8=", 1) for line in others if ".utf8=" in line)
    cleaned = {language: CONTROL.sub("", sentence).strip() for language, sentence in named.items()}
    return {language: sentence for language, sentence in cleaned.items() if sentence}


def categories_of(name: str) -> list[str]:
    """Return the folders of a stamp, one word each: `animals/birds/duck` gives `animals` and `birds`."""
    return [category.replace("_", " ") for category in PurePosixPath(name).parent.parts]


def _recordings_among(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return stamp -> language -> file, in the order of languages."""
    spoken: dict[str, dict[str, str]] = {}
    for file in sorted(names):
        if match := SPOKEN.fullmatch(file):
            spoken.setdefault(match["name"], {})[match["language"]] = file
    return spoken
