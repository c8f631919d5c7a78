"""The landing place of raw files, a folder or an S3 prefix: the few things that both can do with a file.

    incoming/<dataset>/<batch>/      batch.json, which the sender writes last, and the pictures it lists
    accepted/<dataset>/<batch>/      a batch that became data
    quarantine/<dataset>/<batch>/    one that did not, with reason.txt
    moving/<dataset>/<batch>/        what is being moved where, so that a move that was killed is finished

What the files are is for `tasks.data.ingest.batch`; what becomes of them, for `tasks.data.ingest.refresh`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from stillhouse.models.aside import written_aside
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.settings import Settings

INCOMING, ACCEPTED, QUARANTINE, MOVING = "incoming", "accepted", "quarantine", "moving"
CONTENTS = "batch.json"
"""A batch without it is still arriving."""
S3 = "s3://"


class Landing(Protocol):
    """A place of files, each named by its path below the place.

    Every method raises ServiceError where the place does not answer.
    """

    def keys(self, prefix: str) -> list[str]:
        """Names of all files below a prefix that ends with a slash, in their order."""

    def fetch(self, key: str, target: Path) -> None:
        """Copy a file to this host."""

    def put(self, key: str, content: bytes) -> None:
        """Write a file whole, over one of that name."""

    def rename(self, key: str, to: str) -> None:
        """Move a file; after a kill there is one of the two, or both and the same."""

    def delete(self, key: str) -> None:
        """Remove a file; one that is gone is fine."""


def open_landing(settings: Settings) -> Landing:
    """Open the place at `STILLHOUSE_LANDING`, a folder or `s3://bucket/prefix`, or `landing` in the state folder."""
    place = os.environ.get("STILLHOUSE_LANDING") or str(settings.state / "landing")
    return Bucket(place) if place.startswith(S3) else Folder(Path(place))


class Folder:
    """A landing place on this host. A symbolic link is no file of it."""

    def __init__(self, root: Path) -> None:
        """Remember where; the folder need not exist yet."""
        self.root = root

    def keys(self, prefix: str) -> list[str]:
        """As in `Landing`."""
        with _answering(str(self.root), OSError):
            paths = [path for path in (self.root / prefix).rglob("*") if path.is_file() and not path.is_symlink()]
            return sorted(path.relative_to(self.root).as_posix() for path in paths)

    def fetch(self, key: str, target: Path) -> None:
        """As in `Landing`."""
        with _answering(str(self.root), OSError), (self.root / key).open("rb") as source, target.open("wb") as copy:
            while block := source.read(1 << 20):
                copy.write(block)

    def put(self, key: str, content: bytes) -> None:
        """As in `Landing`."""
        path = self.root / key
        with _answering(str(self.root), OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(path) as aside:
                aside.write_bytes(content)

    def rename(self, key: str, to: str) -> None:
        """As in `Landing`."""
        target = self.root / to
        with _answering(str(self.root), OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).replace(target)
            self._tidy(key)

    def delete(self, key: str) -> None:
        """As in `Landing`."""
        with _answering(str(self.root), OSError):
            (self.root / key).unlink(missing_ok=True)
            self._tidy(key)

    def _tidy(self, key: str) -> None:
        """Remove the folders of a batch that are empty now, as a bucket has none."""
        with suppress(OSError):  # not empty
            for parent in list(Path(key).parents)[:-3]:
                (self.root / parent).rmdir()


class Bucket:
    """A landing place in S3; endpoint, region and credentials come from the usual AWS variables."""

    def __init__(self, address: str) -> None:
        """Open `s3://bucket/prefix`; nothing is asked of it yet."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        self.address = address
        self._bucket, _, prefix = address.removeprefix(S3).partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._faults = (BotoCoreError, ClientError, OSError)
        with _answering(address, *self._faults, ValueError):
            self._client: Any = boto3.client("s3")

    def keys(self, prefix: str) -> list[str]:
        """As in `Landing`."""
        pages = self._client.get_paginator("list_objects_v2")
        with _answering(self.address, *self._faults):
            asked = pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
            found = [entry["Key"].removeprefix(self._prefix) for page in asked for entry in page.get("Contents", ())]
        return sorted(key for key in found if not key.endswith("/"))

    def fetch(self, key: str, target: Path) -> None:
        """As in `Landing`."""
        with _answering(self.address, *self._faults):
            self._client.download_file(self._bucket, self._prefix + key, str(target))

    def put(self, key: str, content: bytes) -> None:
        """As in `Landing`."""
        with _answering(self.address, *self._faults):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)

    def rename(self, key: str, to: str) -> None:
        """As in `Landing`."""
        source = {"Bucket": self._bucket, "Key": self._prefix + key}
        with _answering(self.address, *self._faults):
            self._client.copy(source, self._bucket, self._prefix + to)
        self.delete(key)

    def delete(self, key: str) -> None:
        """As in `Landing`."""
        with _answering(self.address, *self._faults):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)


@contextmanager
def _answering(place: str, *faults: type[Exception]) -> Iterator[None]:
    """Turn whatever a place raises into one sentence."""
    try:
        yield
    except faults as error:
        msg = (
            f"the landing place {place} cannot be used ({' '.join(str(error).split())}); check STILLHOUSE_LANDING and "
            "the disk or, of a bucket, that it exists, AWS_ENDPOINT_URL and the credentials"
        )
        raise ServiceError(msg) from error
