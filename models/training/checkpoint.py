"""Models on disk: safetensors for the numbers, JSON for the architecture, nothing pickled.

An architecture is a base network and the structural edits made to it since, in order. Loading builds the base
and replays the edits, so a pruned or integer model comes back as the module it was.
"""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stillhouse.models.aside import written_aside
from stillhouse.models.compression.edits import EDITS
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.registry import build_network, find_network

WEIGHTS = "model.safetensors"
ARCHITECTURE = "architecture.json"
TEXT_LENGTH = 24
"""Characters of an example sentence, about as many as a caption has."""


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the module, but for its numbers."""

    network: str
    arguments: dict[str, Any]
    scale: float
    """What raw pixels are divided by; unused for text and speech."""
    image_shape: tuple[int, ...]
    """(channels, height, width) of one raw image, (samples,) of one recording, or as it is; empty for text."""
    edits: tuple[dict[str, Any], ...] = ()
    """Structural edits since, each `{"edit": name of EDITS, ...its arguments}`."""
    quantization: dict[str, Any] | None = None
    """How the exporter makes integers: `activations`, `calibration`, `keep_float`; None ships floats."""
    packing: str | None = None
    """How the exported file is coded; None ships plain ONNX."""
    background: int = 0
    """Value of an empty raw pixel."""

    @property
    def takes(self) -> str:
        """Say what goes in: `image` for raw pixels, `text` for code points, `speech` for samples, or another word."""
        return find_network(self.network).takes

    @property
    def gives(self) -> str:
        """Say what comes out: `logits`, `vectors`, or another word."""
        return find_network(self.network).gives

    def build(self) -> nn.Module:
        """Build the module with fresh numbers."""
        module = build_network(self.network, self.arguments, self.scale, self.background)
        for edit in self.edits:
            arguments = {key: value for key, value in edit.items() if key != "edit"}
            module = EDITS[edit["edit"]](module, **arguments)
        return module

    def build_seeded(self, seed: int) -> nn.Module:
        """Build the module with fresh numbers that depend on nothing but the seed."""
        torch.manual_seed(seed)
        return self.build()

    def edited(self, *edits: dict[str, Any]) -> "Architecture":
        """Return this architecture after further edits."""
        return replace(self, edits=(*self.edits, *edits))

    def example(self, count: int = 1) -> Tensor:
        """Make an input: empty images (count, channels, height, width), as floats, or what else the network takes.

        That is code points (count, TEXT_LENGTH), int64, of text, or samples (count, T), as floats, of silence.
        """
        if self.takes == "text":
            return torch.full((count, TEXT_LENGTH), ord("a"))
        return torch.full((count, *self.image_shape), float(self.background))


def save_model(folder: Path, module: nn.Module, architecture: Architecture) -> None:
    """Write the module and its architecture into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / WEIGHTS, module.state_dict(), {})
    (folder / ARCHITECTURE).write_text(json.dumps(asdict(architecture), indent=1), encoding="utf-8")


def load_model(folder: Path) -> tuple[nn.Module, Architecture]:
    """Read a module back, in evaluation mode.

    Raises:
        ModelError: a file is missing, damaged, or does not fit the architecture.
    """
    try:
        fields = json.loads((folder / ARCHITECTURE).read_text(encoding="utf-8"))
        fields |= {"image_shape": tuple(fields["image_shape"]), "edits": tuple(fields["edits"])}
        architecture = Architecture(**fields)
        module = architecture.build()
        module.load_state_dict(load_tensors(folder / WEIGHTS)[0])
    except (OSError, TypeError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        msg = f"{folder} does not hold a whole model ({reason}); run the stage that makes it again"
        raise ModelError(msg) from error
    return module.eval(), architecture


def save_tensors(path: Path, tensors: Mapping[str, Tensor], notes: dict[str, str]) -> None:
    """Write tensors aside, flush them to disk, then rename."""
    with written_aside(path) as aside:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside, notes)
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error), str(path)) from error
        with aside.open("rb") as stream:
            os.fsync(stream.fileno())


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and notes back.

    Raises:
        OSError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        msg = f"{path} is damaged ({error}); delete it"
        raise OSError(msg) from error
