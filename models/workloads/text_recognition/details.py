"""Additional results of two recognisers of lines: kinds of errors, and lines with what each one read."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stillhouse.models.data.written.lines import Lines
from stillhouse.models.workloads.transcripts.rates import Texts, rates

EXAMPLES = 12
"""Lines that the report shows. Half of them are read differently by teacher and student, if there are such lines."""
LENGTHS = ("short", "medium", "long")


def describe_lines(split: Lines, texts: Texts) -> dict[str, Any]:
    """Return the results of `teacher` and `student` that only text recognition has."""
    order = np.argsort([len(text) for text in split.texts], kind="stable")
    parts = {name: part.tolist() for name, part in zip(LENGTHS, np.array_split(order, len(LENGTHS)), strict=True)}
    slices = [_of(f"{name} lines", split, texts, places) for name, places in parts.items() if places]
    return {
        "rates": [rates("all", split.texts, texts), *slices],
        "examples": [_example(split, texts, place) for place in _chosen(texts)],
    }


def _of(name: str, split: Lines, texts: Texts, places: list[int]) -> dict[str, Any]:
    chosen = {model: [own[place] for place in places] for model, own in texts.items()}
    return rates(name, [split.texts[place] for place in places], chosen)


def _chosen(texts: Texts) -> list[int]:
    """Choose lines, evenly: half of those that are read differently, half of all."""
    first, second = (np.array(own) for own in texts.values())
    every = range(len(first))
    places = {*_spread(np.flatnonzero(first != second)), *_spread(np.array(every))}
    return sorted(places)


def _spread(places_N: NDArray[Any]) -> list[int]:
    count = min(EXAMPLES // 2, len(places_N))
    return [int(places_N[place]) for place in np.linspace(0, len(places_N) - 1, count).round().astype(int)]


def _example(split: Lines, texts: Texts, place: int) -> dict[str, Any]:
    read = {name: own[place] for name, own in texts.items()}
    return {"text": split.texts[place], "picture": _address(split.images_NCHW[place]), **read}


def _address(image_CHW: NDArray[np.uint8]) -> str:
    """Return a picture as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png_of(image_CHW)).decode()}"


def png_of(image_CHW: NDArray[np.uint8]) -> bytes:
    """Return a picture as a PNG file."""
    stream = io.BytesIO()
    image_HWC = image_CHW.transpose(1, 2, 0)
    Image.fromarray(image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC).save(stream, "PNG")
    return stream.getvalue()
