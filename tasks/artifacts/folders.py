"""Where artifacts of one key lie on this host. A whole folder is never deleted or changed while a stage may read it.

Work that is repeated mostly makes the same bytes. The first folder then stays. Other bytes go to a folder beside it,
named after their digest. A damaged folder is repaired file by file, each with one rename, so no file is ever missing.
"""

import json
import shutil
from pathlib import Path

from stillhouse.tasks.artifacts.artifact import MANIFEST, Artifact, identity_of, verify
from stillhouse.tasks.errors import ArtifactError


def find(folder: Path, digest: str) -> Artifact | None:
    """Find the whole artifact with a digest, in the key's folder or in the folder beside it."""
    for place in (folder, _beside(folder, digest)):
        try:
            artifact = verify(place)
        except ArtifactError:
            continue  # absent or damaged here
        if artifact.digest == digest:
            return artifact
    return None


def install(new: Path, folder: Path) -> Artifact:
    """Move a whole artifact to its key's folder, or beside it if that folder holds other bytes.

    `new` no longer exists then.

    The caller holds the key's lock.
    """
    artifact = verify(new)
    known = find(folder, artifact.digest)
    if known is not None:
        shutil.rmtree(new)
        return known
    free = _read_claim(folder) in {None, artifact.digest}
    return verify(move_into(new, folder if free else _beside(folder, artifact.digest)))


def move_into(new: Path, folder: Path) -> Path:
    """Move the files of `new` into `folder`. In an existing folder, one rename replaces each file, MANIFEST last."""
    if not folder.exists():
        new.rename(folder)
        return folder
    wanted = sorted(_files(new), key=lambda name: name == Path(MANIFEST))
    for name in wanted:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).replace(folder / name)
    for name in _files(folder) - set(wanted):
        (folder / name).unlink()
    shutil.rmtree(new)
    return folder


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def _beside(folder: Path, digest: str) -> Path:
    return folder.with_name(f"{folder.name}-{digest[:12]}")


def _read_claim(folder: Path) -> str | None:
    """Return the digest that a folder's manifest names, even if its files are damaged.

    None without a readable manifest.
    """
    try:
        return identity_of(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
