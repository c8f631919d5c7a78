"""Find out what an ONNX classifier wants and gives: layout and scale of pixels or samples, logits or probabilities.

The file rarely says it. Each form that the file accepts is tried on the calibration split, and the form with the best
accuracy is taken and told to the user.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np

from stillhouse.models.data.contents import Contents, load_contents
from stillhouse.models.data.description import describe
from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.foreign_graph import Answers, Layout
from stillhouse.models.onnx.import_teacher import adopt
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.reporting.quantities import percent

SPLIT = "calibration"
SCALES = (1.0, 255.0, 127.5)
"""Divisors of raw pixels that people use."""
LOUDNESSES = (32_768.0, 1.0)
"""Divisors of 16-bit samples that people use."""
AT_ONCE = 16


@dataclass(frozen=True)
class Form:
    """How a file is asked."""

    layout: Layout
    scale: float
    output: Answers
    accuracy: float
    """On the calibration split."""
    what: str = "pixels"
    """What the file takes, in words."""

    @property
    def section(self) -> dict[str, Any]:
        """Keys of the recipe's section `teacher`."""
        return {"layout": self.layout, "scale": self.scale, "output": self.output}

    @property
    def assumed(self) -> tuple[str, ...]:
        """What is taken to be so, in words."""
        divided = f"divided by {self.scale:g}" if self.scale != 1 else "as they are"
        how = f"the file takes {self.what} {divided} and gives {self.output}"
        return (f"{how}: with this its accuracy on the calibration split is {percent(self.accuracy)}, the best of all",)


def find_form(path: Path, data: Path) -> Form:
    """Try every form on the calibration split.

    Raises:
        StillhouseError: the file takes no form of this data. The message is that of the last form.
    """
    contents, faults = load_contents(data, SPLIT), list[str]()
    forms = list(_try_all(path, data, contents, faults))
    if not forms:
        raise StillhouseError(faults[-1])
    return max(forms, key=lambda form: form.accuracy)


def _try_all(path: Path, data: Path, contents: Contents, faults: list[str]) -> Iterator[Form]:
    is_sound = contents.raw.ndim == 2  # noqa: PLR2004 - recordings and samples
    layouts, scales = (("NCHW",), LOUDNESSES) if is_sound else (get_args(Layout), SCALES)
    for layout, scale, output in product(layouts, scales, get_args(Answers)):
        try:
            accuracy = _accuracy(path, data, contents, layout, scale, output)
            yield Form(layout, scale, output, accuracy, "samples" if is_sound else f"{layout} pixels")
        except ModelError as error:
            faults.append(str(error))


def _accuracy(  # noqa: PLR0913, PLR0917 - one form
    path: Path, data: Path, contents: Contents, layout: Layout, scale: float, output: Answers
) -> float:
    described = describe(data)
    with tempfile.TemporaryDirectory() as folder:
        adopted = Path(folder) / "teacher.onnx"
        adopt(
            path,
            adopted,
            image_shape=contents.raw.shape[1:],
            classes=len(described["labels"]),
            layout=layout,
            scale=scale,
            answers=output,
            examples_NCHW=contents.raw,
        )
        logits_NK = predict(open_session(adopted), contents.raw, AT_ONCE)
    return float(np.mean(logits_NK.argmax(1) == contents.labels_N))
