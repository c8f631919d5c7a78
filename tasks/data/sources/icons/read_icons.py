"""Icons in many styles, from npm packages pinned by SHA-256. A set draws one concept in several weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.tasks.data.sources.drawing import IconSet, draw, notice_of
from stillhouse.tasks.data.sources.npm import Package, download, read_json
from stillhouse.tasks.data.sources.order import rank

SIDE = 32
"""Width and height of an icon in pixels."""
CHANGED = f"rendered as {SIDE} x {SIDE} pixels, white on black"
PHOSPHOR = Package("@iconify-json/ph@1.2.2", "e3a582a047d9829fc7e8842c660d8065e598d1b68bb58cb68e75a1f1e5a614cc")
TABLER = Package("@iconify-json/tabler@1.2.41", "3bf99af156d28d05568aff524a35ed1ba238df640a7835a5e02e1f8e439685f6")
MATERIAL = Package(
    "@iconify-json/material-symbols@1.2.98", "142d50bf28e7db85362795be335ebc29dac611d73c404fc1e6fc5cc198e2b3d0"
)
PACKAGES = (PHOSPHOR, TABLER, MATERIAL)
WEIGHTS: Mapping[str, str] = {
    "thin": "-thin", "light": "-light", "regular": "", "bold": "-bold", "filled": "-fill", "two-tone": "-duotone",
}  # fmt: skip
"""Style of Phosphor -> end of an icon's name. A concept is drawn in all of them."""
HANDS: Mapping[str, tuple[Package, str]] = {
    "tabler": (TABLER, ""),
    "filled tabler": (TABLER, "-filled"),
    "material": (MATERIAL, ""),
    "material outline": (MATERIAL, "-outline"),
    "material rounded": (MATERIAL, "-rounded"),
    "material outline rounded": (MATERIAL, "-outline-rounded"),
    "material sharp": (MATERIAL, "-sharp"),
    "material outline sharp": (MATERIAL, "-outline-sharp"),
}
"""Style -> its package, and the end of an icon's name. They draw some of the concepts."""
STYLES = (*WEIGHTS, *HANDS)

Icon = NDArray[np.uint8]
"""Pixels (1, SIDE, SIDE), white on black."""


@dataclass(frozen=True)
class Icons:
    """The icons of all concepts."""

    drawn: Mapping[str, Mapping[str, Icon]]
    """Concept, in words -> style -> icon. No two icons are the same."""
    licence: str
    notice: bytes


def read_icons(count: int | None, progress: Callable[[str], None]) -> Icons:
    """Fetch and draw the icons of the concepts that have all weights.

    Args:
        count: number of concepts, or `None` for all.
        progress: shows one line.

    Raises:
        DataError: npm is missing or fails, or a package has the wrong bytes.
    """
    progress(f"icons: fetching {len(PACKAGES)} packages with npm")
    tarballs = dict(zip(PACKAGES, download(PACKAGES), strict=True))
    sets = {package: IconSet(read_json(tarball, "icons.json")) for package, tarball in tarballs.items()}
    infos = [(read_json(tarball, "info.json"), package) for package, tarball in tarballs.items()]
    concepts = sorted(sorted(_concepts(sets[PHOSPHOR]), key=rank)[:count])
    progress(f"icons: drawing {len(concepts):,} concepts")
    return Icons(
        _draw_all(concepts, sets),
        " AND ".join(sorted({info["license"]["spdx"] for info, _ in infos})),
        "\n".join(notice_of(info, package, CHANGED) for info, package in infos).encode(),
    )


def _concepts(phosphor: IconSet) -> list[str]:
    known = set(phosphor.names)
    return [name for name in phosphor.names if all(f"{name}{end}" in known for end in WEIGHTS.values())]


def _draw_all(concepts: list[str], sets: Mapping[Package, IconSet]) -> dict[str, dict[str, Icon]]:
    """Draw every concept in every style that has it. A drawing that repeats an earlier one is left out."""
    places = {**{style: (PHOSPHOR, end) for style, end in WEIGHTS.items()}, **HANDS}
    known, seen = {package: set(icons.names) for package, icons in sets.items()}, set[bytes]()
    drawn: dict[str, dict[str, Icon]] = {}
    for concept in concepts:
        own = {}
        for style, (package, end) in places.items():
            if f"{concept}{end}" in known[package]:
                icon = _small(draw(sets[package].svg(f"{concept}{end}")))
                if icon.tobytes() not in seen:
                    seen.add(icon.tobytes())
                    own[style] = icon
        drawn[concept.replace("-", " ")] = own
    return drawn


def _small(pixels_CHW: NDArray[np.uint8]) -> Icon:
    """Return black strokes on white as white strokes on black, at half the size."""
    dark_HW = 255 - pixels_CHW.mean(0)
    small_HW = dark_HW.reshape(SIDE, dark_HW.shape[0] // SIDE, SIDE, dark_HW.shape[1] // SIDE).mean((1, 3))
    icon_CHW: Icon = np.round(small_HW).astype(np.uint8)[None]
    return icon_CHW
