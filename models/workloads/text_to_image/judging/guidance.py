"""Choose the guidance of a trained teacher on the split `validation`, before any student is compared with it.

Without guidance, a picture may not show what was asked for. With much of it, pictures vary less than real ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stillhouse.models.data.images import load_images
from stillhouse.models.measurement.frechet import frechet_distance
from stillhouse.models.training.device import Precision, multiply_in
from stillhouse.models.training.loop import ProgressReporter
from stillhouse.models.workloads.text_to_image.flow import noise_of, raw, sample
from stillhouse.models.workloads.text_to_image.judging.shown import shown
from stillhouse.models.workloads.text_to_image.objectives import judged
from stillhouse.models.workloads.text_to_image.parts import DENOISER, FRECHET_JUDGE, PROMPT_JUDGE, TEXT_ENCODER
from stillhouse.models.workloads.text_to_image.prompts import load_prompts, picture_keys
from stillhouse.models.workloads.text_to_image.scoring import sampler_of, vectors_of, velocity_of
from stillhouse.models.workloads.training_base import Built

GUIDANCES = (1.0, 1.25, 1.5, 1.625, 1.75, 2.0, 3.0)
LEAST = 0.96
"""Share of the pictures that must show what was asked for, if any guidance reaches it."""
MOST = 1_000
"""Most pictures of one guidance."""


@dataclass(frozen=True)
class Found:
    """What a guidance gives."""

    right: float
    """Share of the pictures that show what was asked for."""
    distance: float
    """Frechet distance to real pictures."""


def settle_guidance(data: Path, precision: Precision, built: Built, watcher: ProgressReporter) -> Built:
    """Return a teacher with the guidance that suits it best. A guidance that the recipe names stays.

    Args:
        data: the materialised dataset.
        precision: precision of the multiplications.
        built: the trained teacher and its judges.
        watcher: receives the progress.
    """
    module, architecture = built[DENOISER]
    if "guidance" in architecture.arguments:
        return built
    attempt, found = _trial(data, {name: each for name, (each, _) in built.items()}), dict[float, Found]()
    for guidance in GUIDANCES:
        with multiply_in(precision):
            found[guidance] = attempt(guidance)
        told = f"{found[guidance].right:.1%} of the pictures right, Frechet distance {found[guidance].distance:.3f}"
        watcher.progress(f"guidance {guidance}: {told}")
    arguments = {**architecture.arguments, "guidance": best_guidance(found)}
    watcher.progress(f"the teacher's sampler takes guidance {arguments['guidance']}")
    settled = replace(architecture, arguments=arguments)
    rebuilt = settled.build()
    rebuilt.load_state_dict(module.state_dict())
    return {**built, DENOISER: (rebuilt, settled)}


def best_guidance(found: Mapping[float, Found]) -> float:
    """Return the guidance of the least distance with enough right pictures, or else the one with the most."""
    enough = {guidance: each for guidance, each in found.items() if each.right >= LEAST}
    if enough:
        return min(enough, key=lambda guidance: enough[guidance].distance)
    return max(found, key=lambda guidance: found[guidance].right)


def _trial(data: Path, networks: Mapping[str, nn.Module]) -> Callable[[float], Found]:
    """Return a function that makes pictures of the split `validation` with a guidance, and measures them."""
    images, prompts = load_images(data, "validation"), load_prompts(data, "validation")
    half = min(MOST, len(images) // 2)
    labels_N = images.labels_N[:half]
    places_N = prompts.choose(picture_keys(data, "validation")[:half], np.random.default_rng(0))
    conditions_ND = vectors_of(networks[TEXT_ENCODER], prompts.texts)[places_N]
    noise_NP = noise_of(list(range(half)), images.images_NCHW[0].size)
    real_NF = _judge(networks[FRECHET_JUDGE], images.images_NCHW[half : 2 * half])[0]
    denoiser = networks[DENOISER]

    def attempt(guidance: float) -> Found:
        sampler = replace(sampler_of(denoiser), guidance=guidance)
        made_NP = sample(velocity_of(denoiser), noise_NP, conditions_ND, sampler)
        made_NCHW = raw(made_NP).reshape(-1, *images.images_NCHW.shape[1:])
        right = shown(_judge(networks[PROMPT_JUDGE], made_NCHW)[1], labels_N).mean()
        return Found(float(right), frechet_distance(_judge(networks[FRECHET_JUDGE], made_NCHW)[0], real_NF))

    return attempt


@torch.no_grad()
def _judge(judge: nn.Module, images_NCHW: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return features and logits by a judge."""
    parts = [judged(judge.eval(), part) for part in torch.from_numpy(images_NCHW).split(MOST)]
    features_NF, logits_NK = (torch.cat(each).float().numpy() for each in zip(*parts, strict=True))
    return cast("NDArray[np.float32]", features_NF), cast("NDArray[np.float32]", logits_NK)
