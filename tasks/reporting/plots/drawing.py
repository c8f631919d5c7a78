"""The style of the report's pictures, and their conversion to inline SVG. No pyplot, no global figure."""

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

TEACHER, STUDENT, GOOD, BAD = "#2f5379", "#b0521a", "#1d6b3a", "#a32020"
INK, QUIET, PAPER, THREAD = "#22262b", "#5b636d", "#ffffff", "#9aa1a9"
DASHES = (0, (4, 3))

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "text.parse_math": False,
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": THREAD,
    "axes.labelcolor": QUIET,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.8,
}


def picture(width: float, height: float, description: str, draw: Callable[[Figure], None]) -> str:
    """Return what `draw` puts on a figure (size in inches) as inline SVG. The same drawing gives the same bytes.

    The description becomes the title for screen readers. The ids of groups are removed, because nothing refers to them.
    """
    stream = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": description}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = stream.getvalue()
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])
    opening, rest = text.split(">", 1)
    return f'{opening} role="img"><title>{escape(description)}</title>{rest}'


def note(  # noqa: PLR0913 - where, what and how of one label
    axes: Axes,
    text: str,
    at: tuple[float, float],
    shift: tuple[float, float],
    *,
    colour: str = INK,
    coordinates: Any = "data",  # noqa: ANN401 - whatever matplotlib takes
    align: str = "baseline",
) -> None:
    """Write text beside a point, at a distance of `shift` typographic points."""
    axes.annotate(text, at, xytext=shift, xycoords=coordinates, textcoords="offset points", color=colour, va=align)


def ticks_in(words: Callable[[float], str]) -> FuncFormatter:
    """Label an axis with one of the functions of `tasks.reporting.quantities`."""
    return FuncFormatter(lambda value, _: words(value))
