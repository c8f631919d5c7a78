"""The metrics of every stage that makes a model, and the conversion of its training section."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from stillhouse.models.compression.cost import macs_and_parameters
from stillhouse.models.compression.pruning.weights import zeros
from stillhouse.models.compression.quantization.quantize import dequantize
from stillhouse.models.training.checkpoint import WEIGHTS, Architecture
from stillhouse.models.training.loop import TrainConfig
from stillhouse.tasks.pipeline.job import Metrics
from stillhouse.tasks.recipe.teacher import Training

QUALITY = "validation_quality"
"""Name of the stage metric for quality on the split `validation`."""


def train_config_of(training: Training, seed: int) -> TrainConfig:
    """Convert a recipe's training section to the training loop's `TrainConfig`."""
    return TrainConfig(
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        optimizer=training.optimizer,
        precision=training.precision,
        warmup=training.warmup,
        seed=seed,
    )


def describe_model(folder: Path, module: nn.Module, architecture: Architecture) -> Metrics:
    """Count the parameters, zeros, MACs and bytes on disk of a saved model. Its integers become floats, in place."""
    plain = dequantize(module)
    macs, parameters = macs_and_parameters(plain, architecture.example())
    return {
        "parameters": parameters,
        "nonzero_parameters": parameters - zeros(plain),
        "macs": macs,
        "checkpoint_bytes": (folder / WEIGHTS).stat().st_size,
    }


def add_up(parts: Sequence[Metrics]) -> Metrics:
    """Add up the counts of several components."""
    return {name: sum(part[name] for part in parts) for name in parts[0]}
