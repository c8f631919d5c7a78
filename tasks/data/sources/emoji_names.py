"""Match the drawings of an icon set to emoji, by code point if the set has code points, else by name.

A concept is a code point sequence in lower case without the variation selector fe0f, such as `1f600`. This module
handles names only. `tasks.data.sources.drawing` renders the drawings.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COMPONENT = 2
"""Emojibase's group of skin tones and hair, which are parts of emoji and not emoji."""
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"

Entry = Mapping[str, Any]


def concept_of(hexcode: str) -> str:
    """Convert a hexcode into a concept: `2764-FE0F` becomes `2764`."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def concepts_of(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return concept -> its entry, in Emojibase's order.

    Entries without a group (single regional indicators) are left out.
    """
    return {concept_of(entry["hexcode"]): entry for entry in entries if entry.get("group", COMPONENT) != COMPONENT}


def by_code_point(codes: Mapping[str, str], concepts: Mapping[str, Entry]) -> dict[str, str]:
    """Return concept -> icon name, for a set that maps code points to names. The first of two names wins."""
    found: dict[str, str] = {}
    for code, name in codes.items():
        if concept_of(code) in concepts:
            found.setdefault(concept_of(code), name)
    return found


def by_name(names: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Return concept -> icon name, for a set that has only names. The first of two names wins."""
    found: dict[str, str] = {}
    for name in names:
        if name in known:
            found.setdefault(known[name], name)
    return found


def list_known_names(maps: Sequence[Mapping[str, str]], concepts: Mapping[str, Entry]) -> dict[str, str]:
    """Return icon name -> concept from all known names. The first of two meanings wins.

    Args:
        maps: code point -> name of each set with code points.
        concepts: source of further names: first the English labels, such as `grinning-face`, then Unicode's names, such
            as `grinningface`.
    """
    known: dict[str, str] = {}
    for codes in maps:
        for code, name in codes.items():
            if concept_of(code) in concepts:
                known.setdefault(name, concept_of(code))
    for concept, entry in concepts.items():
        known.setdefault(slug(entry["label"]), concept)
    for concept in concepts:
        known.setdefault(_unicode_name(concept), concept)
    return known


def slug(label: str) -> str:
    """Write a label in the style of icon sets: `Piñata: 1st` becomes `pinata-1st`."""
    letters = unicodedata.normalize("NFKD", label.lower())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter) and letter not in APOSTROPHES)
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _unicode_name(concept: str) -> str:
    """Return the Unicode name of a single character in lower-case letters and digits; empty for a sequence."""
    name = "" if "-" in concept else unicodedata.name(chr(int(concept, 16)), "")
    return "".join(letter for letter in name.lower() if letter.isalnum())
