"""Small datasets of texts, with labels or without."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from stillhouse.models.data.texts import normalise
from stillhouse.tasks.data.importing.deal import split_of
from stillhouse.tasks.data.importing.write import write_splits

NOUNS = ("river", "copper", "lantern", "orchard", "violin", "harbour", "Größe", "été", "雪", "barley")
VERBS = ("holds", "turns", "finds", "keeps", "makes", "sees", "brings", "wants", "loses", "paints")


def sentences(count: int) -> list[str]:
    """Make different sentences; at most 1,000."""
    return [
        f"The {NOUNS[number % 10]} {VERBS[number // 10 % 10]} a {NOUNS[number // 100 % 10]}." for number in range(count)
    ]


def write_texts(folder: Path, texts: Sequence[str], labels: Sequence[int] = (), names: Sequence[str] = ()) -> Path:
    """Make a dataset of texts, without the other parts of an import; returns its folder, which bears its name."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, text in enumerate(map(normalise, texts)):
        digest = hashlib.sha256(text.encode()).hexdigest()
        row = {"id": f"texts.txt:{number + 1}", "text": text, "label": labels[number] if labels else -1}
        rows.setdefault(split_of(digest), []).append(row | {"sha256": digest})
    folder.mkdir(parents=True)
    about = {
        "name": folder.name,
        "licence": "CC0",
        "sources": [{"name": "texts.txt", "sha256": "0" * 64}],
        "texts": {"longest": max(map(len, texts)), "mean_bytes": 30, "labelled": bool(labels)},
        "labels": list(names),
    }
    write_splits(folder, about, [(split, pa.Table.from_pylist(own)) for split, own in rows.items()])
    return folder
