"""Pictures that no two seeds share, as a folder for each class."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "Größe, 2", "owl's")


def picture(seed: int, mode: str = "RGB", size: tuple[int, int] = (24, 20)) -> Image.Image:
    """Draw noise that no other seed has."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    return Image.fromarray(noise).convert(mode)


def as_bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Encode a picture as a file of a kind."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def photos(root: Path, count: int = 60) -> Path:
    """Write a folder for each class, with PNG files of pictures."""
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(1_000 * (number + 1) + index).save(root / name / f"{index:03d}.png")
    return root
