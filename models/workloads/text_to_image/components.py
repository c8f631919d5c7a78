"""The two components during their compression: the text encoder and the denoiser."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_images
from stillhouse.models.data.text import codes_of
from stillhouse.models.distillation.batches import DistillationBatches
from stillhouse.models.errors import ModelError
from stillhouse.models.training.checkpoint import Architecture, load_model
from stillhouse.models.training.device import multiply_in
from stillhouse.models.training.loop import BatchSource, Objective, ProgressReporter
from stillhouse.models.workloads.own_settings import OwnOptions
from stillhouse.models.workloads.text_to_image.flow import DIMENSION, noise_of, sample, scaled, states_of
from stillhouse.models.workloads.text_to_image.objectives import vector_objective
from stillhouse.models.workloads.text_to_image.parts import CRITIC, DENOISER, JUDGES, TEXT_ENCODER
from stillhouse.models.workloads.text_to_image.paths.batches import SolvedBatches
from stillhouse.models.workloads.text_to_image.paths.objective import Critic, EndLoss, end_objective
from stillhouse.models.workloads.text_to_image.paths.settings import settings_of
from stillhouse.models.workloads.text_to_image.prompts import load_prompts, picture_keys
from stillhouse.models.workloads.text_to_image.scoring import pixels_in, sampler_of, scorer, vectors_of, velocity_of
from stillhouse.models.workloads.training_base import Ask, DistillationOptions, Network

SOLVED_AT_ONCE = 2_048
"""Paths that are solved, and cached, together."""
REAL = 20_000
"""Most real pictures whose features a student's pictures are compared with."""
TEACHERS_OWN = {"centre", "guidance", "solver"}
"""Arguments of a denoiser that a student does without."""
STATES = 400
"""States for calibration and for parity."""


