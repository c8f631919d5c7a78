"""Models on disk: safetensors for the weights, JSON for the architecture, no pickle.

An architecture is a base network and its later structural edits, in order. Loading builds the base network and applies
the edits again. So a pruned or integer model comes back as the same module.
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

from stillhouse.models.aside import write_aside
from stillhouse.models.compression.edits import EDITS
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.registry import build_network, find_network

WEIGHTS = "model.safetensors"
ARCHITECTURE = "architecture.json"
TEXT_LENGTH = 24
"""Characters or tokens of an example sentence. A caption has about as many characters."""
TEXTS = ("text", "tokens")
"""Kinds of input that are texts: code points, or token numbers."""


@dataclass(frozen=True)
class Architecture:
    """All facts needed to build the module, except its weights."""

    network: str
    arguments: dict[str, Any]
    scale: float
    """Divisor of raw pixels. Unused for text and speech."""
    image_shape: tuple[int, ...]
    """Shape of one raw input: (channels, height, width), (samples,), (most tokens,), or a user-defined shape.

    Empty for code points. If inputs have any length, a typical one.
    """
    edits: tuple[dict[str, Any], ...] = ()
    """Structural edits in order, each `{"edit": name of EDITS, ...its arguments}`."""
    quantization: dict[str, Any] | None = None
    """How the exporter makes integers: `activations`, `calibration`, `keep_float`. None ships floats."""
    packing: str | None = None
    """How the exported file is packed. None ships plain ONNX."""
    background: int = 0
    """Value of an empty raw pixel."""

    @property
    def takes(self) -> str:
        """Kind of input: `image` for raw pixels, `text` for code points, `tokens`, `speech` for samples, or another."""
        return find_network(self.network).takes

    @property
    def gives(self) -> str:
        """Kind of output: `logits`, `vectors`, or another word."""
        return find_network(self.network).gives

    @property
    def shortest(self) -> int:
        """Fewest numbers of an input, if its length varies; else 0."""
        return find_network(self.network).shortest

    def build(self) -> nn.Module:
        """Build the module with fresh weights."""
        module = build_network(self.network, self.arguments, self.scale, self.background)
        for edit in self.edits:
            arguments = {key: value for key, value in edit.items() if key != "edit"}
            module = EDITS[edit["edit"]](module, **arguments)
        return module

    def build_seeded(self, seed: int) -> nn.Module:
        """Build the module with fresh weights that depend only on the seed."""
        torch.manual_seed(seed)
        return self.build()

    def with_edits(self, *edits: dict[str, Any]) -> "Architecture":
        """Return this architecture after further edits."""
        return replace(self, edits=(*self.edits, *edits))

    def example(self, count: int = 1) -> Tensor:
        """Return an example input for the network.

        Images are empty floats (count, channels, height, width). Text is code points or tokens (count, TEXT_LENGTH),
        int64.
        Recordings are silent float samples (count, T).
        """
        if self.takes == "text":
            return torch.full((count, TEXT_LENGTH), ord("a"))
        if self.takes == "tokens":
            return torch.ones((count, min(TEXT_LENGTH, *self.image_shape)), dtype=torch.int64)
        return torch.full((count, *self.image_shape), float(self.background))


def save_model(folder: Path, module: nn.Module, architecture: Architecture) -> None:
    """Write the module and its architecture into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / WEIGHTS, module.state_dict(), {})
    (folder / ARCHITECTURE).write_text(json.dumps(asdict(architecture), indent=1), encoding="utf-8")


def load_model(folder: Path) -> tuple[nn.Module, Architecture]:
    """Load a module, in evaluation mode.

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
    """Write tensors to a temporary file, flush it to disk, then rename it."""
    with write_aside(path) as aside:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside, notes)
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error), str(path)) from error
        with aside.open("rb") as stream:
            os.fsync(stream.fileno())


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Load tensors and notes.

    Raises:
        OSError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        msg = f"{path} is damaged ({error}); delete it"
        raise OSError(msg) from error
