"""A teacher's answers on disk: asked once about the same images, whatever the step or the night.

A file holds one named tensor for one set of images and is named by the digest of their shape and bytes; which teacher
was asked, and by which code, is the folder's name, given by the caller.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from stillhouse.models.aside import remove_abandoned
from stillhouse.models.training.checkpoint import load_tensors, save_tensors

Ask = Callable[[Tensor], Tensor]
"""Raw images (N, C, H, W) -> one answer per image (N, ...)."""
LOGITS = "logits_NK"


def kept(ask: Ask, folder: Path, name: str = LOGITS) -> Ask:
    """Return `ask` with its answers kept in a folder.

    Args:
        ask: the expensive question.
        folder: of one teacher asked by one version of the code, made when first needed.
        name: what is asked; every question but for the logits has files of its own.
    """
    remove_abandoned(folder)

    def answer(images_NCHW: Tensor) -> Tensor:
        file = folder / f"{_digest(images_NCHW)}{_suffix(name)}.safetensors"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            save_tensors(file, {name: ask(images_NCHW)}, {})
        return load_tensors(file)[0][name]

    return answer


def _digest(images_NCHW: Tensor) -> str:
    shape = f"{images_NCHW.dtype} {tuple(images_NCHW.shape)} "
    return hashlib.sha256(shape.encode() + images_NCHW.numpy().tobytes()).hexdigest()


def _suffix(name: str) -> str:
    return "" if name == LOGITS else f".{hashlib.sha256(name.encode()).hexdigest()[:16]}"
