"""Read texts that belong to other media: the captions of a COCO file, the transcripts of LibriSpeech."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.tasks.data.importing.sources.class_folders import class_names
from stillhouse.tasks.data.importing.sources.lines import read_lines
from stillhouse.tasks.data.importing.sources.source import Row, Source, safe_id
from stillhouse.tasks.errors import DataError

LARGEST_JSON = 1024**3
"""Maximum bytes of a COCO file, which is read as a whole. COCO's own has 0.1 GB."""
TRANSCRIPT = ".trans.txt"
DEEPEST = 4
"""Folders between a folder of LibriSpeech and its transcripts, at most."""


def open_coco(path: Path) -> Source:
    """Take each caption of a COCO file as a text.

    Raises:
        DataError: the file is too large, no JSON, or has no captions.
    """
    if path.stat().st_size > LARGEST_JSON:
        msg = f"{path} has more than {LARGEST_JSON:,} bytes; split it, or write its captions as JSONL"
        raise DataError(msg)
    try:
        described = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        msg = f"{path} is no JSON; write one object a line into a file that ends in .jsonl"
        raise DataError(msg) from error
    entries = described.get("annotations") if isinstance(described, dict) else None
    if not isinstance(entries, list) or not any(isinstance(entry, dict) and "caption" in entry for entry in entries):
        msg = f"{path} has no captions of COCO; give a COCO file of captions, or a file that ends in .jsonl"
        raise DataError(msg)
    name = safe_id(path.name)
    read_as = f"texts, the {len(entries):,} captions of {name}, no labels; the pictures of captions are not read"
    return Source(name, "text", read_as, partial(_captions, entries, name), labelled=False, total=len(entries))


def _captions(entries: list[Any], name: str) -> Iterator[Row]:
    for number, entry in enumerate(entries, start=1):
        caption = entry.get("caption") if isinstance(entry, dict) else None
        reason = "" if isinstance(caption, str) else "it has no caption; give it one"
        yield Row(f"{name}:{number}", None if reason else caption, "", reason)


def is_librispeech(root: Path) -> bool:
    """Tell whether the first folder of the first folder, and so on, has transcripts."""
    folder: Path | None = root
    for _ in range(DEEPEST):
        if folder is None:
            return False
        if next(folder.glob(f"*{TRANSCRIPT}"), None):
            return True
        folder = next((folder / name for name in class_names(folder)), None)
    return False


def open_librispeech(root: Path) -> Source:
    """Take each line of the transcripts as a text, without the name of its recording."""
    files = sorted(root.rglob(f"*{TRANSCRIPT}"))
    read_as = f"texts, the transcripts in {len(files):,} files of LibriSpeech, no labels; the recordings are not read"
    return Source(safe_id(root.resolve().name), "text", read_as, partial(_transcripts, files, root), labelled=False)


def _transcripts(files: list[Path], root: Path) -> Iterator[Row]:
    for path in files:
        name = safe_id(path.relative_to(root).as_posix())
        for number, line in enumerate(read_lines(path), start=1):
            _, _, text = (line or b"").partition(b" ")
            yield Row(f"{name}:{number}", text)
