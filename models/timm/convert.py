"""Convert a timm folder to one ONNX file that takes raw pixels, and compare both. It runs in a process of its own.

`python -m stillhouse.models.timm.convert REQUEST ANSWER` with `model`, the folder; `shape`, the channels, height and
width of the raw pictures; and `onnx`, the path of the new file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.models.aside import write_aside
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.json_process import answer_or_refuse
from stillhouse.models.networks.library.preparation import Preparation
from stillhouse.models.onnx.foreign_graph import one_line
from stillhouse.models.timm.preparation import read_preparation
from stillhouse.models.timm.torchvision_stand_in import stand_in

OPSET = 20
TOLERANCE = 1e-3
"""Largest allowed difference of a logit, as a share of the largest logit."""
TRIED = 3
SEED = 5


def convert(request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert, compare, and only then put the new file in its place.

    Returns:
        The number of `classes`, and the `largest_difference`.

    Raises:
        ModelError: timm cannot build the network, the weights are of another one, or the ONNX file computes something
            else.
    """
    folder, target = Path(request["model"]), Path(request["onnx"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    arguments = read_preparation(config.get("pretrained_cfg") or {}, request["shape"], folder.name)
    module = nn.Sequential(Preparation(**arguments), _build(folder, config)).eval()
    images_NCHW = np.random.default_rng(SEED).integers(0, 256, (TRIED, *request["shape"])).astype(np.float32)
    logits_NK = _answer(module, torch.from_numpy(images_NCHW), folder)
    with write_aside(target) as aside:
        _write(module, torch.from_numpy(images_NCHW), aside, folder)
        difference = _compare(aside, images_NCHW, logits_NK, folder)
    return {"classes": logits_NK.shape[1], "largest_difference": difference}


def _build(folder: Path, config: Mapping[str, Any]) -> nn.Module:
    """Let timm build the network by its name. No code and no name of a hub is looked up."""
    stand_in()
    import timm  # type: ignore[import-not-found] # its own folder has it
    from safetensors.torch import load_file

    name = str(config["architecture"])
    if not timm.is_model(name):
        msg = f"{folder.name} is a {name}, which timm {timm.__version__} does not have; export the model to ONNX"
        raise ModelError(msg)
    timm.layers.set_fused_attn(enable=False)
    given = {key: config[key] for key in ("num_classes", "global_pool") if key in config}
    try:
        module: nn.Module = timm.create_model(name, pretrained=False, **given, **config.get("model_args", {}))
        module.load_state_dict(load_file(min(folder.glob("*.safetensors"))))
    except Exception as error:  # a network may raise anything
        msg = f"{folder.name} is not what timm {timm.__version__} builds as {name} ({one_line(error)}); save it again"
        raise ModelError(msg) from error
    return module


@torch.no_grad()
def _answer(module: nn.Module, images_NCHW: Tensor, folder: Path) -> np.ndarray:
    try:
        logits_NK: np.ndarray = module(images_NCHW).numpy()
    except Exception as error:  # a network may raise anything
        msg = f"{folder.name} does not take the pictures that its config.json asks for ({one_line(error)}); mend it"
        raise ModelError(msg) from error
    if logits_NK.ndim != 2:  # noqa: PLR2004 - one row of classes for each picture
        msg = f"{folder.name} answers a picture with {logits_NK.shape[1:]}, not a row of classes; name a classifier"
        raise ModelError(msg)
    return logits_NK


def _write(module: nn.Module, images_NCHW: Tensor, path: Path, folder: Path) -> None:
    try:
        program = torch.onnx.export(
            module,
            (images_NCHW,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images_NCHW"],
            output_names=["logits_NK"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    except Exception as error:  # the exporter's errors have no common class
        msg = f"{folder.name} has no ONNX form ({one_line(error)}); choose another architecture"
        raise ModelError(msg) from error
    assert program is not None  # noqa: S101 - only None when exporting to a file
    program.save(str(path))


def _compare(path: Path, images_NCHW: np.ndarray, expected_NK: np.ndarray, folder: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    found_NK = session.run(None, {"images_NCHW": images_NCHW})[0]
    difference = float(np.abs(found_NK - expected_NK).max() / max(float(np.abs(expected_NK).max()), 1e-6))
    if not difference <= TOLERANCE:
        msg = f"the ONNX form of {folder.name} answers differently (by {difference:.1e}); choose another architecture"
        raise ModelError(msg)
    return difference


if __name__ == "__main__":
    answer_or_refuse(convert)
