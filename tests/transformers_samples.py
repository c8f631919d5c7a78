"""Tiny image classifiers as people save them with transformers, made on the spot with fixed random weights."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

DIGITS = tuple("0123456789")
SIDE = 32
CONFIGS: dict[str, dict[str, Any]] = {
    "resnet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [2, 2], "layer_type": "basic"},
    "vit": {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
            "image_size": SIDE, "patch_size": 8},
    "convnext": {"hidden_sizes": [16, 32], "depths": [2, 2], "num_stages": 2, "layer_scale_init_value": 0.5},
    "mobilenet_v2": {"depth_multiplier": 0.25, "min_depth": 8, "image_size": SIDE},
}  # fmt: skip
"""Type of model -> its configuration."""
SQUARE = {"size": {"height": SIDE, "width": SIDE}}
CROPPED = {"size": {"shortest_edge": SIDE}}


def save_classifier(
    folder: Path,
    kind: str,
    labels: Sequence[str] = DIGITS,
    processor: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Save a classifier and its image processor as `save_pretrained` writes them."""
    from transformers import AutoConfig, AutoModelForImageClassification

    names = dict(enumerate(labels))
    found = {name: number for number, name in names.items()}
    config = AutoConfig.for_model(kind, **(CONFIGS[kind] | {"id2label": names, "label2id": found} | changes))
    torch.manual_seed(3)
    model = AutoModelForImageClassification.from_config(config)
    settle_norms(model)
    model.save_pretrained(folder)
    save_processor(folder, kind, processor or {})
    return folder


def settle_norms(model: nn.Module) -> None:
    """Give the batch norms the statistics of noise, so that the logits differ between pictures."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0.0, parameter[0].numel() ** -0.5)
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(pixel_values=torch.randn(16, model.config.num_channels, SIDE, SIDE))
    model.eval()


def save_processor(folder: Path, kind: str, changes: Mapping[str, Any]) -> None:
    """Save the image processor of a type of model."""
    from transformers import ConvNextImageProcessorPil, ViTImageProcessorPil

    if kind == "convnext":
        ConvNextImageProcessorPil(**(CROPPED | dict(changes))).save_pretrained(folder)
    else:
        ViTImageProcessorPil(**(SQUARE | dict(changes))).save_pretrained(folder)


def rewrite(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
