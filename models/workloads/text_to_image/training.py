"""Training of text to image. Quality is the share of pictures in which a judge sees what the prompt asked for."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_images
from stillhouse.models.data.text import codes_of
from stillhouse.models.onnx.export import export_model
from stillhouse.models.training.checkpoint import Architecture, load_model
from stillhouse.models.workloads.text_to_image.batches import PromptedBatches, by_key
from stillhouse.models.workloads.text_to_image.components import (
    Denoiser,
    TextEncoder,
    denoiser_architecture,
    encoder_architecture,
)
from stillhouse.models.workloads.text_to_image.judging.guidance import settle_guidance
from stillhouse.models.workloads.text_to_image.objectives import Generator, flow_objective
from stillhouse.models.workloads.text_to_image.parts import CRITIC, DENOISER, JUDGES, TEXT_ENCODER
from stillhouse.models.workloads.text_to_image.paths.settings import settings_of
from stillhouse.models.workloads.text_to_image.prompts import load_prompts, picture_keys
from stillhouse.models.workloads.text_to_image.scoring import scorer
from stillhouse.models.workloads.training_base import Built, Network, TeacherOptions, TeacherTraining, Training

COMPONENTS: Mapping[str, Callable[[Path, Path, Path], Denoiser | TextEncoder]] = {
    TEXT_ENCODER: TextEncoder,
    DENOISER: Denoiser,
}


class TextToImage:
    """A text encoder and a denoiser, trained together with the networks that judge their pictures."""

    components = tuple(COMPONENTS)

    def check(self, _components: Sequence[str], distillations: Mapping[str, Sequence[Any]]) -> None:
        """Check the settings of each distillation.

        Raises:
            ModelError: a setting is unknown or out of range.
        """
        for options in distillations.get(DENOISER, ()):
            settings_of(options)

    def architectures(self, data: Path, networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Describe the networks for this data."""
        judges = {name: judge_architecture(data, networks[name]) for name in (*JUDGES, CRITIC)}
        return {
            TEXT_ENCODER: encoder_architecture(networks[TEXT_ENCODER]),
            DENOISER: denoiser_architecture(data, networks[DENOISER]),
            **judges,
        }

    def teacher_training(self, data: Path, built: Built, options: TeacherOptions, seed: int) -> TeacherTraining:
        """Return what is needed to train on the pictures and prompts of the training split."""
        images, prompts, described = load_images(data, "train"), load_prompts(data, "train"), describe(data)
        styles = len(described.get("styles", ("",)))
        feed = PromptedBatches(
            torch.from_numpy(images.images_NCHW),
            torch.from_numpy(picture_keys(data, "train")),
            torch.from_numpy(codes_of(prompts.texts)),
            by_key(prompts.keys_N),
            seed,
            cast("Any", built[DENOISER][0]).centre,
        )
        answers = styles + len(described["labels"]) if styles > 1 else 0
        learner = Generator({name: module for name, (module, _) in built.items()}, answers)
        settle = partial(settle_guidance, data, options.precision)
        return TeacherTraining(learner, feed, flow_objective((*JUDGES, CRITIC), styles), settle)

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Return a function that measures the share of pictures that show what was asked for."""
        return scorer(data, split)

    def component(self, name: str, data: Path, teacher: Path, previous: Path) -> Denoiser | TextEncoder:
        """Return a component."""
        return COMPONENTS[name](data, teacher, previous)

    def about(self, data: Path, model: Path) -> dict[str, Any]:
        """Return the sampler, and what a picture is."""
        described = describe(data)
        module = load_model(model / DENOISER)[0]
        return {"sampler": module.sampler, "image_shape": described["image_shape"], "labels": described["labels"]}

    def write_judges(self, teacher: Path, folder: Path) -> None:
        """Write the two judges as ONNX files."""
        for name in JUDGES:
            export_model(*load_model(teacher / name), np.empty(0), folder / f"{name}.onnx")


TRAINING: Training = TextToImage()


def judge_architecture(data: Path, network: Network) -> Architecture:
    """Describe a judge for the pictures and classes of this data."""
    described = describe(data)
    arguments = {**network.arguments, "classes": len(described["labels"]), "channels": described["image_shape"][0]}
    return Architecture(network.name, arguments, float(described["value_range"][1]), tuple(described["image_shape"]))
