"""Cache of teacher outputs on disk: the teacher runs once on the same images, for all steps and all runs.

A file holds one named tensor for one set of images. The file's name is the digest of the shape and the bytes of the
images. The caller gives the folder. The folder's name identifies the teacher and the version of the code.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from stillhouse.models.aside import remove_abandoned
from stillhouse.models.training.checkpoint import load_tensors, save_tensors

Ask = Callable[[Tensor], Tensor]
"""Raw images (N, C, H, W) -> one output per image (N, ...)."""
LOGITS = "logits_NK"


def cache_outputs(ask: Ask, folder: Path, name: str = LOGITS) -> Ask:
    """Return `ask` with its outputs cached in a folder.

    Args:
        ask: the expensive function.
        folder: belongs to one teacher and one version of the code. It is created when first needed.
        name: name of the output. Every output except the logits has separate files.
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
