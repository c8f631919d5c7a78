"""Find out how an ONNX recogniser of text lines is asked, and refuse one that does not read the data.

The file does not say how it scales pixels. Each way is tried on the calibration split, and the one with the fewest
errors is taken and told to the user.
"""

from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_args

from stillhouse.models.data.description import describe
from stillhouse.models.data.written.lines import Lines, load_lines
from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.source import Source
from stillhouse.models.measurement.transcription import count_errors
from stillhouse.models.onnx.recogniser import (
    LineForm,
    Order,
    characters_of,
    input_shape,
    kind_of,
    try_recogniser,
    write_characters,
)
from stillhouse.models.workloads.transcripts.spelling import read_greedily
from stillhouse.tasks.data.importing.wanted import LINE_HEIGHT, Shape
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.ladder.families.line_rungs import LineData
from stillhouse.tasks.reporting.quantities import percent

SPLIT = "calibration"
MOST_TRIED = 32
"""Lines on which each way is tried."""
SCALES = ((127.5, 1.0), (255.0, 0.0), (1.0, 0.0))
"""Divisors of raw pixels that people use, and what is then subtracted."""
WORST = 0.5
"""Largest character error rate of a teacher that is worth compressing."""


class Asked(NamedTuple):
    """How a file is asked, and what came of it."""

    form: LineForm
    errors: float
    """Character error rate on some lines of the calibration split."""
    frames: int

    @property
    def section(self) -> dict[str, Any]:
        """Keys of the recipe's section `teacher`."""
        form = self.form
        return {"scale": form.scale, "offset": form.offset, "colours": form.order, "output": form.answers}


def shape_of_lines(path: Path) -> Shape:
    """Return channels, height and width of the lines that a file takes. A width of 0: any.

    Raises:
        ModelError: it takes no pictures of lines.
    """
    channels, height, width = input_shape(path)
    return channels, height or LINE_HEIGHT, width


def find_line_form(path: Path, data: Path) -> Asked:
    """Try every way to ask a file on the calibration split, and take the best one.

    Raises:
        StillhouseError: it reads more than half of the characters wrongly in every way.
        ModelError: it is no recogniser of these lines.
    """
    found = load_lines(data, SPLIT)
    lines = Lines(found.images_NCHW[:MOST_TRIED], found.texts[:MOST_TRIED])
    orders: tuple[Order, ...] = get_args(Order) if lines.images_NCHW.shape[1] > 1 else ("RGB",)
    asked = [_ask(path, lines, scale, order) for scale, order in product(SCALES, orders)]
    best = min(asked, key=lambda each: each.errors)
    if best.errors > WORST:
        msg = (
            f"{path.name} reads {percent(best.errors)} of the characters of the calibration split wrongly, however its "
            "pixels are scaled; give lines that it can read, or the characters in its own order by --characters"
        )
        raise StillhouseError(msg)
    return best


def say_form(path: Path, data: Path, asked: Asked) -> tuple[str, ...]:
    """Return what is taken to be so, in words."""
    form = asked.form
    less = f" minus {form.offset:g}" if form.offset else ""
    kept, every = len(describe(data)["lines"]["letters"]), len(characters_of(path))
    how = f"the file takes {form.order} pixels divided by {form.scale:g}{less} and gives {form.answers}"
    wrong = f"with this it reads {percent(asked.errors)} of the characters of the calibration split wrongly"
    cut = f"the student reads {kept:,} of the file's {every:,} characters, those of your texts"
    return f"{how}: {wrong}, the least of all", f"{cut}; to keep another character, give lines that have it"


def line_data(data: Path, frames: int) -> LineData:
    """Describe a dataset of lines for the rungs."""
    described = describe(data)
    channels, height, width = described["image_shape"]
    return LineData(channels, height, width, frames, int(described["splits"]["train"]["count"]))


def with_characters(source: Source, characters: Path, folder: Path) -> Path:
    """Write a copy of a file that names its characters, into a folder. Returns its path.

    Args:
        source: the recogniser.
        characters: a text file, one character a line.
        folder: is made if it is not there.

    Raises:
        StillhouseError: the list cannot be read, or has a line that is not one character.
    """
    try:
        listed = characters.read_text(encoding="utf-8").replace("\r", "").removesuffix("\n").split("\n")
    except (OSError, UnicodeError) as error:
        msg = f"{characters} cannot be read as UTF-8 ({error}); give a text file with one character a line"
        raise StillhouseError(msg) from error
    if wrong := next((place for place, each in enumerate(listed, start=1) if len(each) != 1), 0):
        msg = f"line {wrong} of {characters} is not one character; give a text file with one character a line"
        raise StillhouseError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{source.name}.onnx"
    write_characters(source.path, listed, path)
    return path


def _ask(path: Path, lines: Lines, scale: tuple[float, float], order: Order) -> Asked:
    form = LineForm(*scale, order, "logits")
    answers_NFV = try_recogniser(path, form, lines.images_NCHW)
    characters = characters_of(path, answers_NFV.shape[2])
    texts = [read_greedily(answers_FV, characters) for answers_FV in answers_NFV]
    errors = count_errors(lines.texts, texts, "characters").rate
    try:
        kind = kind_of(answers_NFV, path)
    except ModelError:  # another way may do; if none does, its error rate refuses the file
        kind, errors = "logits", max(errors, 1.0)
    return Asked(LineForm(*scale, order, kind), errors, answers_NFV.shape[1])
