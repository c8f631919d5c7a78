"""Read from a timm folder's config.json how pictures are prepared, as arguments of our own `Preparation`.

It is the preparation of timm's `create_transform` for evaluation: resize, cut out the middle, scale.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from stillhouse.models.errors import ModelError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""timm's defaults, for a folder that does not say them."""
CROPPED = 0.875
BRIGHTEST = 255.0


def read_preparation(config: Mapping[str, Any], shape: Sequence[int], name: str) -> dict[str, Any]:
    """Return the arguments of `Preparation`.

    Args:
        config: the key `pretrained_cfg` of config.json.
        shape: channels, height and width of the raw pictures.
        name: of the folder, for messages.

    Raises:
        ModelError: a value is not known here.
    """
    wanted = [int(side) for side in config.get("input_size", (3, 224, 224))[1:]]
    mean = [float(each) for each in config.get("mean", MEAN)]
    deviation = [float(each) for each in config.get("std", DEVIATION)]
    return {
        "side": [*shape[1:]],
        "resized": _resized(config, shape[1:], wanted, name),
        "cropped": wanted,
        "resample": _filter(str(config.get("interpolation", "bilinear")), name),
        "scale": [1 / (BRIGHTEST * each) for each in deviation],
        "shift": [least / each for least, each in zip(mean, deviation, strict=True)],
    }


def _resized(config: Mapping[str, Any], side: Sequence[int], wanted: Sequence[int], name: str) -> list[int]:
    """Return height and width before the middle is cut out."""
    grown = [math.floor(each / float(config.get("crop_pct") or CROPPED)) for each in wanted]
    mode = config.get("crop_mode") or "center"
    if mode == "squash":
        return grown
    if mode != "center":
        msg = f"{name} prepares pictures by crop_mode {mode}, which is not known here; set it to center or squash"
        raise ModelError(msg)
    ratio = max(grown[0] / side[0], grown[1] / side[1])
    return [int(each * ratio) for each in side]


def _filter(name: str, folder: str) -> int:
    known = {filter_.name.lower(): int(filter_) for filter_ in Image.Resampling}
    if name not in known:
        msg = f"{folder} resizes pictures by {name}, which is not known here; set interpolation to {' or '.join(known)}"
        raise ModelError(msg)
    return known[name]
