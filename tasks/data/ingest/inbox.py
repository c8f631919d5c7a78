"""The inbox of raw files: a folder or an S3 prefix, with the few file operations that both support.

    incoming/<dataset>/<batch>/      a new batch: its pictures, and batch.json, which the sender writes last
    accepted/<dataset>/<batch>/      a batch that became data
    quarantine/<dataset>/<batch>/    a batch that was refused, with reason.txt
    moving/<dataset>/<batch>/        a note about a move in progress, so that a killed move is finished later

`tasks.data.ingest.batch` checks the files. `tasks.data.ingest.ingest` decides what happens to a batch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from stillhouse.models.aside import write_aside
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.settings import Settings

INCOMING, ACCEPTED, QUARANTINE, MOVING = "incoming", "accepted", "quarantine", "moving"
CONTENTS = "batch.json"
"""If a batch has no batch.json, it is still arriving."""
S3 = "s3://"


class Inbox(Protocol):
    """A place for files. Each file is named by its path below the place.

    If the place does not answer, every method raises ServiceError.
    """

    def keys(self, prefix: str) -> list[str]:
        """List the sorted names of all files below a prefix. The prefix ends with a slash."""

    def fetch(self, key: str, target: Path) -> None:
        """Copy a file to this host."""

    def put(self, key: str, content: bytes) -> None:
        """Write a whole file; an existing file of that name is replaced."""

    def rename(self, key: str, to: str) -> None:
        """Move a file. After a kill, one of the two names exists, or both exist with the same content."""

    def delete(self, key: str) -> None:
        """Remove a file. A missing file is no error."""


def open_inbox(settings: Settings) -> Inbox:
    """Open the inbox at `STILLHOUSE_INBOX`, or else the folder `inbox` of the state folder.

    `STILLHOUSE_INBOX` is a folder or `s3://bucket/prefix`. A folder `landing`, the old name, is used as it is.

    Raises:
        StillhouseError: the environment has the variable's old name.
    """
    if "STILLHOUSE_LANDING" in os.environ:
        msg = "STILLHOUSE_LANDING is called STILLHOUSE_INBOX now; rename the variable"
        raise StillhouseError(msg)
    old = settings.state / "landing"
    place = os.environ.get("STILLHOUSE_INBOX") or str(old if old.is_dir() else settings.state / "inbox")
    return Bucket(place) if place.startswith(S3) else Folder(Path(place))


class Folder:
    """An inbox on this host. Symbolic links are ignored."""

    def __init__(self, root: Path) -> None:
        """Keep the path. The folder need not exist yet."""
        self.root = root

    def keys(self, prefix: str) -> list[str]:
        """See `Inbox`."""
        with _answering(str(self.root), OSError):
            paths = [path for path in (self.root / prefix).rglob("*") if path.is_file() and not path.is_symlink()]
            return sorted(path.relative_to(self.root).as_posix() for path in paths)

    def fetch(self, key: str, target: Path) -> None:
        """See `Inbox`."""
        with _answering(str(self.root), OSError), (self.root / key).open("rb") as source, target.open("wb") as copy:
            while block := source.read(1 << 20):
                copy.write(block)

    def put(self, key: str, content: bytes) -> None:
        """See `Inbox`."""
        path = self.root / key
        with _answering(str(self.root), OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_aside(path) as aside:
                aside.write_bytes(content)

    def rename(self, key: str, to: str) -> None:
        """See `Inbox`."""
        target = self.root / to
        with _answering(str(self.root), OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).replace(target)
            self._tidy(key)

    def delete(self, key: str) -> None:
        """See `Inbox`."""
        with _answering(str(self.root), OSError):
            (self.root / key).unlink(missing_ok=True)
            self._tidy(key)

    def _tidy(self, key: str) -> None:
        """Remove the empty folders of a batch, because a bucket has no empty folders."""
        with suppress(OSError):  # the folder is not empty
            for parent in list(Path(key).parents)[:-3]:
                (self.root / parent).rmdir()


class Bucket:
    """An inbox in S3. The usual AWS variables give the endpoint, region and credentials."""

    def __init__(self, address: str) -> None:
        """Open `s3://bucket/prefix`; no request is sent yet."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        self.address = address
        self._bucket, _, prefix = address.removeprefix(S3).partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._faults = (BotoCoreError, ClientError, OSError)
        with _answering(address, *self._faults, ValueError):
            self._client: Any = boto3.client("s3")

    def keys(self, prefix: str) -> list[str]:
        """See `Inbox`."""
        pages = self._client.get_paginator("list_objects_v2")
        with _answering(self.address, *self._faults):
            asked = pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
            found = [entry["Key"].removeprefix(self._prefix) for page in asked for entry in page.get("Contents", ())]
        return sorted(key for key in found if not key.endswith("/"))

    def fetch(self, key: str, target: Path) -> None:
        """See `Inbox`."""
        with _answering(self.address, *self._faults):
            self._client.download_file(self._bucket, self._prefix + key, str(target))

    def put(self, key: str, content: bytes) -> None:
        """See `Inbox`."""
        with _answering(self.address, *self._faults):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)

    def rename(self, key: str, to: str) -> None:
        """See `Inbox`."""
        source = {"Bucket": self._bucket, "Key": self._prefix + key}
        with _answering(self.address, *self._faults):
            self._client.copy(source, self._bucket, self._prefix + to)
        self.delete(key)

    def delete(self, key: str) -> None:
        """See `Inbox`."""
        with _answering(self.address, *self._faults):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)


@contextmanager
def _answering(place: str, *faults: type[Exception]) -> Iterator[None]:
    """Turn the errors of a place into a ServiceError with one sentence."""
    try:
        yield
    except faults as error:
        msg = (
            f"the inbox place {place} cannot be used ({' '.join(str(error).split())}); check STILLHOUSE_INBOX and "
            "the disk or, of a bucket, that it exists, AWS_ENDPOINT_URL and the credentials"
        )
        raise ServiceError(msg) from error
