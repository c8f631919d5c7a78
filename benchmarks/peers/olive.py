"""Peer Olive: its own workflow over ONNX Runtime, static and dynamic."""

import copy
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from olive.data.registry import Registry
from olive.workflows import run

from benchmarks.peers.request import INPUT, Made, Request, Variant, answer, read_request


class Calibration(torch.utils.data.Dataset):
    """The calibration images as Olive wants them: ({input: image}, label) each."""

    def __init__(self, request: Request) -> None:
        """Read the images."""
        self.images_NCHW = request.images()

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images_NCHW)

    def __getitem__(self, at: int) -> tuple[dict[str, Any], int]:
        """Give one image and no label worth the name."""
        return {INPUT: self.images_NCHW[at]}, 0


@Registry.register_dataset()
def peers_calibration(request: str, **_: Any) -> Calibration:  # noqa: ANN401 - Olive passes what it likes
    """Let Olive find the images by the request's path."""
    return Calibration(read_request(Path(request)))


def workflow(request: Request, folder: Path, passes: dict[str, Any], request_path: str) -> Made:
    """Run passes over the teacher."""
    config = {
        "input_model": {"type": "OnnxModel", "model_path": request.onnx},
        "data_configs": [
            {
                "name": "calibration",
                "type": "DataContainer",
                "load_dataset_config": {"type": "peers_calibration", "params": {"request": request_path}},
                "pre_process_data_config": {"type": "skip_pre_process"},
                "post_process_data_config": {"type": "skip_post_process"},
                "dataloader_config": {"type": "default_dataloader", "params": {"batch_size": 100}},
            }
        ],
        "passes": passes,
        "output_dir": str(folder / "out"),
        "cache_dir": str(folder / "cache"),
    }
    run(copy.deepcopy(config))  # it writes into what it is given
    path = next((folder / "out").rglob("*.onnx"))
    return Made("onnxruntime", (str(path),), {"passes": passes})


def variants(_request: Request) -> Mapping[str, Variant]:
    """Name what is made."""
    import sys

    static = {"type": "OnnxStaticQuantization", "data_config": "calibration"}
    best = {"precision": "int8", "quant_format": "QDQ", "activation_type": "uint8", "per_channel": True}
    make = partial(workflow, request_path=sys.argv[1])
    return {
        "OnnxStaticQuantization, as it comes": partial(make, passes={"quantize": static}),
        "OnnxStaticQuantization, U8S8 per channel": partial(make, passes={"quantize": static | best}),
        "OnnxDynamicQuantization": partial(make, passes={"quantize": {"type": "OnnxDynamicQuantization"}}),
    }


if __name__ == "__main__":
    answer("Olive", ("olive-ai", "onnxruntime"), variants)
