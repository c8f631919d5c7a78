"""A teacher's answers on disk: asked once about the same images, whatever the step or the night.

A file holds one named tensor for one set of images and is named by the digest of their bytes; which teacher was asked
is the folder's name, given by the caller.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from models.checkpoint import load_tensors, save_tensors

Ask = Callable[[Tensor], Tensor]
"""Raw images (N, C, H, W) -> one answer per image (N, ...)."""
LOGITS = "logits_NK"


def kept(ask: Ask, folder: Path, name: str = LOGITS) -> Ask:
    """Return `ask` with its answers kept in a folder.

    Args:
        ask: the expensive question.
        folder: one teacher's, made when first needed.
        name: what is asked; every question but for the logits has files of its own.
    """

    def answer(images_NCHW: Tensor) -> Tensor:
        file = folder / f"{hashlib.sha256(images_NCHW.numpy().tobytes()).hexdigest()}{_suffix(name)}.safetensors"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            save_tensors(file, {name: ask(images_NCHW)}, {})
        return load_tensors(file)[0][name]

    return answer


def _suffix(name: str) -> str:
    return "" if name == LOGITS else f".{hashlib.sha256(name.encode()).hexdigest()[:16]}"
