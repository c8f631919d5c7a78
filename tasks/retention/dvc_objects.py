"""Delete objects of the embedded DVC remote that no commit pins, with `dvc gc`.

A data version that a commit, a branch or a tag pins stays for ever. A bucket is left alone, because other repositories
may use it: `dvc gc --cloud` there is for its owner.
"""

import logging
import re
import tempfile
from collections.abc import Collection
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.data.store.git import NoRepositoryError, ask
from stillhouse.tasks.data.store.remote import NAME, Remote, open_remote
from stillhouse.tasks.data.store.revision import POINTER, read_pinned
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.retention.discard import size_of
from stillhouse.tasks.settings import Settings

LISTING = re.compile(r"md5: ([0-9a-f]{32}\.dir)")


def clean_objects(settings: Settings, needed: Collection[str], *, delete: bool) -> tuple[int, int]:
    """Count the objects that no commit pins, or delete them.

    Args:
        settings: the deployment.
        needed: data versions that MLflow names. If no commit pins one of them, nothing is deleted.
        delete: delete the objects.

    Returns:
        Number and bytes of the objects.

    Raises:
        ServiceError: it is not certain which objects are needed, so nothing is deleted.
    """
    if not (settings.root / ".dvc").is_dir() or not (settings.state / "remote").is_dir():
        return 0, 0
    remote = open_remote(settings)
    if Path(remote.path).resolve() != (settings.state / "remote").resolve():
        return 0, 0
    # an ingestion or an import pushes objects before a commit pins them
    with waiting(settings.state / "ingest.lock"), waiting(settings.state / "data.lock"):
        try:
            return _clean(settings, remote, needed, delete=delete)
        except NoRepositoryError:
            return 0, 0


def _clean(settings: Settings, remote: Remote, needed: Collection[str], *, delete: bool) -> tuple[int, int]:
    """Look with git, which takes a second. DVC reads every commit, and is called only if there is something to do."""
    listings = ever_pinned(settings.root)
    for version in needed:
        if version not in listings:
            msg = (
                f"the DVC remote is left as it is: no commit of this checkout pins the data version {version}, which "
                "MLflow names; fetch its branches with `git fetch --all --tags`"
            )
            raise ServiceError(msg)
    pinned = _with_files(remote, listings)
    unpinned = [path for oid, path in _objects(Path(remote.path)) if oid not in pinned]
    freed = sum(map(size_of, unpinned))
    if unpinned and delete:
        _collect(settings.root, remote, pinned)
    return len(unpinned), freed


def ever_pinned(root: Path) -> set[str]:
    """Return the listings that the checkout pins, or that any commit ever pinned.

    Raises:
        NoRepositoryError: the checkout has no history.
        DataError: its data.dvc or its history cannot be read.
    """
    history = ask(root, "log", "--all", "--format=", "--unified=0", "--patch", "--", POINTER) or ""
    return {*LISTING.findall(history), *read_pinned(root, None).values()}


def _with_files(remote: Remote, listings: Collection[str]) -> set[str]:
    """Return listings, and the files that those of them name that the remote has."""
    found = set(listings)
    for listing in listings:
        if Path(remote.address(listing)).exists():
            with tempfile.TemporaryDirectory() as scratch:
                found |= set(remote.listing("?", listing, Path(scratch)).values())
    return found


def _collect(root: Path, remote: Remote, pinned: Collection[str]) -> None:
    """Call `dvc gc`, unless DVC misses an object that the remote has and that is pinned. It would delete that object.

    Raises:
        ServiceError: DVC cannot tell which objects are needed.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # DVC warns of each dataset that this host never had
    config = {"core": {"remote": NAME}, "remote": {NAME: {"url": remote.path}}}
    everything = {"all_commits": True, "remote": NAME, "force": True}
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), Repo(str(root), config=config) as repo:
            known = {oid.value for oids in repo.used_objs(**everything).values() for oid in oids}
            missed = [oid for oid, _ in _objects(Path(remote.path)) if oid in pinned and oid not in known]
            if not missed:
                repo.gc(cloud=True, **everything)
    except (DvcException, SCMError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        msg = f"the DVC remote is left as it is: DVC cannot tell which data is needed ({reason}); mend that"
        raise ServiceError(msg) from error
    if missed:
        msg = f"the DVC remote is left as it is: DVC does not know that {missed[0]} is needed; `dvc fetch` mends that"
        raise ServiceError(msg)


def _objects(remote: Path) -> list[tuple[str, Path]]:
    found = (path for path in (remote / "files" / "md5").glob("??/*") if not path.name.startswith("."))
    return [(path.parent.name + path.name, path) for path in found]
