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
from numpy.typing import NDArray

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
CLEARLY = 0.2
"""Gain of accuracy from another order of the classes that is no accident."""


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
    reordered: float = 0.0
    """The same accuracy if the file's classes came in another order than the data's labels."""

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
        StillhouseError: the file takes no form of this data (the message is that of the last form), or its classes
            come in another order than the data's labels.
    """
    contents, faults = load_contents(data, SPLIT), list[str]()
    forms = list(_try_all(path, data, contents, faults))
    if not forms:
        raise StillhouseError(faults[-1])
    best = max(forms, key=lambda form: form.accuracy)
    _refuse_another_order(path, best.accuracy, max(form.reordered for form in forms))
    return best


def _refuse_another_order(path: Path, accuracy: float, reordered: float) -> None:
    if reordered > accuracy + CLEARLY:
        msg = (
            f"{path.name} is right for {percent(accuracy)} of the calibration split, and for {percent(reordered)} if "
            "its classes come in another order than the data's labels; write their names into a file, one a line, in "
            "the order of its outputs, and give it by --classes"
        )
        raise StillhouseError(msg)


def _try_all(path: Path, data: Path, contents: Contents, faults: list[str]) -> Iterator[Form]:
    is_sound = contents.raw.ndim == 2  # noqa: PLR2004 - recordings and samples
    layouts, scales = (("NCHW",), LOUDNESSES) if is_sound else (get_args(Layout), SCALES)
    for layout, scale, output in product(layouts, scales, get_args(Answers)):
        try:
            classes_N = _classes(path, data, contents, layout, scale, output)
            right, other = (float(np.mean(each)) for each in _right(classes_N, contents.labels_N))
            yield Form(layout, scale, output, right, "samples" if is_sound else f"{layout} pixels", other)
        except ModelError as error:
            faults.append(str(error))


def _right(classes_N: NDArray[np.int64], labels_N: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which examples are right (N): as the classes come, and if each one meant the label that it mostly meets.

    Both are the same if two classes mostly meet one label.
    """
    right_N = classes_N == labels_N
    meant = {int(each): int(np.bincount(labels_N[classes_N == each]).argmax()) for each in np.unique(classes_N)}
    if len({*meant.values()}) < len(meant):
        return right_N, right_N
    return right_N, np.array([meant[int(each)] for each in classes_N]) == labels_N


def _classes(  # noqa: PLR0913, PLR0917 - one form
    path: Path, data: Path, contents: Contents, layout: Layout, scale: float, output: Answers
) -> NDArray[np.int64]:
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
    classes_N: NDArray[np.int64] = logits_NK.argmax(1)
    return classes_N
