"""Read how a folder of transformers prepares pictures, as arguments of our own `Preparation`.

The library's own image processor is asked too: both must prepare the same pictures alike. So a processor with a step
that is not known here is found, whatever its name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.networks.library.preparation import Preparation

PROCESSOR = "preprocessor_config.json"
WARPED_FROM = 384
"""Side from which a processor with `crop_pct` resizes without a crop."""
TOLERANCE = 2.0
"""Largest difference from the library's processor, in levels of 256. Pillow rounds the pixels after each axis."""
TRIED = 4
SEED = 5


def read_preparation(folder: Path, image_shape: Sequence[int], channels: int) -> dict[str, Any]:
    """Return the arguments of `Preparation` for a folder's image processor.

    Args:
        folder: the model's folder.
        image_shape: channels, height and width of the raw pictures.
        channels: channels that the model expects.

    Raises:
        ModelError: the folder has no processor, or it does more than is done here.
    """
    processor = _open_processor(folder)
    try:
        arguments = _arguments(processor, image_shape[1:], channels)
        difference = _largest_difference(processor, arguments, image_shape, channels)
    except Exception as error:  # a processor may hold any value, and the library raises anything
        raise _unknown(folder, f"it fails: {' '.join(str(error).split())[:200]}") from error
    if not difference <= TOLERANCE:
        raise _unknown(folder, f"it differs by {difference:.1f} levels of 256 from resizing, cropping and scaling")
    return arguments


def _open_processor(folder: Path) -> Any:  # noqa: ANN401 - a class of the library
    from transformers import AutoImageProcessor

    if not (folder / PROCESSOR).is_file():
        msg = (
            f"{folder} has no {PROCESSOR}, so it does not say how pictures are resized and scaled; save it there with "
            "the save_pretrained of the image processor that the model was trained with"
        )
        raise ModelError(msg)
    try:
        return AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # the library raises nothing narrower
        msg = f"{folder / PROCESSOR} cannot be read ({' '.join(str(error).split())[:200]}); save the processor again"
        raise ModelError(msg) from error


def _unknown(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"{folder / PROCESSOR} prepares pictures in a way that is not known here ({why}); export the model to ONNX "
        "with its preparation and name the .onnx file"
    )


def _arguments(processor: Any, side: Sequence[int], channels: int) -> dict[str, Any]:  # noqa: ANN401 - a class of the library
    resized, cropped = _sizes(processor, side)
    factor = float(processor.rescale_factor) if processor.do_rescale else 1.0
    mean, deviation = (
        (_each(processor.image_mean, channels), _each(processor.image_std, channels))
        if processor.do_normalize
        else ([0.0] * channels, [1.0] * channels)
    )
    return {
        "side": [*side],
        "resized": resized,
        "cropped": cropped,
        "resample": int(getattr(processor, "resample", None) or 0),
        "scale": [factor / each for each in deviation],
        "shift": [least / each for least, each in zip(mean, deviation, strict=True)],
    }


def _sizes(processor: Any, side: Sequence[int]) -> tuple[list[int], list[int]]:  # noqa: ANN401 - a class of the library
    """Return height and width after resizing and after cropping."""
    resized, cropped = [*side], None
    if processor.do_resize:
        resized, cropped = _resized(processor, side)
    if getattr(processor, "do_center_crop", False):
        cropped = [int(processor.crop_size.height), int(processor.crop_size.width)]
    return resized, cropped or resized


def _resized(processor: Any, side: Sequence[int]) -> tuple[list[int], list[int] | None]:  # noqa: ANN401 - a class of the library
    if not processor.size.shortest_edge:
        return [int(processor.size.height), int(processor.size.width)], None
    shortest, share = int(processor.size.shortest_edge), getattr(processor, "crop_pct", None)
    if share is None:
        return _in_proportion(side, shortest), None
    if shortest >= WARPED_FROM:
        return [shortest, shortest], None
    return _in_proportion(side, int(shortest / share)), [shortest, shortest]


def _in_proportion(side: Sequence[int], shortest: int) -> list[int]:
    return [int(shortest * length / min(side)) for length in side]


def _each(value: float | Sequence[float], channels: int) -> list[float]:
    return [float(value)] * channels if isinstance(value, int | float) else [float(each) for each in value]


def _largest_difference(
    processor: Any,  # noqa: ANN401 - a class of the library
    arguments: dict[str, Any],
    image_shape: Sequence[int],
    channels: int,
) -> float:
    """Prepare a few pictures in both ways. Returns the largest difference in levels of 256."""
    images_NCHW = _pictures(image_shape)
    ours_NCHW = Preparation(**arguments)(torch.from_numpy(images_NCHW).float()).numpy()
    coloured = [np.broadcast_to(image, (channels, *image_shape[1:])).transpose(1, 2, 0) for image in images_NCHW]
    found = processor(coloured, return_tensors="np", input_data_format="channels_last")["pixel_values"]
    scale_C11 = np.array(arguments["scale"], np.float32)[:, None, None]
    return float((np.abs(np.asarray(found) - ours_NCHW) / scale_C11).max())


def _pictures(image_shape: Sequence[int]) -> NDArray[np.uint8]:
    """Make noise, the hardest picture to resize alike, and slopes, which a turned axis would change."""
    generator = np.random.default_rng(SEED)
    noise_NCHW = generator.integers(0, 256, (TRIED, *image_shape), dtype=np.uint8)
    noise_NCHW[0] = np.linspace(0, 255, image_shape[1], dtype=np.uint8)[:, None]
    return noise_NCHW
