"""Make a dataset in an empty folder: the rows of a source are spooled, dealt to the splits and written."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.aside import remove_abandoned
from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.artifacts.locks import exclusive
from stillhouse.tasks.data.format.dataset import DESCRIPTION
from stillhouse.tasks.data.importing.deal import NAMES, Dealt, deal, expect_enough
from stillhouse.tasks.data.importing.facts import (
    Facts,
    dealt_rows,
    measure_lines,
    measure_texts,
    number_labels,
    read_facts,
    write_rejected,
)
from stillhouse.tasks.data.importing.labels import expect_classes, order_labels
from stillhouse.tasks.data.importing.sources.detect import BUCKET, open_source
from stillhouse.tasks.data.importing.sources.lengths import choose_seconds, say_length
from stillhouse.tasks.data.importing.sources.picture_lines import choose_width, say_width
from stillhouse.tasks.data.importing.sources.source import NOUNS, Form, Source
from stillhouse.tasks.data.importing.spool import spool
from stillhouse.tasks.data.importing.wanted import LINES, Imported, Wanted
from stillhouse.tasks.data.importing.write import write_splits
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.recipe.section import NAME
from stillhouse.tasks.settings import Settings

REJECTED = "rejected.csv"
MADE = "made"
Progress = Callable[[str], None]


class _Rows(NamedTuple):
    """The rows that were read, and what becomes of each."""

    chunks: tuple[Path, ...]
    digest: str
    labels: tuple[str, ...]
    labels_N: NDArray[np.int64]
    dealt: Dealt


@contextmanager
def importing(settings: Settings, name: str) -> Iterator[Path]:
    """Hold the lock of an import; yields the folder in which it is resumed, and empties it at the end.

    Raises:
        DataError: the name is no name, or a file cannot be read or written.
        ServiceError: another process imports this dataset.
    """
    if not re.fullmatch(NAME, name):
        msg = f"{name} is no name for a dataset; choose another name of small letters, digits and underscores"
        raise DataError(msg)
    work = settings.state / "imports" / name
    try:
        with exclusive(work / ".lock", f"the import of {name}"):
            remove_abandoned(work)
            yield work
            _empty(work)
    except OSError as error:
        told = os.strerror(error.errno) if error.errno else error
        msg = f"{error.filename or work} cannot be read or written ({told}); free the disk or mend its permissions"
        raise DataError(msg) from error


def make_dataset(wanted: Wanted, work: Path, progress: Progress) -> tuple[Path, Imported]:
    """Make the dataset; returns its folder, which is in `work`, and what it has.

    Raises:
        DataError: the source, its labels or its rows cannot be used.
    """
    source = open_source(wanted, work, progress)
    source, form = _form(source, wanted)
    progress(f"read as {source.read_as}")
    rows = _deal_rows(source, wanted, spool(source, form, work, progress))
    rejected = write_rejected(work / REJECTED, rows.chunks, rows.dealt, rows.labels, source.kind)
    expect_enough(rows.dealt, rows.labels_N, rows.labels, NOUNS[source.kind])
    progress("writing the splits")
    folder = work / MADE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    about = _about(wanted, source, form, rows)
    counts = write_splits(folder, about, dealt_rows(rows.chunks, rows.dealt, rows.labels_N, NAMES))
    digest = file_digest(folder / DESCRIPTION)
    return folder, Imported(counts, rows.labels, rejected, work / REJECTED, digest, source.read_as)


def _deal_rows(source: Source, wanted: Wanted, chunks: Iterable[Path]) -> _Rows:
    """Tell where each row goes. The digests of the rows are forgotten here, so that writing has their memory."""
    facts = read_facts(chunks)
    _expect_rows(source, facts)
    labels = _labels(source, wanted, facts)
    labels_N = number_labels(facts, labels)
    return _Rows(facts.chunks, facts.digest, labels, labels_N, deal(facts.digests_N, labels_N))


def _labels(source: Source, wanted: Wanted, facts: Facts) -> tuple[str, ...]:
    if not source.labelled:
        return ()
    found = {name for name in facts.names if name}
    if wanted.classes:
        expect_classes(found, wanted.classes, source.name)
    return order_labels(found, wanted.classes or source.labels, source.name)


def _expect_rows(source: Source, facts: Facts) -> None:
    if len(facts.digests_N):
        return
    import pyarrow.parquet as pq

    what, said = NOUNS[source.kind], "it has no rows; name another file or folder"
    if facts.chunks:
        said = f"the first row: {pq.read_table(facts.chunks[0], columns=['reason'])['reason'][0].as_py()}"
    msg = f"{source.name}, read as {source.read_as}, has no {what} that can be used: {said}"
    raise DataError(msg)


def _form(source: Source, wanted: Wanted) -> tuple[Source, Form]:
    """Return what the rows become, and the source with a sentence on what was chosen."""
    if wanted.task == LINES:
        height, width = wanted.shape[1], wanted.shape[2] or choose_width(source, wanted.shape[1])
        return say_width(source, height, width), Form("image", (wanted.shape[0], height, width), wanted.letters)
    if source.kind != "audio":
        return source, Form(source.kind, wanted.shape if source.kind == "image" else ())
    seconds = wanted.seconds or choose_seconds(source)
    return say_length(source, seconds, told=bool(wanted.seconds)), Form("audio", (round(seconds * SAMPLE_RATE),))


def _about(wanted: Wanted, source: Source, form: Form, rows: _Rows) -> dict[str, Any]:
    if source.kind == "text":
        of_kind: dict[str, Any] = {"texts": {**measure_texts(rows.chunks), "labelled": source.labelled}}
    elif source.kind == "audio":
        clips = {"samples": form.shape[0], "rate": SAMPLE_RATE}
        of_kind = {"clips": clips, "dtype": "int16", "value_range": [-32_768, 32_767]}
    else:
        of_kind = {} if form.letters is None else {"lines": measure_lines(rows.chunks)}
        of_kind |= {"image_shape": list(form.shape), "dtype": "uint8", "value_range": [0, 255]}
    return {
        "name": wanted.name,
        "licence": wanted.licence,
        "sources": [{"name": source.name, "sha256": rows.digest}],
        "labels": list(rows.labels),
        **of_kind,
    }


def _empty(work: Path) -> None:
    """Remove what only a killed import needs."""
    for chunk in work.glob("*.parquet"):
        chunk.unlink()
    for folder in (MADE, BUCKET):
        shutil.rmtree(work / folder, ignore_errors=True)
