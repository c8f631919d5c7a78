"""Read what the chunks of a spool say of their rows, without their content."""

import csv
import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stillhouse.models.aside import write_aside
from stillhouse.tasks.data.importing.deal import Dealt
from stillhouse.tasks.data.importing.readers import read_chunk
from stillhouse.tasks.data.importing.sources.source import ONE

TOLD = "told"
"""Column with the name of a row's class, or the text of a line."""
JOINED_BYTES = 8 * 1024 * 1024
"""Bytes of the chunks that are dealt to the splits at once, unless one chunk has more."""
SAYS = {"image": ("its pixels are", "those"), "text": ("its text is", "that"), "audio": ("its samples are", "those")}
"""Kind of content -> how reasons name its content, and that of another row."""


@dataclass(frozen=True)
class Facts:
    """Labels and digests of N readable rows, in the order of the source."""

    chunks: tuple[Path, ...]
    """The files of the rows."""
    names: tuple[str, ...]
    """Labels in the order in which they were found, those of unreadable rows too."""
    codes_N: NDArray[np.int64]
    """Index in `names`."""
    digests_N: NDArray[np.bytes_]
    """SHA-256 of the contents, 32 bytes each."""
    digest: str
    """SHA-256 of the rows, by id and content."""


def read_facts(chunks: Iterable[Path]) -> Facts:
    """Read the labels and the digests of all readable rows. Each chunk is read as soon as it is there."""
    paths, codes, whole = list[Path](), dict[str, int](), hashlib.sha256()
    numbers, digests = array("q"), bytearray()  # they grow in place
    for chunk in chunks:
        paths.append(chunk)
        table = read_chunk(chunk, "path", "label", "sha256")
        labels, readable = table["label"].combine_chunks().dictionary_encode(), table["sha256"].is_valid()
        numbers_of = np.array([codes.setdefault(name, len(codes)) for name in labels.dictionary.to_pylist()], np.int64)
        numbers.frombytes(numbers_of[labels.indices.to_numpy()[readable.to_numpy()]].tobytes())
        known = table.filter(readable)
        rows = pc.binary_join_element_wise(known["path"], known["sha256"], "\0").to_pylist()
        whole.update("".join(("\n" if digests else "") + "\n".join(rows) if rows else "").encode())
        digests += bytes.fromhex("".join(known["sha256"].to_pylist()))
    return Facts(
        tuple(paths), tuple(codes), np.frombuffer(numbers, np.int64), np.frombuffer(digests, "S32"), whole.hexdigest()
    )


def number_labels(facts: Facts, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each row's class (N). All are -1 without labels."""
    if not labels:
        return np.full(len(facts.codes_N), -1, np.int64)
    number_of = {name: number for number, name in enumerate(labels)}
    return np.array([number_of.get(name, -1) for name in facts.names], np.int64)[facts.codes_N]


def measure_texts(chunks: Sequence[Path]) -> dict[str, int]:
    """Return the characters of the longest text, and the mean bytes of a text, rounded up."""
    longest, size, count = 1, 0, 0
    for chunk in chunks:
        texts = read_chunk(chunk, "text")["text"]
        longest = max(longest, pc.max(pc.utf8_length(texts)).as_py() or 0)
        size += pc.sum(pc.binary_length(texts)).as_py() or 0
        count += len(texts) - texts.null_count
    return {"longest": longest, "mean_bytes": -(-size // max(count, 1))}


def measure_lines(chunks: Sequence[Path]) -> dict[str, Any]:
    """Return the characters of all readable lines, sorted, and the length of the longest text."""
    letters, longest = set[str](), 0
    for chunk in chunks:
        table = read_chunk(chunk, "label", "sha256")
        for text in table.filter(pc.is_valid(table["sha256"]))["label"].to_pylist():
            letters.update(text)
            longest = max(longest, len(text))
    return {"letters": "".join(sorted(letters)), "longest": longest}


def dealt_rows(
    chunks: Sequence[Path], dealt: Dealt, labels_N: NDArray[np.int64], names: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    """Yield split, and a table of some of its rows. Its column TOLD has what the source says of each row."""
    start = 0
    for table in _readable_rows(chunks):
        end = start + len(table)
        told = table.append_column(TOLD, table["label"])
        dealt_table = told.set_column(1, "label", pa.array(labels_N[start:end])).rename_columns({"path": "id"})
        for number, name in enumerate(names):
            if (own := dealt.splits_N[start:end] == number).any():
                yield name, dealt_table.filter(pa.array(own))
        start = end


def _readable_rows(chunks: Iterable[Path]) -> Iterator[pa.Table]:
    """Join small chunks: to pass many small tables between threads takes longer than to compress them."""
    waiting, size = list[pa.Table](), 0
    for chunk in chunks:
        table = read_chunk(chunk)
        waiting.append(table.filter(pc.is_valid(table["sha256"])))
        size += waiting[-1].nbytes
        if size >= JOINED_BYTES:
            yield pa.concat_tables(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def write_rejected(path: Path, chunks: Sequence[Path], dealt: Dealt, labels: Sequence[str], kind: str) -> int:
    """List every row that is left out with its reason, in the order of the source. Returns their number."""
    named = _ids_of(chunks, {int(row) for row in np.unique(dealt.firsts_N[dealt.splits_N < 0])})
    count, row = 0, 0
    with write_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "reason"))
        for own, reason in _reasons(chunks):
            why = reason or _why(row, dealt, named, labels, kind)
            row += not reason
            if why:
                writer.writerow((own, why))
                count += 1
    return count


def _why(row: int, dealt: Dealt, named: dict[int, str], labels: Sequence[str], kind: str) -> str:
    """Return why a readable row is left out. Empty: it is not."""
    if dealt.splits_N[row] >= 0:
        return ""
    content, same = SAYS[kind]
    first, other = int(dealt.firsts_N[row]), int(dealt.others_N[row])
    if first != row:
        return f"{content} {same} of {named[first]}"
    return f"{content} in the class {labels[other]} too; keep the {ONE[kind]} in one class"


def _reasons(chunks: Sequence[Path]) -> Iterator[tuple[str, str | None]]:
    for chunk in chunks:
        table = read_chunk(chunk, "path", "reason")
        yield from zip(table["path"].to_pylist(), table["reason"].to_pylist(), strict=True)


def _ids_of(chunks: Sequence[Path], wanted: set[int]) -> dict[int, str]:
    """Return the ids of some of the readable rows."""
    if not wanted:
        return {}
    readable = (own for own, reason in _reasons(chunks) if not reason)
    return {row: own for row, own in enumerate(readable) if row in wanted}
