"""A shipped model: `bundle.json`, and the files of each component.

Every reader of a deployable uses this module and does not rely on file names or shapes.
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
"""Version of the format. A newer format has a higher number, and an older program refuses it."""


@dataclass(frozen=True)
class Bundle:
    """A checked deployable: every listed file is there with its digest, and no other file is there."""

    workload: str
    components: Mapping[str, Sequence[Path]]
    """Component -> its files. The first file is the one that is opened."""
    about: Mapping[str, Any]
    """Optional facts: `labels` of classes, `space` of vectors, `licence` of the data."""
    named_digest: str | None = None
    """Digest in an older scheme, if the bundle has one."""

    def file(self, component: str) -> Path:
        """Return the file of a component that is opened.

        Raises:
            ModelError: the model has no such component.
        """
        if component not in self.components:
            msg = f"this model has no {component}; it has {', '.join(self.components)}"
            raise ModelError(msg)
        return self.components[component][0]

    @property
    def files(self) -> list[Path]:
        """List the files that a deployment loads."""
        return [path for paths in self.components.values() for path in paths]

    @property
    def size(self) -> int:
        """Total bytes of the files that a deployment loads."""
        return sum(path.stat().st_size for path in self.files)

    @cached_property
    def digest(self) -> str:
        """Digest of all files, by component. If there is a single file, its own digest."""
        if self.named_digest is not None:
            return self.named_digest
        digests = {name: {path.name: sha256(path) for path in paths} for name, paths in self.components.items()}
        if len(self.files) == 1:
            return sha256(self.files[0])
        return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def write_bundle(folder: Path, workload: str, components: Mapping[str, Sequence[Path]], **about: object) -> None:
    """Write `bundle.json`, after all files are in the folder.

    Args:
        folder: folder of the files.
        workload: name of the model's workload.
        components: component -> its files. The first file is the one that is opened.
        about: see `Bundle`.
    """
    listed = {name: {path.name: sha256(path) for path in paths} for name, paths in components.items()}
    content = {"format": FORMAT, "workload": workload, "components": listed, **about}
    (folder / BUNDLE).write_text(json.dumps(content, indent=1), encoding="utf-8")


def open_bundle(shipped: Path) -> Bundle:
    """Read a shipped bundle, and check it.

    Raises:
        ModelError: it is not a bundle, has a newer format, or a file is missing, altered or not listed.
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
