"""Draw a recording as SVG: its tones over time, and below them where each model hears letters."""

from collections.abc import Mapping
from typing import Any

COLUMN, ROW, TRACK = 4, 2, 16
"""Width of a column and height of a row of the spectrogram, and height of a track, in pixels."""


def draw_hearing(example: Mapping[str, Any]) -> str:
    """Return an SVG picture of an example: a spectrogram, then a track for the teacher and one for the student."""
    tones = example["spectrogram"]
    width, height = COLUMN * len(tones[0]), ROW * len(tones)
    tracks = "".join(
        _track(example["spoken"][model], width, height + 4 + number * (TRACK + 4))
        for number, model in enumerate(("teacher", "student"))
    )
    total = height + 2 * (TRACK + 4)
    return (
        f'<svg viewBox="0 0 {width} {total}" width="{width}" height="{total}" role="img" '
        f'aria-label="tones over time, and where teacher and student hear letters">{_tones(tones)}{tracks}</svg>'
    )


def _tones(tones: list[list[int]]) -> str:
    """Draw one rectangle a cell. Loud is dark."""
    cells = []
    for band, row in enumerate(reversed(tones)):
        for column, level in enumerate(row):
            if level > 40:  # noqa: PLR2004 - what is nearly white is left out
                place = f'x="{COLUMN * column}" y="{ROW * band}" width="{COLUMN}" height="{ROW}"'
                cells.append(f'<rect {place} fill-opacity="{level / 255:.2f}"/>')
    return f"<g>{''.join(cells)}</g>"


def _track(spoken: list[float], width: int, top: int) -> str:
    step = width / max(1, len(spoken))
    bars = "".join(
        f'<rect x="{step * place:.1f}" y="{top + TRACK * (1 - chance):.1f}" width="{step:.1f}" '
        f'height="{TRACK * chance:.1f}"/>'
        for place, chance in enumerate(spoken)
        if chance > 0.01  # noqa: PLR2004 - too small to see
    )
    return f'<g fill="#2a6f97">{bars}</g>'
