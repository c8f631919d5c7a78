"""Turn one batch from the inbox into a new data version.

The steps are: check the batch, merge it into the split `train`, validate the whole dataset, push, and commit. The other
splits do not change, so results stay comparable. If a batch is refused, nothing is left behind. If the process is
killed, the next run makes the same bytes again. If the batch already has a version, no other version is made.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.models.data.images import Images, load_images
from stillhouse.models.measurement.statistics import wilson_interval
from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.data.checks.data_tables import tables_of
from stillhouse.tasks.data.format.dataset import DESCRIPTION, Example, extend_dataset, read_description, read_manifest
from stillhouse.tasks.data.format.layout import is_clip, is_line, is_spoken, is_text, is_transcribed
from stillhouse.tasks.data.ingest.batch import Contents, check_files, examples_of, read_contents
from stillhouse.tasks.data.ingest.inbox import ACCEPTED, CONTENTS, INCOMING, Inbox
from stillhouse.tasks.data.ingest.neighbours import agreement
from stillhouse.tasks.data.sources.small import Progress
from stillhouse.tasks.data.store.build_data import ensure_data, push_folder
from stillhouse.tasks.data.store.data_branch import (
    Base,
    base_of,
    commit_version,
    find_landed,
    message_of,
    tag_of,
    version_of,
)
from stillhouse.tasks.data.store.remote import list_folder, listing_md5, open_remote
from stillhouse.tasks.data.store.revision import read_committed, repin
from stillhouse.tasks.errors import BatchError, DataError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.stages.pull import pull_dataset
from stillhouse.tasks.stages.validate import DATA_DOCS, judge, name_failed

LEAST_AGREEMENT, CONFIDENCE = 0.8, 0.95
"""Minimum agreement, relative to the split `validation`, and the confidence level.

If the upper confidence bound of a batch's agreement is lower, its labels are mixed up.
"""


@dataclass(frozen=True)
class Accepted:
    """The result of a batch that became data."""

    tag: str
    sentence: str


@dataclass(frozen=True)
class IngestContext:
    """One batch and the dataset that it extends."""

    settings: Settings
    inbox: Inbox
    dataset: str
    batch: str
    progress: Progress
    base: Base
    folder: Path
    """The dataset folder before the merge."""
    described: Mapping[str, Any]

    def files(self) -> list[str]:
        """List the names of the batch's files."""
        prefix = f"{INCOMING}/{self.dataset}/{self.batch}/"
        return [key.removeprefix(prefix) for key in self.inbox.keys(prefix)]

    def fetch(self, name: str, folder: Path) -> None:
        """Copy one of the batch's files to this host."""
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        self.inbox.fetch(f"{INCOMING}/{self.dataset}/{self.batch}/{name}", folder / name)


def ingest_batch(settings: Settings, inbox: Inbox, dataset: str, batch: str, progress: Progress) -> Accepted:
    """Make a new data version from a whole batch, or find the version that the batch already has.

    Raises:
        BatchError: the batch is refused.
        DataError: the dataset does not take pictures, or the dataset or its repository cannot be used.
        ServiceError: a service does not answer, or another deployment has moved the branch meanwhile.
    """
    context = _open_context(settings, inbox, dataset, batch, progress)
    with tempfile.TemporaryDirectory(prefix="stillhouse-ingest-") as scratch:
        raw, new = Path(scratch, "raw"), Path(scratch, "data", dataset)
        raw.mkdir()
        new.mkdir(parents=True)
        contents = _fetch(context, raw)
        if before := _find_landed(context, contents):
            return before
        examples = examples_of(raw, contents, context.described, f"{batch}-{contents.digest[:12]}")
        fresh = _unknown(context, examples)
        _believable(context, fresh)
        progress(f"{dataset}: merging {len(fresh):,} new pictures of {batch}")
        extend_dataset(context.folder, new, fresh, {"name": batch, "sha256": contents.digest})
        _sound(context, new, Path(scratch))
        return _publish(context, new, contents, f"{len(fresh):,} new, {len(examples) - len(fresh):,} known")


def _open_context(settings: Settings, inbox: Inbox, dataset: str, batch: str, progress: Progress) -> IngestContext:
    base = base_of(settings.root, dataset)
    data = Data(dataset=dataset, revision=base.commit)
    ensure_data(settings, data, progress)
    folder = pull_dataset(settings, data)
    described = read_description(folder)
    if any(is_other(described) for is_other in (is_spoken, is_transcribed, is_text, is_clip, is_line)):
        held = "texts" if is_text(described) else "lines of text" if is_line(described) else "recordings"
        msg = f"{dataset} holds {held}, and only pictures are taken; move {batch} away and build the dataset anew"
        raise DataError(msg)
    return IngestContext(settings, inbox, dataset, batch, progress, base, folder, described)


def _fetch(context: IngestContext, raw: Path) -> Contents:
    """Copy the batch to this host. All later checks use this copy."""
    names = context.files()
    context.fetch(CONTENTS, raw)
    contents = read_contents(raw / CONTENTS)
    context.progress(f"{context.dataset}: fetching {len(names) - 1:,} files of {context.batch}")
    wanted = {each.name for each in contents.files}
    for name in names:
        if name in wanted:
            context.fetch(name, raw)
    check_files(raw, names, contents)
    return contents


