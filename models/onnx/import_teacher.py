"""A teacher of which only an ONNX file is known: made to take raw pixels and give logits, then only asked.

Nothing of its inside is used, so any framework's export will do: Keras, PyTorch, JAX, scikit-learn.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.answer_kind import check_kind
from stillhouse.models.onnx.export import INPUT
from stillhouse.models.onnx.foreign_graph import Answers, Layout, one_line, spelt, wrapped
from stillhouse.models.runtime.session import open_session, predict

EXAMPLES = 500
"""Real examples that a file is tried on, as many as it is asked about at once."""
BATCHES = (1, 3, EXAMPLES)
SAME = 0.01
"""A class's probability may differ by this from one time or batch to another."""


def adopt(  # noqa: PLR0913 - what has to be known of a foreign file
    source: Path,
    out_path: Path,
    *,
    image_shape: tuple[int, ...],
    classes: int,
    layout: Layout,
    scale: float,
    answers: Answers,
    examples_NCHW: NDArray[np.uint8],
) -> None:
    """Write a file that takes uint8 `images_NCHW` and returns `logits_NK`, and try it as it will be asked.

    A copy that stands alone in a folder is opened as a teacher is, and asked about real examples, in batches of one, of
    a few and of many.

    Args:
        source: any ONNX file with one input and one output, and a batch of any size.
        out_path: where to write; nothing is written unless the file works.
        image_shape: (channels, height, width) of a raw image.
        classes: how many answers are expected for an image.
        layout: order of the source's input.
        scale: what raw pixels are divided by before they go in.
        answers: what the source returns.
        examples_NCHW: real raw images of the data, of which the first `EXAMPLES` count.

    Raises:
        ModelError: the file is no ONNX, does not fit these, lacks an operator, or answers with something else.
    """
    model = wrapped(source, image_shape=image_shape, classes=classes, layout=layout, scale=scale, answers=answers)
    with tempfile.TemporaryDirectory(dir=out_path.parent) as alone:
        aside = Path(alone) / out_path.name
        aside.write_bytes(model.SerializeToString())
        check_kind(_tried(aside, source, examples_NCHW[:EXAMPLES], classes), answers, source.name)
        aside.replace(out_path)


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


def _tried(path: Path, source: Path, examples_NCHW: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Ask a file about examples; returns logits_NK, which are the same whatever the batch."""
    try:
        session = open_session(path)
        tried = [session.run(None, {INPUT: examples_NCHW[:count]})[0] for count in (*BATCHES, EXAMPLES)]
    except Exception as error:  # the runtime's errors have no common class
        msg = f"{source.name} does not run in ONNX Runtime ({one_line(error)}); export it with operators that do"
        raise ModelError(msg) from error
    logits_NK: NDArray[np.float32] = tried[-1]
    for answers_BK, batch in zip(tried, (*BATCHES, EXAMPLES), strict=True):
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
