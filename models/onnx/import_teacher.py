"""Import a teacher that exists only as an ONNX file. The adapted file takes raw pixels or samples, returns logits.

The teacher is only run, and its inside is not used. So the export of any framework works: Keras, PyTorch, JAX,
scikit-learn.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.answer_kind import check_kind
from stillhouse.models.onnx.foreign_graph import Answers, Layout, one_line, spelt, wrap
from stillhouse.models.runtime.session import open_session, predict

EXAMPLES = 500
"""Number of real examples on which a file is tried, and the largest batch of a later request."""
BATCHES = (1, 3)
SOUNDS = 16
"""The same of recordings, of which each has tens of thousands of numbers."""
SAMPLES = "tensor(int16)"
"""The runtime's name for the type of samples."""
SAME = 0.01
"""Largest allowed difference of a class's probability between runs or batches."""


def adopt(  # noqa: PLR0913 - what has to be known of a foreign file
    source: Path,
    out_path: Path,
    *,
    image_shape: tuple[int, ...],
    classes: int,
    layout: Layout,
    scale: float,
    answers: Answers,
    examples_NCHW: NDArray[Any],
) -> None:
    """Write a file that takes uint8 `images_NCHW` or int16 `samples_NT` and returns `logits_NK`, and try it.

    The trial opens a copy, alone in a folder, in the same way as a teacher is opened later. It runs on real examples in
    batches of one, of a few and of many.

    Args:
        source: any ONNX file with one input, one output, and a batch of any size.
        out_path: path of the new file. Nothing is written unless the file works.
        image_shape: (channels, height, width) of a raw image, or (samples,) of a recording.
        classes: expected number of outputs per image.
        layout: order of the dimensions of the source's input.
        scale: divisor of the raw pixels.
        answers: kind of the source's outputs.
        examples_NCHW: real raw inputs of the data, (N, T) if they are recordings. The first `EXAMPLES` are used.

    Raises:
        ModelError: the file is not ONNX, does not fit the arguments, lacks an operator, or has outputs of another kind.
    """
    model = wrap(source, image_shape=image_shape, classes=classes, layout=layout, scale=scale, answers=answers)
    with tempfile.TemporaryDirectory(dir=out_path.parent) as alone:
        aside = Path(alone) / out_path.name
        aside.write_bytes(model.SerializeToString())
        tried = examples_NCHW[: SOUNDS if len(image_shape) == 1 else EXAMPLES]
        check_kind(_try(aside, source, tried, classes), answers, source.name)
        aside.replace(out_path)


class FileModel(nn.Module):
    """An adopted file as a module that can be called like a network. It has no parameters and cannot be trained."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        super().__init__()
        self._session = open_session(path)
        self._raw = torch.int16 if self._session.get_inputs()[0].type == SAMPLES else torch.uint8

    def forward(self, inputs: Tensor) -> Tensor:
        """Map raw pixels (N, C, H, W) or samples (N, T), of any number type, to logits (N, K)."""
        return torch.from_numpy(predict(self._session, inputs.to(self._raw).contiguous().numpy()))


def _try(path: Path, source: Path, examples_NCHW: NDArray[Any], classes: int) -> NDArray[np.float32]:
    """Run a file on examples. Returns logits_NK and checks that they are the same in batches of any size."""
    try:
        session = open_session(path)
        name, batches = session.get_inputs()[0].name, (*BATCHES, len(examples_NCHW), len(examples_NCHW))
        tried = [session.run(None, {name: examples_NCHW[:count]})[0] for count in batches]
    except Exception as error:  # the runtime's errors have no common class
        msg = f"{source.name} does not run in ONNX Runtime ({one_line(error)}); export it with operators that do"
        raise ModelError(msg) from error
    logits_NK: NDArray[np.float32] = tried[-1]
    for answers_BK, batch in zip(tried, batches, strict=True):
        _check_batch(answers_BK, (min(batch, len(examples_NCHW)), classes), source.name)
    if any(not _same(answers_BK, logits_NK[: len(answers_BK)]) for answers_BK in tried):
        msg = (
            f"{source.name} answers the same image differently another time or in another batch; "
            "export it for inference, without dropout and without statistics of the batch"
        )
        raise ModelError(msg)
    return logits_NK


def _check_batch(logits_NK: NDArray[np.float32], expected: tuple[int, int], name: str) -> None:
    if logits_NK.shape != expected:
        found = spelt(logits_NK.shape)
        msg = f"{name} answers {expected[0]} images with {found}, not {spelt(expected)}; mend its last layer"
        raise ModelError(msg)
    if not np.isfinite(logits_NK).all():
        msg = f"{name} answers real images with NaN or infinity; mend scale or export it in float32"
        raise ModelError(msg)


def _same(one_NK: NDArray[np.float32], other_NK: NDArray[np.float32]) -> bool:
    one_NK, other_NK = (np.exp(each_NK - each_NK.max(1, keepdims=True)) for each_NK in (one_NK, other_NK))
    gaps_NK = one_NK / one_NK.sum(1, keepdims=True) - other_NK / other_NK.sum(1, keepdims=True)
    return bool(np.abs(gaps_NK).max() <= SAME)
