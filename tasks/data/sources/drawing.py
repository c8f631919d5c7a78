"""Render icons in Iconify's format and image files to pixels, with one pinned renderer and no fonts of this machine."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.tasks.data.sources.npm import Package

SIDE = 64
"""Width and height of a drawing in pixels."""
FINE = 4 * SIDE
"""Pixels of the longer side of a rendered SVG file, before it is scaled down as a photograph is."""
DPI = 96
"""Pixels per inch in CSS. It converts points and millimetres into pixels."""


@dataclass(frozen=True)
class IconSet:
    """The drawings of one style, from its icons.json."""

    content: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """List the names of all drawings: first icons, then plain aliases.

        An alias that rotates or mirrors its parent is not a plain alias.
        """
        aliases = self.content.get("aliases", {})
        return [*self.content["icons"], *(name for name, alias in aliases.items() if set(alias) == {"parent"})]

    def svg(self, name: str) -> str:
        """Return the drawing of one of the `names` as an SVG document."""
        icons = self.content["icons"]
        icon = icons[name if name in icons else self.content["aliases"][name]["parent"]]
        width, height = (icon.get(side, self.content[side]) for side in ("width", "height"))
        box = f'viewBox="0 0 {width} {height}" width="{SIDE}" height="{SIDE}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{icon["body"]}</svg>'


def notice_of(info: Mapping[str, Any], package: Package, changed: str) -> str:
    """Return who drew a set, under which licence, and what was changed here.

    Args:
        info: the package's info.json.
        package: the package.
        changed: the change, in words.
    """
    author, licence = info["author"], info["license"]
    return (
        f"Drawings: {info['name']} ({package.spec}), by {author['name']}, {author['url']}\n"
        f"{licence['title']} ({licence['spdx']}), {licence['url']}\n"
        f"Changed here: {changed}.\n"
    )


def draw(svg: str) -> NDArray[np.uint8]:
    """Render an SVG document on white; returns pixels_CHW.

    Raises:
        ValueError: the renderer refuses the document.
    """
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(svg_string=svg, background="white", width=SIDE, height=SIDE, skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def draw_file(path: Path) -> NDArray[np.uint8]:
    """Render a PNG or SVG file on white, whole and centred; returns pixels_CHW.

    Raises:
        ValueError: the renderer refuses the file.
    """
    import resvg_py

    from stillhouse.models.data.pictures import picture_of

    if path.suffix != ".svg":
        return picture_of(path.read_bytes())
    svg = path.read_text(encoding="utf-8")
    return picture_of(
        bytes(resvg_py.svg_to_bytes(svg_string=svg, width=FINE, height=FINE, dpi=DPI, skip_system_fonts=True))
    )
