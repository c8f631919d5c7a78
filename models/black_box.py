"""A teacher of which only an ONNX file is known: made to take raw pixels and give logits, then only asked.

Nothing of its inside is used, so any framework's export will do: Keras, PyTorch, JAX, scikit-learn.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors
from torch import Tensor, nn

from models.aside import written_aside
from models.errors import ModelError
from models.export import INPUT
from models.foreign_graph import Answers, Layout, one_line, spelt, wrapped
from models.runtime import open_session, predict

BATCHES = (1, 3)
"""Sizes of the batches of random bytes that a file is tried on."""
_RUNTIME_FAULTS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)


def adopt(  # noqa: PLR0913 - what has to be known of a foreign file
    source: Path,
    out_path: Path,
    *,
    image_shape: tuple[int, ...],
    classes: int,
    layout: Layout,
    scale: float,
    answers: Answers,
) -> None:
    """Write a file that takes uint8 `images_NCHW` and returns `logits_NK`, and try it on random bytes.

    Args:
        source: any ONNX file with one input and one output, and a batch of any size.
        out_path: where to write; nothing is written unless the file works.
        image_shape: (channels, height, width) of a raw image.
        classes: how many answers are expected for an image.
        layout: order of the source's input.
        scale: what raw pixels are divided by before they go in.
        answers: what the source returns.

    Raises:
        ModelError: the file is no ONNX, does not fit these, lacks an operator, or answers with something else.
    """
    model = wrapped(source, image_shape=image_shape, classes=classes, layout=layout, scale=scale, answers=answers)
    with written_aside(out_path) as aside:
        aside.write_bytes(model.SerializeToString())
        _try_out(aside, source, image_shape, classes, answers)


class FileModel(nn.Module):
    """An adopted file that can be asked wherever a network can; it has no numbers of its own and cannot be trained."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        super().__init__()
        self._session = open_session(path)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, C, H, W) of any number type to logits (N, K)."""
        pixels_NCHW = images_NCHW.to(torch.uint8).contiguous().numpy()
        return torch.from_numpy(predict(self._session, pixels_NCHW))


def _try_out(path: Path, source: Path, image_shape: tuple[int, ...], classes: int, answers: Answers) -> None:
    try:
        session = open_session(path)
        tried = [_answers(session, count, image_shape) for count in BATCHES]
    except _RUNTIME_FAULTS as error:
        msg = f"{source.name} does not run in ONNX Runtime ({one_line(error)}); export it with operators that do"
        raise ModelError(msg) from error
    for logits_NK, count in zip(tried, BATCHES, strict=True):
        if logits_NK.shape != (count, classes):
            found, expected = spelt(logits_NK.shape), spelt((count, classes))
            msg = f"{source.name} answers {count} images with {found}, not {expected}; mend its last layer"
            raise ModelError(msg)
        if not np.isfinite(logits_NK).all():
            msg = f"{source.name} answers random pixels with NaN or infinity; mend scale or export it in float32"
            raise ModelError(msg)
        _check_answers(logits_NK, answers, source)


def _answers(session: onnxruntime.InferenceSession, count: int, image_shape: tuple[int, ...]) -> NDArray[np.float32]:
    images_NCHW = np.random.default_rng(count).integers(0, 256, (count, *image_shape), dtype=np.uint8)
    logits_NK: NDArray[np.float32] = session.run(None, {INPUT: images_NCHW})[0]
    return logits_NK


def _check_answers(logits_NK: NDArray[np.float32], answers: Answers, source: Path) -> None:
    """Probabilities sum to 1; logits that do are probabilities by another name."""
    values_NK = np.exp(logits_NK) if answers == "probabilities" else logits_NK
    probable = bool((values_NK >= 0).all() and np.allclose(values_NK.sum(1), 1, atol=0.01))
    if answers == "probabilities" and not probable:
        msg = f"{source.name} does not answer with probabilities, which sum to 1; set answers to logits"
        raise ModelError(msg)
    if answers == "logits" and probable:
        msg = f"{source.name} answers with numbers that sum to 1, as probabilities do; set answers to probabilities"
        raise ModelError(msg)
