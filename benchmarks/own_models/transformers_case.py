"""Train an image classifier with transformers, as people do, and write two recipes that compress it.

Usage: python benchmarks/own_models/transformers_case.py FOLDER [EPOCHS]

It takes about ten minutes on one core. FOLDER gets the model `clothes`, and two recipes: one for a student, one that
changes the model in place. The dataset Fashion-MNIST goes into this host's cache. The script prints the commands that
compress the model. Only the training loop is this script's: model and image processor are the library's.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_images
from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.artifacts.folders import move_into
from stillhouse.tasks.artifacts.model_folder import folder_digest
from stillhouse.tasks.data.format.dataset import DESCRIPTION
from stillhouse.tasks.data.store.build_data import PLANS
from stillhouse.tasks.settings import load_settings

DATASET, NAME, SIDE = "fashion_mnist", "clothes", 28
EPOCHS, BATCH, RATE, HALF = 6, 128, 0.1, 0.5
SIZES: dict[str, Any] = {
    "num_channels": 1,
    "embedding_size": 64,
    "hidden_sizes": [64, 128, 256],
    "depths": [1, 1, 1],
    "layer_type": "basic",
}
STUDENT: list[dict[str, Any]] = [
    {
        "method": "distil",
        "network": {
            "name": "plain",
            "arguments": {"widths": [32, 64, 64, 64, 96], "strides": [2, 2, 1, 1, 2], "pool": 4},
        },
        "distillation": {
            "training": {"epochs": 8, "batch_size": 250, "learning_rate": 0.2, "weight_decay": 0.0001},
            "temperature": 2,
            "hard_weight": 0.1,
            "augmented_views": 4,
        },
    },
    {"method": "quantize"},
]
IN_PLACE: list[dict[str, Any]] = [
    {
        "method": "prune_structured",
        "macs": 0.3,
        "finetune": {"training": {"epochs": 4, "batch_size": 250, "learning_rate": 0.02}, "temperature": 2},
    },
    {
        "method": "quantize",
        "distillation": {"training": {"epochs": 2, "batch_size": 250, "learning_rate": 0.005}, "temperature": 2},
    },
]
RECIPES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "transformers_case": ("becomes a plain int8 student", STUDENT),
    "transformers_in_place": ("is pruned, and gets int8 weights", IN_PLACE),
}
"""Recipe -> what it does to the model, and its steps."""
GATE = {"quality": 0.99, "bytes": 6, "latency": 4}


def main(folder: Path, epochs: int) -> None:
    """Train, save, and write the recipe."""
    data = fetch()
    train(data, folder / NAME, epochs)
    for name in RECIPES:
        print(f"stillhouse run {write_recipe(folder, name, data)} --local")


def fetch() -> Path:
    """Put Fashion-MNIST into this host's cache. Returns its folder, which is named after its digest."""
    settings = load_settings()
    settings.data_cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.data_cache) as scratch:
        built = Path(scratch) / DATASET
        PLANS[DATASET].build(built, DATASET, print)
        folder = settings.data_cache / file_digest(built / DESCRIPTION)
        if not folder.exists():
            move_into(built, folder)
    return folder


def train(data: Path, folder: Path, epochs: int) -> None:
    """Train a small ResNet and save it with its image processor."""
    from transformers import AutoModelForImageClassification, ResNetConfig, ViTImageProcessorPil

    names = dict(enumerate(map(str, describe(data)["labels"])))
    config = ResNetConfig(**SIZES, id2label=names, label2id={name: number for number, name in names.items()})
    torch.manual_seed(17)
    model = AutoModelForImageClassification.from_config(config)
    fit(model, data, epochs)
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    ViTImageProcessorPil(size=size, image_mean=[0.5], image_std=[0.5]).save_pretrained(folder)


def fit(model: nn.Module, data: Path, epochs: int) -> None:
    """Train with labels on mirrored and shifted pictures, and print the accuracy on the split `validation`."""
    pictures = load_images(data, "train")
    images_NCHW, labels_N = scaled(pictures.images_NCHW), torch.from_numpy(pictures.labels_N)
    steps = epochs * -(-len(labels_N) // BATCH)
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for epoch in range(epochs):
        model.train()
        began = time.monotonic()
        for index_B in torch.randperm(len(labels_N)).split(BATCH):
            loss = functional.cross_entropy(model(pixel_values=view(images_NCHW[index_B])).logits, labels_N[index_B])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: {accuracy(model, data):.2%} in {time.monotonic() - began:.0f} s", flush=True)


def scaled(images_NCHW: NDArray[np.uint8]) -> Tensor:
    """Scale bytes as the image processor does."""
    return (torch.from_numpy(images_NCHW).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def view(images_BCHW: Tensor) -> Tensor:
    """Mirror half of the pictures, and move them all by two pixels at most."""
    mirrored = torch.where((torch.rand(len(images_BCHW)) < HALF)[:, None, None, None], images_BCHW.flip(3), images_BCHW)
    down, right = torch.randint(0, 5, (2,)).tolist()
    padded = functional.pad(mirrored, (2, 2, 2, 2), value=-1.0)
    return padded[:, :, down : down + SIDE, right : right + SIDE].contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(model: nn.Module, data: Path) -> float:
    """Return the accuracy on the split `validation`."""
    model.eval()
    pictures = load_images(data, "validation")
    logits_NK = model(pixel_values=scaled(pictures.images_NCHW)).logits
    return float((logits_NK.argmax(1) == torch.from_numpy(pictures.labels_N)).float().mean())


def write_recipe(folder: Path, name: str, data: Path) -> Path:
    """Write a recipe that compresses the model."""
    model, path = (folder / NAME).resolve(), folder / f"{name}.yaml"
    what, steps = RECIPES[name]
    recipe = {
        "name": name,
        "description": f"A ResNet of transformers, trained on pictures of clothes, {what}.",
        "schedule": None,
        "seed": 17,
        "data": {"dataset": DATASET, "sha256": data.name},
        "workload": "image_classification",
        "teacher": {"folder": str(model), "sha256": folder_digest(model)},
        "steps": steps,
        "gate": GATE,
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]), int("".join(sys.argv[2:3]) or EPOCHS))
