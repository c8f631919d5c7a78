"""Which drawing of an icon set shows which emoji: by code point where the set says so, else by name.

A concept is a code point sequence in lower case without the variation selector fe0f, such as `1f600`.
It knows names only; drawing is for `tasks.data.sources.drawing`.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COMPONENT = 2
"""Emojibase's group of skin tones and hair: parts of an emoji, not one."""
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"

Entry = Mapping[str, Any]


def concept_of(hexcode: str) -> str:
    """Write a hexcode as a concept: `2764-FE0F` is `2764`."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def concepts_of(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Concept -> its entry, in Emojibase's order; what has no group (a lone regional indicator) is none."""
    return {concept_of(entry["hexcode"]): entry for entry in entries if entry.get("group", COMPONENT) != COMPONENT}


def by_code_point(codes: Mapping[str, str], concepts: Mapping[str, Entry]) -> dict[str, str]:
    """Concept -> icon name, for a set that maps code points to names; of two names the first."""
    found: dict[str, str] = {}
    for code, name in codes.items():
        if concept_of(code) in concepts:
            found.setdefault(concept_of(code), name)
    return found


def by_name(names: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Concept -> icon name, for a set that has names alone; of two names the first."""
    found: dict[str, str] = {}
    for name in names:
        if name in known:
            found.setdefault(known[name], name)
    return found


def known_names(maps: Sequence[Mapping[str, str]], concepts: Mapping[str, Entry]) -> dict[str, str]:
    """Icon name -> concept, from all that is known of names; of two meanings the first.

    Args:
        maps: what the sets with code points call them.
        concepts: their English labels follow, as `grinning-face`, then Unicode's own names, as `grinningface`.
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
    """Write a label as icon sets do: `Piñata: 1st` is `pinata-1st`."""
    letters = unicodedata.normalize("NFKD", label.lower())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter) and letter not in APOSTROPHES)
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _unicode_name(concept: str) -> str:
    """Name of a single character, in lower-case letters and digits alone; empty for a sequence."""
    name = "" if "-" in concept else unicodedata.name(chr(int(concept, 16)), "")
    return "".join(letter for letter in name.lower() if letter.isalnum())