@dataclass(frozen=True)
class Denoiser:
    """The component that makes the picture."""

    data: Path
    teacher: Path
    previous: Path
    name: str = DENOISER

    def architecture(self, network: Network) -> Architecture:
        """Describe a student's network for this data.

        Raises:
            ModelError: it has an argument that only a teacher's training or sampler uses.
        """
        if extra := sorted(TEACHERS_OWN & set(network.arguments)):
            msg = (
                "a student's denoiser learns where paths end and takes plain steps, so it has no "
                f"{' and no '.join(extra)}; remove that argument"
            )
            raise ModelError(msg)
        return denoiser_architecture(self.data, network)

    def question(self, options: OwnOptions) -> Callable[[Tensor], Tensor]:
        """Return a function from noise and condition (N, P + D) to the picture (N, P) that the teacher makes."""
        module = load_model(self.teacher / DENOISER)[0]
        pixels = pixels_in(self.data)

        def solve(given_NK: Tensor) -> Tensor:
            noise_NP, conditions_ND = (part.numpy() for part in given_NK.split([pixels, given_NK.shape[1] - pixels], 1))
            with multiply_in(options.training.precision):
                ends_NP = sample(velocity_of(module), noise_NP, conditions_ND, sampler_of(module))
            return torch.from_numpy(ends_NP).half()

        return solve

    def distillation_batches(
        self, ask: Ask, seed: int, options: OwnOptions, watcher: ProgressReporter
    ) -> SolvedBatches:
        """Return random training prompts and noise, with the pictures that the teacher makes of them."""
        count = settings_of(options).pairs
        vectors_MD = vectors_of(load_model(self.teacher / TEXT_ENCODER)[0], load_prompts(self.data, "train").texts)
        generator = np.random.default_rng(seed)
        conditions_ND = vectors_MD[generator.integers(0, len(vectors_MD), count)]
        noise_NP = generator.standard_normal((count, pixels_in(self.data)), np.float32)
        given_NK, ends = torch.from_numpy(np.concatenate([noise_NP, conditions_ND], axis=1)), list[Tensor]()
        for part in given_NK.split(SOLVED_AT_ONCE):
            watcher.progress(f"the teacher makes pictures, {len(torch.cat(ends)) if ends else 0:,} of {count:,}")
            ends.append(ask(part)[0])
        return SolvedBatches(torch.from_numpy(noise_NP), torch.from_numpy(conditions_ND), torch.cat(ends), seed)

    def distillation(self, feed: SolvedBatches, options: OwnOptions, _read: object) -> tuple[BatchSource, Objective]:
        """Return batches and objective to reach the end of the teacher's paths in the student's own steps."""
        critic, asked = (
            Critic(load_model(self.teacher / CRITIC)[0], describe(self.data)["image_shape"]),
            settings_of(options),
        )
        real_NP = torch.from_numpy(scaled(load_images(self.data, "train").images_NCHW[:REAL]))
        gap = critic.gap_to(real_NP) if asked.gap_weight else None
        return feed, end_objective(EndLoss(critic, asked.critic_weight, gap, asked.gap_weight))

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures a denoiser with the text encoder of the model before."""
        others = {name: load_model(self.teacher / name)[0] for name in JUDGES}
        encoder = load_model(self.previous / TEXT_ENCODER)[0]
        score = scorer(self.data, split)
        return lambda module: score({**others, TEXT_ENCODER: encoder, DENOISER: module})

    def calibration(self) -> NDArray[np.float32]:
        """Return states (N, K) between noise and the pictures of the calibration split."""
        return self.held_out_inputs("calibration")

    def held_out_inputs(self, split: str) -> NDArray[np.float32]:
        """Return states (N, K) between noise and the pictures of a split."""
        images = load_images(self.data, split)
        prompts = load_prompts(self.data, split)
        generator = np.random.default_rng(0)
        chosen_N = generator.permutation(len(images))[:STATES]
        texts = [prompts.texts[place] for place in prompts.choose(picture_keys(self.data, split)[chosen_N], generator)]
        conditions_ND = vectors_of(load_model(self.previous / TEXT_ENCODER)[0], texts)
        ends_NP = scaled(images.images_NCHW[chosen_N])
        moments_N = generator.random(len(ends_NP), np.float32)
        noise_NP = noise_of(list(range(len(ends_NP))), ends_NP.shape[1])
        return states_of(noise_NP + moments_N[:, None] * (ends_NP - noise_NP), moments_N, conditions_ND)

    def reference(self, module: nn.Module) -> NDArray[np.float32]:
        """Return states of the gate split, each with the velocity after it: (N, K + P)."""
        states_NK = self.held_out_inputs("gate")
        return np.concatenate([states_NK, velocity_of(module)(states_NK)], axis=1)


@dataclass(frozen=True)
class TextEncoder:
    """The component that reads the prompt."""

    data: Path
    teacher: Path
    previous: Path
    name: str = TEXT_ENCODER

    def architecture(self, network: Network) -> Architecture:
        """Describe a network."""
        return encoder_architecture(network)

    def distillation_batches(
        self, ask: Ask, seed: int, _options: DistillationOptions, _watcher: ProgressReporter
    ) -> DistillationBatches:
        """Return the training prompts with the teacher's vectors."""
        prompts = load_prompts(self.data, "train")
        codes_ML = torch.from_numpy(codes_of(prompts.texts))
        return DistillationBatches(codes_ML[None], (ask(codes_ML)[0][None],), torch.from_numpy(prompts.labels_N), seed)

    def distillation(
        self, feed: DistillationBatches, _options: DistillationOptions, _read: object
    ) -> tuple[BatchSource, Objective]:
        """Return batches and objective to learn the teacher's vectors."""
        return feed, vector_objective()

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures a text encoder with the denoiser of the model before."""
        others = {name: load_model(self.teacher / name)[0] for name in JUDGES}
        denoiser = load_model(self.previous / DENOISER)[0]
        score = scorer(self.data, split)
        return lambda module: score({**others, DENOISER: denoiser, TEXT_ENCODER: module})

    def calibration(self) -> NDArray[np.int64]:
        """Return the code points (N, L) of the calibration prompts."""
        return codes_of(load_prompts(self.data, "calibration").texts)

    def held_out_inputs(self, split: str) -> NDArray[np.int64]:
        """Return the code points (N, L) of the prompts of a split."""
        return codes_of(load_prompts(self.data, split).texts)

    def reference(self, module: nn.Module) -> NDArray[np.float32]:
        """Return the vectors (N, D) of the prompts of the gate split."""
        return vectors_of(module, load_prompts(self.data, "gate").texts)


def encoder_architecture(network: Network) -> Architecture:
    """Describe a text encoder.

    Raises:
        ModelError: its vectors have another dimension than a condition.
    """
    dimension = network.arguments.get("dimension")
    if dimension != DIMENSION:
        msg = f"a text encoder of dimension {dimension} cannot condition a denoiser; set its dimension to {DIMENSION}"
        raise ModelError(msg)
    return Architecture(network.name, dict(network.arguments), 1.0, ())


def denoiser_architecture(data: Path, network: Network) -> Architecture:
    """Describe a denoiser for the pictures of this data.

    Raises:
        ModelError: a side of the pictures cannot be halved twice.
    """
    shape = describe(data)["image_shape"]
    if any(side % 4 for side in shape[1:]):
        msg = f"a denoiser halves the sides {shape[1:]} of these pictures twice; import them with sides divisible by 4"
        raise ModelError(msg)
    arguments = {**network.arguments, "image_shape": shape, "dimension": DIMENSION}
    return Architecture(network.name, arguments, 1.0, (pixels_in(data) + 1 + DIMENSION,))
