"""What a target's file is made of: a bundle, and where a runtime needs the network itself, its checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.runtime.bundle import BUNDLE, Bundle, open_bundle
from stillhouse.models.runtime.legacy_bundle import ABOUT
from stillhouse.models.workloads.registry import ALONE

Form = Literal["file", "adopted", "named"]
"""Of what a student is made: an ONNX file alone, the user's network changed in place, one of our own networks."""
CHECKPOINT = "architecture.json"
"""File of a checkpoint folder; see `models.training.checkpoint`, which needs torch."""


@dataclass(frozen=True)
class Source:
    """A model to convert."""

    bundle: Bundle
    """Its files for ONNX Runtime, which is what the target is compared with."""
    checkpoints: Path | None = None
    """Folder with a checkpoint for each component, if there is one."""

    def checkpoint(self, component: str, target: str) -> Path:
        """Return the checkpoint folder of a component.

        Raises:
            ModelError: the source has none.
        """
        if self.checkpoints and (self.checkpoints / component / CHECKPOINT).is_file():
            return self.checkpoints / component
        msg = (
            f"{target} files are made of a checkpoint, and this model has only an ONNX file; name the folder model of "
            f"the recipe's last step, or run stillhouse compress --target {target}"
        )
        raise ModelError(msg)


def open_source(path: Path) -> Source:
    """Open a bundle, or the checkpoint of an image classifier.

    Raises:
        ModelError: it is neither.
    """
    if (path / CHECKPOINT).is_file():
        return Source(Bundle("image_classification", {ALONE: [deployable(path, ALONE)]}, {}), path.parent)
    if not path.exists():
        msg = f"{path} is not there; name the folder of a bundle, such as compressed/NAME/bundle"
        raise ModelError(msg)
    if path.is_dir() and not any((path / name).is_file() for name in (BUNDLE, ABOUT)):
        msg = f"{path} has no {BUNDLE} and no {CHECKPOINT}; name the folder of a bundle, such as compressed/NAME/bundle"
        raise ModelError(msg)
    return Source(open_bundle(path))
