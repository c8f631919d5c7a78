"""Read and write the DVC remote object by object, in DVC's own layout.

DVC's commands are not used at run time, because they lock the workspace and let altered objects pass. DVC accepts an
altered remote object without `verify`, and an altered read-only cache file even with it. Here every object is hashed on
each use, and there is no cache between the remote and its reader. `dvc pull` and `dvc push` can read the objects that
this module writes.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.models.aside import write_aside
from stillhouse.tasks.errors import DataError, ServiceError
from stillhouse.tasks.settings import Settings

NAME = "storage"
"""The default remote of .dvc/config."""
BLOCK = 1 << 20


@dataclass(frozen=True)
class Remote:
    """A folder or a bucket of objects that are named by their MD5."""

    fs: Any
    """A file system of dvc-objects: local, S3 or any other that DVC supports."""
    path: str

    @property
    def url(self) -> str:
        """The remote's URL, in the format of `STILLHOUSE_DVC_URL`."""
        return self.path if self.fs.protocol == "local" else str(self.fs.unstrip_protocol(self.path))

    def address(self, oid: str) -> str:
        """Return the path of an object in DVC's layout."""
        return str(self.fs.join(self.path, "files", "md5", oid[:2], oid[2:]))

    def fetch(self, oid: str, target: Path, name: str) -> None:
        """Copy one object to a file and check it.

        Args:
            oid: MD5 of the content; a listing's has the suffix `.dir`.
            target: the file to write.
            name: what the object holds, for the error message.

        Raises:
            DataError: the object is missing, truncated or altered.
            ServiceError: the remote does not answer.
        """
        address = self.address(oid)
        with _answering(self.path):
            try:
                self.fs.get_file(address, str(target))
            except FileNotFoundError as error:
                msg = f"{name} is missing from the DVC remote ({address}); run `stillhouse data` to push it"
                raise DataError(msg) from error
        if _md5_of(target) != oid.removesuffix(".dir"):
            target.unlink()
            msg = (
                f"{name} is truncated or altered in the DVC remote ({address} does not have its MD5); "
                "delete that object and run `stillhouse data` to push it again"
            )
            raise DataError(msg)

    def listing(self, dataset: str, md5: str, scratch: Path) -> dict[str, str]:
        """Return relative path -> MD5 of every file of a dataset version.

        Raises:
            DataError: the listing is missing, truncated, altered, or names a path outside the folder.
            ServiceError: the remote does not answer.
        """
        target = scratch / "listing.json"
        self.fetch(md5, target, f"the listing of data/{dataset}, version {md5},")
        listing = {entry["relpath"]: entry["md5"] for entry in json.loads(target.read_bytes())}
        target.unlink()
        for name in listing:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                msg = f"the listing of data/{dataset}, version {md5}, names {name!r}; make a version without that path"
                raise DataError(msg)
        return listing

    def holds(self, oid: str) -> bool:
        """Tell whether the remote has an object.

        A local object is also hashed; in a bucket this would need a download.
        """
        with _answering(self.path):
            if not self.fs.exists(self.address(oid)):
                return False
        return self.fs.protocol != "local" or _md5_of(Path(self.address(oid))) == oid.removesuffix(".dir")

    def store(self, oid: str, content: Path) -> None:
        """Upload one object, replacing an altered one, and read it back.

        Raises:
            ServiceError: the remote does not answer, refuses, or returns other bytes.
        """
        address = self.address(oid)
        with _answering(self.path):
            self.fs.makedirs(self.fs.parent(address), exist_ok=True)
            if self.fs.protocol == "local":
                with write_aside(Path(address)) as aside:
                    self.fs.put_file(str(content), str(aside))
            else:
                self.fs.put_file(str(content), address)
            same = _md5(self.fs, address) == oid.removesuffix(".dir")
        if not same:
            msg = f"the DVC remote gave back other bytes than {content.name} had ({address}); check the storage"
            raise ServiceError(msg)


def open_remote(settings: Settings) -> Remote:
    """Open the default DVC remote, or the one at `STILLHOUSE_DVC_URL`, without opening the repository.

    The usual AWS variables of the environment give the S3 endpoint, region and credentials.

    Raises:
        ServiceError: the configuration names no usable remote.
    """
    from dvc.config import Config
    from dvc.exceptions import DvcException
    from dvc.fs import get_cloud_fs

    folder = str(settings.root / ".dvc")
    try:
        config = Config(folder, local_dvc_dir=folder, config=_overrides(settings))
        kind, options, path = get_cloud_fs(config, name=config["core"].get("remote", NAME))
        return Remote(kind(**options), path)
    except (DvcException, ValueError) as error:
        msg = f"the DVC remote cannot be used ({_one_line(error)}); mend .dvc/config or STILLHOUSE_DVC_URL"
        raise ServiceError(msg) from error


def list_folder(folder: Path) -> dict[str, str]:
    """Return relative path -> MD5 of every file below a folder, as DVC lists it."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return dict(sorted((path.relative_to(folder).as_posix(), _md5_of(path)) for path in paths))


def listing_bytes(listing: Mapping[str, str]) -> bytes:
    """Serialise a listing as DVC does."""
    entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(listing.items())]
    return json.dumps(entries, sort_keys=True).encode()


def listing_md5(listing: Mapping[str, str]) -> str:
    """Compute the digest that data.dvc holds for a folder."""
    return f"{_hash(listing_bytes(listing))}.dir"


def _overrides(settings: Settings) -> dict[str, Any]:
    storage: dict[str, Any] = {"verify": True}
    if url := os.environ.get("STILLHOUSE_DVC_URL"):
        storage["url"] = url
    elif settings.state != settings.root / ".stillhouse":
        storage["url"] = str(settings.state / "remote")
    else:
        return {}
    return {"core": {"remote": NAME}, "remote": {NAME: storage}}


@contextmanager
def _answering(path: str) -> Iterator[None]:
    """Turn every error of a storage client into one sentence."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except FileNotFoundError as error:
        msg = f"the DVC remote {path} does not exist ({_one_line(error)}); create the bucket or the folder"
        raise ServiceError(msg) from error
    except (OSError, BotoCoreError, ClientError) as error:
        msg = (
            f"the DVC remote {path} cannot be used ({_one_line(error)}); check that it is up, "
            "AWS_ENDPOINT_URL, the credentials and the disk"
        )
        raise ServiceError(msg) from error


def _md5(fs: Any, address: str) -> str:  # noqa: ANN401 - dvc-objects ships no types
    digest = _hasher()
    with fs.open(address, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return str(digest.hexdigest())


def _md5_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _hasher).hexdigest()


def _hash(content: bytes) -> str:
    digest = _hasher()
    digest.update(content)
    return str(digest.hexdigest())


def _hasher() -> Any:  # noqa: ANN401 - hashlib's own type is private
    return hashlib.md5(usedforsecurity=False)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