def _find_landed(context: IngestContext, contents: Contents) -> Accepted | None:
    """Find the version of a batch that is already in the data. Such a batch still waits for its move to `accepted`.

    Raises:
        BatchError: the batch is already in `accepted`, so it was sent a second time.
    """
    before = {each["sha256"]: each["name"] for each in context.described["sources"]}.get(contents.digest)
    if before is None:
        return None
    if _is_accepted(context, before, contents.digest):
        msg = f"nothing new: landed before as {before}; send only what is new"
        raise BatchError(msg)
    made = find_landed(context.settings.root, context.base.commit, context.dataset, contents.digest)
    if made is None:
        msg = f"nothing new: {context.dataset} has it as {before}, of which no version is known; send only what is new"
        raise BatchError(msg)
    return _say(made.tag, made.subject.partition(": ")[2])


def _is_accepted(context: IngestContext, name: str, digest: str) -> bool:
    """Tell whether `accepted` has a batch of this name, with or without a number, that has this content."""
    keys = context.inbox.keys(f"{ACCEPTED}/{context.dataset}/")
    found = [key for key in keys if key.endswith(f"/{CONTENTS}") and key.split("/")[2].startswith(name)]
    with tempfile.TemporaryDirectory(prefix="stillhouse-ingest-") as scratch:
        for key in found:
            context.inbox.fetch(key, Path(scratch, CONTENTS))
            if read_contents(Path(scratch, CONTENTS)).digest == digest:
                return True
    return False


def _unknown(context: IngestContext, examples: list[Example]) -> list[Example]:
    """Drop the pictures that `train` already has, and duplicates within the batch.

    Raises:
        BatchError: a picture has two labels, a picture is in another split, or no picture is new.
    """
    known = {row["sha256"]: row for row in read_manifest(context.folder)}
    labels, fresh = context.described["labels"], []
    for example in examples:
        name, row = example.id.rpartition("/")[2], known.get(example.sha256)
        if row is not None and row["split"] != "train":
            msg = f"{name} is held out for {row['split']} as {row['id']}, and training on it would leak; leave it out"
            raise BatchError(msg)
        if row is not None and row["label"] != example.label:
            said = f"{labels[example.label]!r} where {row['id']}, the same picture, is {labels[row['label']]!r}"
            msg = f"{name} is labelled {said}; mend one of the labels"
            raise BatchError(msg)
        if row is None:
            fresh.append(example)
            known[example.sha256] = {"split": "train", "label": example.label, "id": name}
    if not fresh:
        first = known[examples[0].sha256]["id"]
        msg = (
            f"nothing new: all {len(examples):,} pictures are in train already, the first as {first}; send what is new"
        )
        raise BatchError(msg)
    return fresh


def _believable(context: IngestContext, fresh: list[Example]) -> None:
    """Compare the labels of new pictures with the labels of their nearest neighbours in `train`.

    A dataset with captions is not checked, because it has too few similar pictures.

    Raises:
        BatchError: the labels agree less often than in the split `validation`, by more than chance and a new style of
            pictures explain.
    """
    if "captions" in context.described:
        return
    context.progress(
        f"{context.dataset}: comparing the labels of {len(fresh):,} new pictures with their nearest neighbours"
    )
    train, validation = (load_images(context.folder, split) for split in ("train", "validation"))
    pixels = np.frombuffer(b"".join(each.image for each in fresh), np.uint8)
    labels = np.array([each.label for each in fresh], np.int64)
    batch = Images(pixels.reshape(len(fresh), *context.described["image_shape"]), labels)
    found, usual = agreement(train, batch), agreement(train, validation)
    _, at_most = wilson_interval(round(found * len(fresh)), len(fresh), CONFIDENCE)
    if at_most < LEAST_AGREEMENT * usual:
        msg = (
            f"its labels agree with those of their nearest neighbours in {found:.0%} of {len(fresh):,} pictures, at "
            f"most {at_most:.0%}, where {context.dataset} itself has {usual:.0%}; look at the labels, "
            "which are mixed up"
        )
        raise BatchError(msg)


def _sound(context: IngestContext, new: Path, scratch: Path) -> None:
    """Check the merged dataset against every expectation.

    Raises:
        BatchError: an expectation fails.
    """
    described = read_description(new)
    outcomes = judge(tables_of(new, described), described, scratch / DATA_DOCS, scratch, context.progress)
    if failed := [outcome for outcome in outcomes if not outcome["success"]]:
        kept = context.settings.runs / "data_docs_failed" / context.dataset / DATA_DOCS
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(scratch / DATA_DOCS, kept)
        msg = (
            f"merged, {context.dataset} fails {len(failed)} of {len(outcomes)} expectations: {name_failed(failed)}; "
            f"see {kept}"
        )
        raise BatchError(msg)


def _publish(context: IngestContext, new: Path, contents: Contents, counts: str) -> Accepted:
    """Push every object, then commit and tag. So every version that has a name can be pulled."""
    listing = list_folder(new)
    push_folder(new, listing, open_remote(context.settings), context.progress)
    version = f"{file_digest(new / DESCRIPTION)[:12]}-{listing_md5(listing)}"
    before = read_committed(context.settings.root, context.base.commit)
    pointer = repin(before, new.parent.parent, context.dataset, listing)
    tag = tag_of(context.dataset, version)
    message = message_of(f"{context.dataset} {context.batch}: {counts}", context.dataset, contents.digest, version)
    commit_version(context.settings.root, context.base, pointer, tag, message)
    return _say(tag, counts)


def _say(tag: str, counts: str) -> Accepted:
    return Accepted(tag, f"{counts}, version {version_of(tag)}, tag {tag}")
