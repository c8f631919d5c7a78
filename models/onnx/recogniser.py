"""Adapt a foreign ONNX recogniser of text lines: raw pixels in, logits of some characters for each frame out.

The file names its characters in its metadata, as those of PaddleOCR and RapidOCR do. Its first output is the blank of
CTC. If there is one output more than that and the characters, the last one is the space.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.export import OUTPUTS
from stillhouse.models.onnx.foreign_graph import (
    Answers,
    Chain,
    append,
    check_shape,
    logarithm_of,
    one_line,
    only_ends,
    prepend,
    read_foreign,
    spelt,
)
from stillhouse.models.runtime.session import open_session

Order = Literal["RGB", "BGR"]
CHARACTERS = "character"
"""Key of the metadata that has the characters, one a line."""
SPACE = " "
RANK = 3
"""Axes of the output: lines, frames, characters."""
TRIED = 4
"""Lines on which a file is tried."""
NEAR = 0.01
"""Tolerance for a sum of probabilities, and the largest difference of an answer between batches."""


@dataclass(frozen=True)
class LineForm:
    """How a recogniser is asked: with pixels / scale - offset."""

    scale: float
    offset: float
    order: Order
    """Order of the colours."""
    answers: Answers


def adopt_recogniser(
    source: Path, out_path: Path, form: LineForm, letters: Sequence[str], images_NCHW: NDArray[np.uint8]
) -> None:
    """Write a file that takes uint8 `images_NCHW` and returns `letters_NFV`: the blank, then the letters.

    Args:
        source: the recogniser.
        out_path: path of the new file. Nothing is written unless the file works.
        form: how it is asked.
        letters: the characters that are kept.
        images_NCHW: real lines. The first few are tried.

    Raises:
        ModelError: the file is no recogniser of lines, does not fit, or lacks a letter.
    """
    tried = images_NCHW[:TRIED]
    answers_NFV = try_recogniser(source, form, tried)
    characters, found = characters_of(source, answers_NFV.shape[2]), kind_of(answers_NFV, source)
    if found != form.answers:
        msg = f"{source.name} answers with {found}, not with {form.answers}; set output to {found} in the recipe"
        raise ModelError(msg)
    if lacking := [letter for letter in letters if letter not in characters]:
        msg = f"{source.name} cannot read {lacking[0]!r}, which the texts have; take those lines out of the data"
        raise ModelError(msg)
    columns = [0, *(1 + characters.index(letter) for letter in letters)]
    model = _wrap(source, form, tried.shape[1:], [("Gather", {"by": columns, "axis": 2}), *logarithm_of(form.answers)])
    with tempfile.TemporaryDirectory(dir=out_path.parent) as alone:
        aside = Path(alone) / out_path.name
        aside.write_bytes(model.SerializeToString())
        aside.replace(out_path)


def characters_of(source: Path, outputs: int = 0) -> list[str]:
    """Read the characters of a recogniser from its metadata; number 1 of its outputs is the first one.

    Args:
        source: the recogniser.
        outputs: outputs of a frame. 0: what the file declares. If it declares none, it may read the space too.

    Raises:
        ModelError: it is no ONNX file, its metadata has no characters, or they do not fit its outputs.
    """
    model = read_foreign(source)
    named = {entry.key: entry.value for entry in model.metadata_props}
    if not named.get(CHARACTERS):
        msg = f"{source.name} does not name its characters; give a file with one character a line by --characters"
        raise ModelError(msg)
    characters = named[CHARACTERS].replace("\r", "").removesuffix("\n").split("\n")
    sizes = [side.dim_value for side in only_ends(model, source)[1].type.tensor_type.shape.dim]
    outputs = outputs or (sizes[-1] if len(sizes) == RANK else 0)
    spaced = [*characters, SPACE] if SPACE not in characters else characters
    found = characters if outputs == len(characters) + 1 else spaced
    if outputs not in {0, len(found) + 1}:
        msg = (
            f"{source.name} has {outputs:,} outputs a frame, and {len(characters):,} characters with one blank need "
            f"{len(characters) + 1:,}; give the list that it was trained with by --characters"
        )
        raise ModelError(msg)
    return found


def write_characters(source: Path, characters: Sequence[str], out_path: Path) -> None:
    """Write a copy of an ONNX file whose metadata has these characters.

    Raises:
        ModelError: it is no ONNX file.
    """
    read_foreign(source)  # refuses what is no model
    model = onnx.load(source)
    kept = [entry for entry in model.metadata_props if entry.key != CHARACTERS]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=CHARACTERS, value="\n".join(characters))
    out_path.write_bytes(model.SerializeToString())


def input_shape(source: Path) -> tuple[int, int, int]:
    """Return channels, height and width of a recogniser's lines. A size that the file leaves open is 0.

    Raises:
        ModelError: it does not take pictures with the channels first.
    """
    graph_in = only_ends(read_foreign(source), source)[0]
    sizes = [side.dim_value for side in graph_in.type.tensor_type.shape.dim]
    if len(sizes) != RANK + 1 or sizes[1] not in {1, 3}:
        msg = f"{source.name} takes {spelt(sizes)}, not pictures (N, 3, H, W); export a recogniser of lines that does"
        raise ModelError(msg)
    return sizes[1], sizes[2], sizes[3]


def try_recogniser(source: Path, form: LineForm, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the file's own numbers (N, F, V) for some lines.

    Raises:
        ModelError: it does not run, or answers with another shape, with NaN, or differently in another batch.
    """
    wrapped = _wrap(source, form, images_NCHW.shape[1:], [])
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / source.name
            path.write_bytes(wrapped.SerializeToString())
            session = open_session(path)
        name = session.get_inputs()[0].name
        together, alone = (session.run(None, {name: images_NCHW[:count]})[0] for count in (len(images_NCHW), 1))
    except Exception as error:  # the runtime's errors have no common class
        msg = f"{source.name} does not run in ONNX Runtime ({one_line(error)}); export it with operators that do"
        raise ModelError(msg) from error
    if together.ndim != RANK or len(together) != len(images_NCHW):
        wanted = f"({len(images_NCHW)}, frames, characters)"
        msg = (
            f"{source.name} answers lines with {spelt(together.shape)}, not {wanted}, so it is no recogniser of lines "
            "that ends in CTC; name another model or another --task"
        )
        raise ModelError(msg)
    characters_of(source, together.shape[2])
    if not np.isfinite(together).all() or np.abs(together[:1] - alone).max() > NEAR * max(1, np.abs(alone).max()):
        msg = f"{source.name} answers with NaN, or one line differently in another batch; export it for inference"
        raise ModelError(msg)
    answers_NFV: NDArray[np.float32] = together
    return answers_NFV


def kind_of(answers_NFV: NDArray[np.float32], source: Path) -> Answers:
    """Tell whether the answers are probabilities or logits.

    Raises:
        ModelError: every line has the same answer.
    """
    if len(answers_NFV) > 1 and not np.ptp(answers_NFV, axis=0).any():
        msg = f"{source.name} answers every line alike; export it again with its trained weights"
        raise ModelError(msg)
    sums = np.abs(answers_NFV.sum(2) - 1).max() <= NEAR
    return "probabilities" if sums and answers_NFV.min() >= -NEAR else "logits"


def _wrap(source: Path, form: LineForm, shape: tuple[int, ...], after: Chain) -> onnx.ModelProto:
    model = read_foreign(source)
    graph_in, graph_out = only_ends(model, source)
    check_shape(graph_in, shape, source)
    before: Chain = [("Div", {"by": form.scale})] if form.scale != 1 else []
    before += [("Sub", {"by": form.offset})] if form.offset else []
    before += [("Gather", {"by": [2, 1, 0], "axis": 1})] if form.order == "BGR" and shape[0] == RANK else []
    prepend(model, graph_in, shape, before, source)
    append(model, graph_out, after, (OUTPUTS["letters"], ("batch", "frames", "letters")))
    return model
