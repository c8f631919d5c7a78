"""What ships: `bundle.json`, and the files of each component of a model.

Whatever reads a deployable reads this, and looks neither at the names of files nor at their shapes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime import legacy_bundle
from stillhouse.models.runtime.digest import sha256

BUNDLE = "bundle.json"
FORMAT = 1
"""The next format has the next number: an older program then refuses it."""


@dataclass(frozen=True)
class Bundle:
    """A deployable that was checked: every file is there, none besides, each with its digest."""

    workload: str
    components: Mapping[str, Sequence[Path]]
    """Component -> its files; the first is the one that is opened."""
    about: Mapping[str, Any]
    """`labels` of classes, `space` of vectors, `licence` of the data: what there is."""
    named_digest: str | None = None
    """Digest in an older scheme."""

    def file(self, component: str) -> Path:
        """Give the file of a component that is opened.

        Raises:
            ModelError: the model has no such component.
        """
        if component not in self.components:
            msg = f"this model has no {component}; it has {', '.join(self.components)}"
            raise ModelError(msg)
        return self.components[component][0]

    @property
    def files(self) -> list[Path]:
        """List what a deployment loads."""
        return [path for paths in self.components.values() for path in paths]

    @property
    def size(self) -> int:
        """Bytes of what a deployment loads."""
        return sum(path.stat().st_size for path in self.files)

    @cached_property
    def digest(self) -> str:
        """Digest of all files, by component; of a single file its own."""
        if self.named_digest is not None:
            return self.named_digest
        digests = {name: {path.name: sha256(path) for path in paths} for name, paths in self.components.items()}
        if len(self.files) == 1:
            return sha256(self.files[0])
        return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def write_bundle(folder: Path, workload: str, components: Mapping[str, Sequence[Path]], **about: object) -> None:
    """Say what a folder holds, once every file is in it.

    Args:
        folder: of the files.
        workload: what the model is for.
        components: component -> its files; the first is the one that is opened.
        about: see `Bundle`.
    """
    listed = {name: {path.name: sha256(path) for path in paths} for name, paths in components.items()}
    content = {"format": FORMAT, "workload": workload, "components": listed, **about}
    (folder / BUNDLE).write_text(json.dumps(content, indent=1), encoding="utf-8")


def open_bundle(shipped: Path) -> Bundle:
    """Read what ships, and check it.

    Raises:
        ModelError: it is none, is of a newer format, or a file is missing, altered or not listed.
    """
    if not (shipped / BUNDLE).is_file():
        return Bundle(*legacy_bundle.read(shipped))
    content = _content(shipped / BUNDLE)
    listed: dict[str, dict[str, str]] = content.pop("components")
    _check(shipped, {file: digest for files in listed.values() for file, digest in files.items()})
    components = {name: [shipped / file for file in files] for name, files in listed.items()}
    return Bundle(content.pop("workload"), components, content)


def _content(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("format")
        whole = [len(files.items()) > 0 for files in content["components"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} cannot be read ({' '.join(str(error).split())[:100]}); run the stage export again"
        raise ModelError(msg) from error
    if version != FORMAT:
        msg = f"{path} is of format {version}, and this version of Stillhouse reads {FORMAT}; update Stillhouse"
        raise ModelError(msg)
    if not whole or not all(whole) or not isinstance(content.get("workload"), str):
        msg = f"{path} names no workload, no component, or one without a file; run the stage export again"
        raise ModelError(msg)
    return content


def _check(folder: Path, listed: Mapping[str, str]) -> None:
    there = {path.name for path in folder.iterdir()} - {BUNDLE}
    for wrong, what in ((set(listed) - there, "misses"), (there - set(listed), "has beside what it lists")):
        if wrong:
            msg = f"the bundle {folder} {what} {', '.join(sorted(wrong))}; run the stage export again"
            raise ModelError(msg)
    for name, digest in listed.items():
        if sha256(folder / name) != digest:
            msg = f"{folder / name} was altered since it was exported; run the stage export again"
            raise ModelError(msg)
