"""Read what the chunks of a spool say of their rows, without their content."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.models.aside import write_aside
from stillhouse.tasks.data.importing.deal import Dealt
from stillhouse.tasks.data.importing.sources.source import ONE

SAYS = {"image": ("its pixels are", "those"), "text": ("its text is", "that"), "audio": ("its samples are", "those")}
"""Kind of content -> how reasons name its content, and that of another row."""


@dataclass(frozen=True)
class Facts:
    """Labels and digests of N readable rows, in the order of the source."""

    names: tuple[str, ...]
    """Labels in the order in which they were found, those of unreadable rows too."""
    codes_N: NDArray[np.int64]
    """Index in `names`."""
    digests_N: NDArray[np.bytes_]
    """SHA-256 of the contents, 32 bytes each."""


def read_facts(chunks: Sequence[Path]) -> Facts:
    """Read the labels and the digests of all readable rows."""
    codes: dict[str, int] = {}
    numbers, digests = [np.zeros(0, np.int64)], [np.zeros(0, "S32")]
    for chunk in chunks:
        table = pq.read_table(chunk, columns=["label", "sha256"])
        for name in pc.unique(table["label"]).to_pylist():
            codes.setdefault(name, len(codes))
        readable = table.filter(pc.is_valid(table["sha256"]))
        numbers.append(np.array([codes[name] for name in readable["label"].to_pylist()], np.int64))
        digests.append(np.frombuffer(bytes.fromhex("".join(readable["sha256"].to_pylist())), "S32"))
    return Facts(tuple(codes), np.concatenate(numbers), np.concatenate(digests))


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
        texts = pq.read_table(chunk, columns=["text"])["text"]
        longest = max(longest, pc.max(pc.utf8_length(texts)).as_py() or 0)
        size += pc.sum(pc.binary_length(texts)).as_py() or 0
        count += len(texts) - texts.null_count
    return {"longest": longest, "mean_bytes": -(-size // max(count, 1))}


def digest_of(chunks: Sequence[Path]) -> str:
    """Return a digest of all readable rows, by id and content."""
    digest, between = hashlib.sha256(), b""
    for chunk in chunks:
        table = pq.read_table(chunk, columns=["path", "sha256"])
        for path, sha256 in zip(table["path"].to_pylist(), table["sha256"].to_pylist(), strict=True):
            if sha256:
                digest.update(between + f"{path}\0{sha256}".encode())
                between = b"\n"
    return digest.hexdigest()


def dealt_rows(
    chunks: Sequence[Path], dealt: Dealt, labels_N: NDArray[np.int64], names: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    """Yield split, and a table of its rows in a chunk."""
    start = 0
    for chunk in chunks:
        table = pq.read_table(chunk)
        table = table.filter(pc.is_valid(table["sha256"]))
        end = start + len(table)
        table = table.set_column(1, "label", pa.array(labels_N[start:end])).rename_columns({"path": "id"})
        for number, name in enumerate(names):
            if (own := dealt.splits_N[start:end] == number).any():
                yield name, table.filter(pa.array(own))
        start = end


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
        table = pq.read_table(chunk, columns=["path", "reason"])
        yield from zip(table["path"].to_pylist(), table["reason"].to_pylist(), strict=True)


def _ids_of(chunks: Sequence[Path], wanted: set[int]) -> dict[int, str]:
    """Return the ids of some of the readable rows."""
    readable = (own for own, reason in _reasons(chunks) if not reason)
    return {row: own for row, own in enumerate(readable) if row in wanted}
