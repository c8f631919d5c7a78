"""Copy the objects below a prefix of a bucket to this host, a page of the listing at a time."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.models.aside import write_aside
from stillhouse.tasks.errors import DataError, ServiceError

S3 = "s3://"
AT_ONCE = 8
"""Objects that are fetched at once."""
LONGEST_PART = 200
"""Maximum bytes of the name of a file or folder."""


def copy_bucket(address: str, folder: Path, progress: Callable[[str], None]) -> Path:
    """Copy every object; returns the folder, or the only file if the address is that of one object.

    An object that was copied before, and has not changed, is not copied again.

    Args:
        address: such as `s3://bucket/prefix`. The usual AWS variables give endpoint, region and credentials.
        folder: for the copies.
        progress: shows one line.

    Raises:
        DataError: there are no such objects, an object cannot be a file, or boto3 is not installed.
        ServiceError: the bucket does not answer.
    """
    bucket, _, prefix = address.removeprefix(S3).rstrip("/").partition("/")
    with _answering(address):
        import boto3

        client = boto3.client("s3")
        names = set[int]()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                found = _targets(page.get("Contents", ()), prefix, folder)
                for _ in pool.map(partial(_copy, client, bucket), found.keys(), found.values()):
                    pass
                names |= {hash(str(path)) for path in found}
                progress(f"copied {len(names):,} objects of {address}")
    if not names:
        msg = f"{address} has no objects; mend the bucket or the prefix"
        raise DataError(msg)
    return _tidied(folder, names)


def _targets(entries: Any, prefix: str, folder: Path) -> dict[Path, Mapping[str, Any]]:  # noqa: ANN401 - boto's types
    """Return file on this host -> object. Folders of a console, which end in a slash, are left out."""
    targets, below = {}, f"{prefix}/" if prefix else ""
    for entry in entries:
        key = entry["Key"]
        if key.endswith("/") or not (key == prefix or key.startswith(below)):
            continue
        parts = key.split("/")[-1:] if key == prefix else key[len(below) :].split("/")
        if "\0" in key or any(part in {"", ".", ".."} or len(part.encode()) > LONGEST_PART for part in parts):
            msg = f"the object {key[:200]!r} cannot be a file; rename it"
            raise DataError(msg)
        targets[folder.joinpath(*parts)] = entry
    return targets


def _copy(client: Any, bucket: str, path: Path, entry: Mapping[str, Any]) -> None:  # noqa: ANN401 - boto's types
    changed = entry["LastModified"].timestamp()
    try:
        if path.is_file() and (path.stat().st_size, path.stat().st_mtime) == (entry["Size"], changed):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_aside(path) as aside:
            copy_object(client, bucket, aside, entry)
            os.utime(aside, (changed, changed))
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        msg = f"the object {entry['Key'][:200]!r} is below another object or above one; rename one of them"
        raise DataError(msg) from error


def copy_object(client: Any, bucket: str, path: Path, entry: Mapping[str, Any]) -> None:  # noqa: ANN401 - boto's types
    """Copy one object to a file."""
    client.download_file(bucket, entry["Key"], str(path))


def _tidied(folder: Path, names: set[int]) -> Path:
    """Remove copies of objects that are gone."""
    first, count = folder, 0
    for place, _, files in os.walk(folder):
        for file in files:
            path = Path(place, file)
            if hash(str(path)) in names:
                first, count = path, count + 1
            else:
                path.unlink()
    return first if count == 1 else folder


@contextmanager
def _answering(address: str) -> Iterator[None]:
    """Turn every error of boto3 into one sentence."""
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        msg = f"{address} needs the package boto3, which is not installed; install it, or copy the objects to a folder"
        raise DataError(msg) from error
    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError, ValueError) as error:
        msg = (
            f"{address} cannot be read ({' '.join(str(error).split())}); check that it exists, AWS_ENDPOINT_URL and "
            "the credentials"
        )
        raise ServiceError(msg) from error
