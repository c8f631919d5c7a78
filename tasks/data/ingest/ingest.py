"""Ingest the batches of the inbox: each batch is accepted, quarantined, or still arriving.

Each batch is processed exactly once, even if the process is killed. A note in `moving` says where the batch moves and
why. The note is removed last, after the caller has received the outcome. After a kill, the next run finishes the move
and reports the outcome again, so no outcome is lost.

This module imports little, because it runs every few minutes. `tasks.data.ingest.ingest_batch` does the work.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.data.ingest.inbox import ACCEPTED, CONTENTS, INCOMING, MOVING, QUARANTINE, Inbox, open_inbox
from stillhouse.tasks.data.store.revision import read_pinned_md5
from stillhouse.tasks.errors import BatchError, DataError
from stillhouse.tasks.settings import Settings

REASON = "reason.txt"
NOTE = "move.json"
NAME = re.compile(r"\w[\w.+-]{0,63}")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one batch."""

    batch: str
    state: Literal["accepted", "quarantined", "still arriving"]
    sentence: str
    tag: str | None = None
    """Git tag of the data version that was made from the batch."""


def ingest(settings: Settings, dataset: str, progress: Progress) -> Iterator[Outcome]:
    """Ingest all batches of a dataset, in the order of their names. A second ingestion waits for the first.

    Raises:
        DataError: the dataset does not exist, does not take pictures, or has a repository that cannot be used.
        ServiceError: the inbox or the DVC remote does not answer. The batches stay in the inbox.
    """
    read_pinned_md5(settings.root, None, dataset)
    try:
        with waiting(settings.state / "ingest.lock"):
            yield from _ingest_all(settings, open_inbox(settings), dataset, progress)
    except OSError as error:
        msg = f"the ingestion cannot write ({error}); free the disk or mend the permissions of {settings.state}"
        raise DataError(msg) from error


def _ingest_all(settings: Settings, inbox: Inbox, dataset: str, progress: Progress) -> Iterator[Outcome]:
    for batch in _names(inbox, MOVING, dataset):
        yield from _move(inbox, dataset, batch)
    for batch in _names(inbox, INCOMING, dataset):
        outcome = _ingest_one(settings, inbox, dataset, batch, progress)
        if outcome.state == "still arriving":
            yield outcome
        else:
            _note(inbox, dataset, outcome)
            yield from _move(inbox, dataset, batch)


def _names(inbox: Inbox, place: str, dataset: str) -> list[str]:
    prefix = f"{place}/{dataset}/"
    return sorted({key.removeprefix(prefix).partition("/")[0] for key in inbox.keys(prefix)})


def _ingest_one(settings: Settings, inbox: Inbox, dataset: str, batch: str, progress: Progress) -> Outcome:
    if f"{INCOMING}/{dataset}/{batch}/{CONTENTS}" not in inbox.keys(f"{INCOMING}/{dataset}/{batch}/"):
        return Outcome(batch, "still arriving", f"{CONTENTS} is not there yet; the sender writes it last")
    # It imports pyarrow and more, needed only for a new batch.
    from stillhouse.tasks.data.ingest.ingest_batch import ingest_batch

    progress(f"{dataset}: looking at {batch}")
    try:
        _check_name(batch)
        accepted = ingest_batch(settings, inbox, dataset, batch, progress)
    except BatchError as error:
        return Outcome(batch, "quarantined", f"{dataset} batch {batch}: {error}")
    return Outcome(batch, "accepted", accepted.sentence, accepted.tag)


def _check_name(batch: str) -> None:
    if not NAME.fullmatch(batch):
        msg = "a batch is called by letters, digits, dots, dashes and underscores; send it under such a name"
        raise BatchError(msg)


def _note(inbox: Inbox, dataset: str, outcome: Outcome) -> None:
    place = ACCEPTED if outcome.state == "accepted" else QUARANTINE
    note = {"to": _free(inbox, f"{place}/{dataset}/{outcome.batch}"), "outcome": asdict(outcome)}
    inbox.put(f"{MOVING}/{dataset}/{outcome.batch}/{NOTE}", json.dumps(note).encode())


def _free(inbox: Inbox, wanted: str) -> str:
    """Return the path, or the path with the first free number, so that an earlier batch is kept."""
    numbered = (f"{wanted}.{number}" for number in count(2))
    return next(place for place in chain([wanted], numbered) if not inbox.keys(f"{place}/"))


def _move(inbox: Inbox, dataset: str, batch: str) -> Iterator[Outcome]:
    """Carry out the move in the note, yield its outcome, then delete the note."""
    noted, source = f"{MOVING}/{dataset}/{batch}/{NOTE}", f"{INCOMING}/{dataset}/{batch}/"
    note = _read(inbox, noted)
    outcome = Outcome(**note["outcome"])
    for key in inbox.keys(source):
        inbox.rename(key, f"{note['to']}/{key.removeprefix(source)}")
    if outcome.state == "quarantined":
        inbox.put(f"{note['to']}/{REASON}", f"{outcome.sentence}\n".encode())
    yield outcome
    inbox.delete(noted)


def _read(inbox: Inbox, key: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="stillhouse-ingest-") as scratch:
        inbox.fetch(key, Path(scratch, NOTE))
        note: dict[str, Any] = json.loads(Path(scratch, NOTE).read_bytes())
    return note
