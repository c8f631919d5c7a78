"""Shipped models from before `bundle.json`: one exported file, or a folder of encoders with `towers.json`.

Read only. Old champions in this form are served, compared and used for rollbacks, but never written again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.runtime.digest import sha256

ABOUT = "towers.json"


def read(shipped: Path) -> tuple[str, dict[str, list[Path]], dict[str, Any], str]:
    """Return workload, components, facts (see `Bundle.about`), and the digest in the old scheme.

    Raises:
        ModelError: it has neither form.
    """
    return _towers(shipped) if shipped.is_dir() else _file(shipped)


def _file(path: Path) -> tuple[str, dict[str, list[Path]], dict[str, Any], str]:
    if not path.is_file():
        msg = f"there is no model at {path}; run the stage export again"
        raise ModelError(msg)
    return "image_classification", {"model": [path]}, {}, sha256(path)


def _towers(folder: Path) -> tuple[str, dict[str, list[Path]], dict[str, Any], str]:
    try:
        content = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        files = {name: deployable(folder, name) for name in content["towers"]}
        about = {"space": content["space"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder} is no bundle ({error}); run the stage export again"
        raise ModelError(msg) from error
    digests = {path.name: sha256(path) for path in (folder / ABOUT, *files.values())}
    digest = hashlib.sha256(json.dumps(digests, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return "retrieval", {name: [path] for name, path in files.items()}, about, digest
