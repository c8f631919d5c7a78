"""Tell what kind of source a path names, and open it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stillhouse.tasks.data.importing.sources.bucket import S3, copy_bucket
from stillhouse.tasks.data.importing.sources.captions import is_librispeech, open_coco, open_librispeech
from stillhouse.tasks.data.importing.sources.class_folders import class_names, open_class_folders
from stillhouse.tasks.data.importing.sources.lines import open_lines
from stillhouse.tasks.data.importing.sources.picture_lines import open_line_folder
from stillhouse.tasks.data.importing.sources.source import NOUNS, Source
from stillhouse.tasks.data.importing.tables.columns import KIND_OF_TASK, KNOWN
from stillhouse.tasks.data.importing.tables.hugging_face import is_hugging_face, open_hugging_face
from stillhouse.tasks.data.importing.tables.manifests import open_manifest
from stillhouse.tasks.data.importing.tables.parquet import open_parquet
from stillhouse.tasks.data.importing.tables.records import read_roles
from stillhouse.tasks.data.importing.wanted import LINES as OF_LINES
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError

BUCKET = "bucket"
MANIFESTS = (".csv", ".tsv", ".jsonl", ".ndjson")
PARQUET, LINES, COCO = ".parquet", ".txt", ".json"
ENDINGS = (*MANIFESTS, PARQUET, LINES)
FOLDERS = "a folder with a folder of pictures, recordings or texts for each class"


def open_source(wanted: Wanted, work: Path, progress: Callable[[str], None]) -> Source:
    """Open the source that a user names.

    Args:
        wanted: names the source.
        work: an existing folder, for copies of a bucket's objects.
        progress: shows one line.

    Raises:
        DataError: there is no such source, its kind is not known, or it does not fit the task.
        ServiceError: a bucket does not answer.
    """
    address = str(wanted.source)
    if not address.startswith(S3):
        source = _open(Path(wanted.source).absolute(), wanted)
    else:
        own = work / BUCKET / hashlib.sha256(address.encode()).hexdigest()[:16]
        copied = _open(copy_bucket(address, own, progress), wanted)
        source = replace(copied, name=address, read_as=f"{copied.read_as}, from {address}")
    _expect_task(source, wanted)
    return source


def _open(path: Path, wanted: Wanted) -> Source:
    try:
        if path.is_dir():
            return _open_folder(path, wanted)
        if path.is_file():
            return _open_files([path], path.parent, wanted)
    except OSError as error:
        msg = f"{error.filename or path} cannot be read ({error.strerror}); mend its permissions"
        raise DataError(msg) from error
    msg = f"{path} does not exist; name {FOLDERS}, or a file of a table or texts"
    raise DataError(msg)


def _open_folder(root: Path, wanted: Wanted) -> Source:
    if is_hugging_face(root):
        return open_hugging_face(root, wanted)
    names = class_names(root)
    files = _tables_in(root)
    if wanted.task == OF_LINES and not any(path.suffix.lower() in (*MANIFESTS, PARQUET) for path in files):
        return open_line_folder(root)
    if files and not (names and _is_beside_files(files)):
        return _open_files(files, root, wanted)
    if names and wanted.task != "audio-classification" and is_librispeech(root):
        return open_librispeech(root)
    if names:
        return open_class_folders(root, wanted.task)
    msg = f"{root} has neither folders nor files that are known; name {FOLDERS}, or a file ({', '.join(ENDINGS)})"
    raise DataError(msg)


def _tables_in(root: Path) -> list[Path]:
    """List the files that may hold rows, in the order of their names. Notes beside class folders hold none."""
    files = sorted(path for path in root.iterdir() if path.is_file() and not path.name.startswith("."))
    tables = [path for path in files if path.suffix.lower() in {*MANIFESTS, PARQUET}]
    return tables or ([] if class_names(root) else [path for path in files if path.suffix.lower() == LINES])


def _is_beside_files(files: list[Path]) -> bool:
    """Tell whether a file lies beside class folders and does not list their files."""
    if files[0].suffix.lower() not in MANIFESTS:
        return False
    usual = {*KNOWN["image"], *KNOWN["audio"]}
    return not any(name.strip().casefold() in usual for name in read_roles(files[0]))


def _open_files(files: list[Path], root: Path, wanted: Wanted) -> Source:
    endings = {path.suffix.lower() for path in files}
    if endings == {PARQUET}:
        return open_parquet(files, root, wanted)
    if endings == {LINES}:
        return open_lines(files, root)
    if len(files) > 1:
        msg = f"{root} has {files[0].name} and {files[1].name}; name the one that is meant"
        raise DataError(msg)
    if endings == {COCO}:
        return open_coco(files[0])
    if endings <= set(MANIFESTS):
        return open_manifest(files[0], wanted)
    msg = f"{files[0]} is of no known kind; name {FOLDERS}, or a file that ends in {', '.join(ENDINGS)} or {COCO}"
    raise DataError(msg)


def _expect_task(source: Source, wanted: Wanted) -> None:
    kind = KIND_OF_TASK.get(str(wanted.task), "text")
    if wanted.task and source.kind != kind:
        msg = f"{source.name}, read as {source.read_as}, has no {NOUNS[kind]} for {wanted.task}; name another source"
        raise DataError(msg)
    if wanted.task == OF_LINES:
        return
    if source.kind != "text" and not source.labelled:
        msg = f"{source.name} has {NOUNS[source.kind]} without labels; name their column by --label-column"
        raise DataError(msg)
    if wanted.task == "text-classification" and not source.labelled:
        msg = f"{source.name}, read as {source.read_as}, has no labels for {wanted.task}; give a table that has them"
        raise DataError(msg)
