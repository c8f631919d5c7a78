"""Draw a recording: its tones over time, and below them where each model hears letters."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

COLUMN, ROW, TRACK, GAP = 4, 2, 16, 4
"""Width of a column and height of a row of the tones, height of a track and of a gap, in pixels."""
VISIBLE = 0.01
"""Smaller probabilities are not drawn."""


def draw_hearing(example: Mapping[str, Any]) -> str:
    """Return an SVG picture of an example: the tones, then a track for the teacher and one for the student."""
    tones = example["spectrogram"]
    width, height = COLUMN * len(tones[0]), ROW * len(tones)
    tracks = "".join(
        _track(example["spoken"][model], width, height + GAP + number * (TRACK + GAP))
        for number, model in enumerate(("teacher", "student"))
    )
    total = height + 2 * (TRACK + GAP)
    return (
        f'<svg viewBox="0 0 {width} {total}" width="{width}" height="{total}" role="img" '
        f'aria-label="tones over time, and where teacher and student hear letters">'
        f'<image width="{width}" height="{height}" preserveAspectRatio="none" href="{_address(tones)}"/>{tracks}</svg>'
    )


def _address(tones: list[list[int]]) -> str:
    """Return the tones as a PNG file in a data URL. Loud is dark, and low tones are below."""
    shades = 255 - np.array(tones, np.uint8)[::-1]
    stream = io.BytesIO()
    Image.fromarray(shades).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _track(spoken: list[float], width: int, top: int) -> str:
    """Draw the probability of any letter in each frame."""
    step = width / max(1, len(spoken))
    bars = "".join(
        f'<rect x="{step * place:.1f}" y="{top + TRACK * (1 - chance):.1f}" width="{step:.1f}" '
        f'height="{TRACK * chance:.1f}"/>'
        for place, chance in enumerate(spoken)
        if chance > VISIBLE
    )
    return f'<g fill="#2a6f97">{bars}</g>'
