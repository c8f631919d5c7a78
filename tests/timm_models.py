"""Write folders of timm in a process of its own: `python timm_models.py FOLDER`, with timm on the path."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from stillhouse.models.timm.torchvision_stand_in import stand_in


def write(folder: Path, name: str, **given: object) -> None:
    """Save a network with random weights as timm does: config.json and model.safetensors."""
    import timm

    torch.manual_seed(3)
    model = timm.create_model(name, num_classes=2, **given)
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    kept = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")
    prepared = {key: model.pretrained_cfg[key] for key in kept if key in model.pretrained_cfg}
    config = {"architecture": name, "num_classes": 2, "model_args": given, "pretrained_cfg": prepared}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    stand_in()
    for architecture in ("test_resnet", "test_vit", "test_efficientnet"):
        write(Path(sys.argv[1]) / architecture, architecture)
    write(Path(sys.argv[1]) / "grey", "test_resnet", in_chans=1)
