"""Emoji in many drawing styles, with their names in many languages, from npm packages pinned by SHA-256.

Each source split is one style, so that whole styles can be kept out of training. `tasks.data.store.build_data` decides
which dataset split a style belongs to.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.tasks.data.format.dataset import Caption
from stillhouse.tasks.data.sources.drawing import SIDE, IconSet, draw, notice_of
from stillhouse.tasks.data.sources.emoji_names import Entry, by_code_point, by_name, concepts_of, list_known_names
from stillhouse.tasks.data.sources.npm import Package, download, read_files, read_json
from stillhouse.tasks.data.sources.order import rank
from stillhouse.tasks.data.sources.small import Source, Split

DRAWINGS: Mapping[str, Package] = {
    style: Package(f"@iconify-json/{style}@{version}", sha256)
    for style, version, sha256 in (
        ("noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
        ("noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"),
        ("emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"),
        ("emojione-v1", "1.2.3", "6641d59d48a42823fdc2b84e7427e9f302944eb98d2c7d94d6e67c139e7b37b3"),
        ("fluent-emoji", "1.2.7", "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b"),
        ("fluent-emoji-flat", "1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"),
        ("fxemoji", "1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef"),
        ("twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"),
        ("openmoji", "1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5"),
    )
}
EMOJIBASE = Package("emojibase-data@17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a")
EMOJIBASE_LICENCE = "MIT"
LANGUAGES = (
    "bn", "da", "de", "en", "es", "et", "fi", "fr", "hi", "hu", "it", "ja", "ko", "lt", "ms", "nb", "nl", "pl", "pt",
    "ru", "sv", "th", "uk", "vi", "zh", "zh-hant",
)  # fmt: skip
"""All languages of Emojibase except en-gb and es-mx, which repeat most of en and es."""

Drawn = Mapping[str, NDArray[np.uint8]]
"""Concept -> pixels_CHW."""


@dataclass(frozen=True)
class Choice:
    """Selects the emoji that become a dataset's labels, and their styles and languages."""

    name: str
    styles: tuple[str, ...]
    all_of: tuple[str, ...]
    """Each of these styles must have a drawing of every label."""
    any_of: tuple[str, ...]
    """At least one of these styles must have a drawing of every label."""
    languages: tuple[str, ...]
    """Must include English: its labels name the drawings of a set without code points."""
    labels: int | None
    """Number of labels, or `None` for all."""


def read_emoji(choice: Choice, progress: Callable[[str], None]) -> Source:
    """Fetch, match and draw the selected emoji.

    Raises:
        DataError: npm is missing or fails, or a package has the wrong bytes.
    """
    packages = [EMOJIBASE, *(DRAWINGS[style] for style in choice.styles)]
    progress(f"{choice.name}: fetching {len(packages)} packages with npm")
    emojibase, *tarballs = download(packages)
    sets = dict(zip(choice.styles, tarballs, strict=True))
    words = _words(emojibase, choice.languages)
    documents = _documents(sets, words["en"])
    candidates = _first(_eligible(words["en"], documents, choice), choice.labels)
    drawings = {style: _draw_all(f"{choice.name}: {style}", candidates, documents[style], progress) for style in sets}
    labels = _eligible(candidates, drawings, choice)
    licences, notice = _licences(sets, emojibase)
    return Source(
        licence=" AND ".join(licences),
        licence_text=notice,
        digests={package.spec: package.sha256 for package in packages},
        value_range=(0, 255),
        labels=tuple(labels),
        splits={style: _split(labels, drawn) for style, drawn in drawings.items()},
        captions=_captions(labels, words),
        languages=choice.languages,
    )


def _words(emojibase: bytes, languages: Sequence[str]) -> dict[str, dict[str, Entry]]:
    """Return language -> concept -> entry."""
    files = read_files(emojibase, [f"{language}/data.json" for language in languages])
    return {language: concepts_of(json.loads(files[f"{language}/data.json"])) for language in languages}


def _documents(sets: Mapping[str, bytes], concepts: Mapping[str, Entry]) -> dict[str, dict[str, str]]:
    """Return style -> concept -> SVG document."""
    codes = {style: read_json(tarball, "chars.json") for style, tarball in sets.items()}
    known = list_known_names(list(codes.values()), concepts)
    documents = {}
    for style, tarball in sets.items():
        icons = IconSet(read_json(tarball, "icons.json"))
        found = by_code_point(codes[style], concepts) if codes[style] else by_name(icons.names, known)
        documents[style] = {concept: icons.svg(name) for concept, name in found.items()}
    return documents


def _eligible(concepts: Collection[str], drawings: Mapping[str, Collection[str]], choice: Choice) -> list[str]:
    """Select the concepts that have drawings in enough styles to be a label."""
    return [
        concept
        for concept in concepts
        if all(concept in drawings[style] for style in choice.all_of)
        and any(concept in drawings[style] for style in choice.any_of)
    ]


def _first(concepts: Sequence[str], count: int | None) -> list[str]:
    """Select the first `count` concepts by rank, in Emojibase's order."""
    chosen = set(sorted(concepts, key=rank)[:count])
    return [concept for concept in concepts if concept in chosen]


def _draw_all(
    what: str, concepts: Sequence[str], documents: Mapping[str, str], progress: Callable[[str], None]
) -> dict[str, NDArray[np.uint8]]:
    """Draw a style's version of some concepts.

    If several concepts share one drawing, only the first keeps it, because the drawing cannot tell them apart. Shows
    the number of drawings, the number of repeated ones, and the names of those that the renderer refuses.
    """
    drawn: dict[bytes, tuple[str, NDArray[np.uint8]]] = {}
    refused: list[str] = []
    wanted = [concept for concept in concepts if concept in documents]
    for concept in wanted:
        try:
            pixels_CHW = draw(documents[concept])
        except ValueError as error:
            refused.append(f"; {concept} cannot be rendered ({error})")
        else:
            drawn.setdefault(pixels_CHW.tobytes(), (concept, pixels_CHW))
    repeated = len(wanted) - len(drawn) - len(refused)
    progress(f"{what}: {len(drawn):,} drawings, {repeated} more repeat one of them{''.join(refused)}")
    return dict(drawn.values())


def _split(labels: Sequence[str], drawn: Drawn) -> Split:
    indices = [index for index, concept in enumerate(labels) if concept in drawn]
    return Split(np.stack([drawn[labels[index]] for index in indices]), np.array(indices, np.int64))


def _captions(labels: Sequence[str], words: Mapping[str, Mapping[str, Entry]]) -> list[Caption]:
    return [
        Caption(index, language, entries[concept]["label"], entries[concept]["tags"])
        for index, concept in enumerate(labels)
        for language, entries in words.items()
    ]


def _licences(sets: Mapping[str, bytes], emojibase: bytes) -> tuple[list[str], bytes]:
    """Return the SPDX names of all licences, and the text that assigns them to their packages."""
    infos = {style: read_json(tarball, "info.json") for style, tarball in sets.items()}
    changed = f"rendered as {SIDE} x {SIDE} pixels on white"
    notices = [notice_of(info, DRAWINGS[style], changed) for style, info in infos.items()]
    words = f"Names and tags: {EMOJIBASE.spec}, {EMOJIBASE_LICENCE}\n\n".encode()
    text = "\n".join(notices).encode() + b"\n" + words + read_files(emojibase, ["LICENSE"])["LICENSE"]
    return sorted({EMOJIBASE_LICENCE, *(info["license"]["spdx"] for info in infos.values())}), text
