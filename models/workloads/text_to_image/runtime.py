"""Runtime of text to image: prompts in, pictures out. Quality is the share of pictures that show what was asked for.

A judge, which is a classifier of real pictures, sees what a picture shows. Another judge's features give the Frechet
distance to real pictures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_images
from stillhouse.models.data.text import codes_of
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.outcomes import Outcomes, Scores
from stillhouse.models.measurement.frechet import compare_distances
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.base import Answerer, Request, Runtime, run_model
from stillhouse.models.workloads.text_to_image.flow import DIMENSION, Rows, Sampler, noise_of, raw, sample, states_of
from stillhouse.models.workloads.text_to_image.judging.details import describe_pictures, describe_test
from stillhouse.models.workloads.text_to_image.judging.judges import Judges, open_judges
from stillhouse.models.workloads.text_to_image.judging.png import png_address
from stillhouse.models.workloads.text_to_image.judging.shown import shown
from stillhouse.models.workloads.text_to_image.parts import DENOISER, TEXT_ENCODER
from stillhouse.models.workloads.text_to_image.prompts import Prompts, load_prompts, picture_keys, style_names

MOST = 2_500
"""Most pictures that a model makes of one split."""
AT_ONCE = 100
SAME = 0.98
"""Least cosine at which the answers of the exported and of the trained network count as the same."""
SEEDS = 2**32
"""Number of seeds."""
FRECHET = "frechet"
BODIES = 64


class Generator:
    """A bundle's text encoder and denoiser, with the sampler."""

    def __init__(self, bundle: Bundle) -> None:
        """Open the files."""
        self.encoder, self.denoiser = (open_session(bundle.file(name)) for name in (TEXT_ENCODER, DENOISER))
        self.sampler, self.image_shape = Sampler.of(bundle.about["sampler"]), tuple(bundle.about["image_shape"])

    def read(self, texts: Sequence[str]) -> Rows:
        """Return the vectors (N, D) of prompts."""
        return predict(self.encoder, codes_of(texts))

    def velocity(self, states_NK: Rows) -> Rows:
        """Return the velocities (N, P) at states.

        Raises:
            ModelError: a velocity is not finite.
        """
        return predict(self.denoiser, states_NK, AT_ONCE)

    def make(self, conditions_ND: Rows, seeds: Sequence[int], steps: int | None = None) -> NDArray[np.uint8]:
        """Return one picture (N, C, H, W) of each condition and seed.

        Args:
            conditions_ND: vectors of prompts.
            seeds: seed of each picture's noise.
            steps: number of steps. None: the bundle's own.
        """
        sampler = self.sampler if steps is None else replace(self.sampler, steps=steps)
        noise_NP = noise_of(seeds, int(np.prod(self.image_shape)))
        made = [
            sample(self.velocity, noise_NP[start : start + AT_ONCE], conditions_ND[start : start + AT_ONCE], sampler)
            for start in range(0, len(noise_NP), AT_ONCE)
        ]
        return raw(np.concatenate(made)).reshape(-1, *self.image_shape)


@dataclass(frozen=True)
class Asked:
    """What a split asks for: as many pictures as half of its real pictures, of the same classes."""

    prompts: Prompts
    places_N: NDArray[np.int64]
    """Prompt of each picture."""
    halves: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    """Two halves of the split's real pictures (N, C, H, W)."""
    labels: Sequence[str]
    slices: Sequence[str]
    """Slice of each picture: its style, or its class if the data have no styles."""
    judges: Judges | None = None

    @property
    def labels_N(self) -> NDArray[np.int64]:  # noqa: N802 - a tensor name
        """Class that each picture must show."""
        return self.prompts.labels_N[self.places_N]

    @property
    def judge(self) -> Judges:
        """Return the judges.

        Raises:
            ModelError: the split was opened without them.
        """
        if self.judges is None:
            msg = "pictures of this split cannot be judged without the export's judges; run the stage export again"
            raise ModelError(msg)
        return self.judges


@dataclass(frozen=True)
class Made:
    """A model's pictures for a split."""

    images_NCHW: NDArray[np.uint8]
    vectors_MD: Rows
    """Vectors of all prompts of the split."""
    generator: Generator


class TextToImage:
    """Runtime of text to image."""

    packages: Sequence[str] = ("pillow", "pyarrow")

    def load_split(self, data: Path, split: str) -> Asked:
        """Read the prompts of a split, and two halves of its real pictures."""
        images, prompts = load_images(data, split), load_prompts(data, split)
        half = min(MOST, len(images) // 2)
        first, second = images.images_NCHW[:half], images.images_NCHW[half : 2 * half]
        keys_N, described = picture_keys(data, split)[:half], describe(data)
        places_N = prompts.choose(keys_N, np.random.default_rng(0))
        return Asked(prompts, places_N, (first, second), described["labels"], style_names(keys_N, described))

    def with_judges(self, split: Asked, folder: Path) -> Asked:
        """Return a split with the judges of the export."""
        return replace(split, judges=open_judges(folder, len(split.labels)))

    def ask(self, bundle: Bundle, split: Asked) -> Made:
        """Make one picture for each prompt of the split, picture number n from seed n."""
        model = Generator(bundle)
        vectors_MD = model.read(split.prompts.texts)
        images_NCHW = model.make(vectors_MD[split.places_N], list(range(len(split.places_N))))
        return Made(images_NCHW, vectors_MD, model)

    def outcomes(self, split: Asked, answers: Made, _reference: Made) -> Outcomes:
        """Return whether each picture shows what its prompt asks for. Each prompt is a group."""
        logits_NK = split.judge.logits(answers.images_NCHW)
        right_N = shown(logits_NK, split.labels_N).astype(np.float64)

        def scores(places_N: NDArray[np.int64]) -> Scores:
            return Scores(right_N[places_N], split.places_N[places_N])

        own = np.array(split.slices)
        slices = {name: scores(np.flatnonzero(own == name)) for name in dict.fromkeys(split.slices)}
        return Outcomes(scores(np.arange(len(right_N))), logits_NK.argmax(1), slices)

    def parity(self, references: Path, _split: Asked, answers: Made) -> float:
        """Return the share of vectors and velocities that differ from those of the trained networks."""
        asked = np.load(references / f"{DENOISER}.npy", allow_pickle=False)
        vectors_MD = np.load(references / f"{TEXT_ENCODER}.npy", allow_pickle=False)
        states_NK, velocities_NP = np.split(asked, [asked.shape[1] - answers.images_NCHW[0].size], axis=1)
        cosines = [
            _cosines(answers.generator.velocity(states_NK), velocities_NP),
            _cosines(answers.vectors_MD, vectors_MD),
        ]
        return float((np.concatenate(cosines) < SAME).mean())

    def one_request(self, _data: Path, split: Asked) -> Request:
        """Return the first prompt, and a state of noise."""
        text = split.prompts.texts[0]
        noise_1P = noise_of([0], int(np.prod(split.halves[0].shape[1:])))
        state_1K = states_of(noise_1P, 0.0, np.zeros((1, DIMENSION), np.float32))
        return Request({TEXT_ENCODER: codes_of([text]), DENOISER: state_1K}, text)

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open the files again. The call reads the prompt and makes the picture, in all its steps."""
        model = Generator(bundle)
        return lambda: model.make(model.read([request.body]), [0])

    def comparisons(self, split: Asked, answers: Mapping[str, Made], confidence: float) -> dict[str, dict[str, Any]]:
        """Return the teacher's Frechet distance / the student's, to the half of the pictures that lent no classes."""
        features = {name: split.judge.features(made.images_NCHW) for name, made in answers.items()}
        real_MF = split.judge.features(split.halves[1])
        found = compare_distances(features["teacher"], features["student"], real_MF, split.places_N, confidence)
        return {FRECHET: found}

    def details(
        self, data: Path, bundles: Mapping[str, Bundle], split: Asked, answers: Mapping[str, Made]
    ) -> dict[str, Any]:
        """Return Frechet distances, distances to the training pictures, and pictures at several numbers of steps."""
        models = {name: Generator(bundle) for name, bundle in bundles.items()}
        return describe_pictures(data, models, split, {name: made.images_NCHW for name, made in answers.items()})

    def test_details(self, split: Asked, answers: Mapping[str, Made]) -> dict[str, Any]:
        """Return the Frechet distances on the test split."""
        return describe_test(split, {name: made.images_NCHW for name, made in answers.items()})

    def serve(self, bundle: Bundle, _labels: Sequence[str]) -> dict[str, Answerer]:
        """Answer prompts with PNG files in data URLs. A prompt is a text, or a text with a `seed`."""
        model = Generator(bundle)

        def make(prompts: Sequence[Any]) -> list[dict[str, Any]]:
            asked = [prompt_of(prompt) for prompt in prompts]
            conditions_ND = run_model(lambda: model.read([text for text, _ in asked]))
            images_NCHW = model.make(conditions_ND, [seed for _, seed in asked])
            return [{"image": png_address(image_CHW)} for image_CHW in images_NCHW]

        return {"text": make}

    def probe(self, bundle: Bundle) -> None:
        """Make one picture."""
        model = Generator(bundle)
        model.make(model.read(["a probe"]), [0])

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return prompts of the gate split."""
        return "text/plain", [text.encode() for text in load_prompts(data, "gate").texts[:BODIES]]


def prompt_of(prompt: object) -> tuple[str, int]:
    """Return the text and the seed of a prompt: a text alone has seed 0.

    Raises:
        ModelError: the text is empty, or the seed is no whole number from 0 to 4,294,967,295.
    """
    text, seed = (prompt.get("text"), prompt.get("seed", 0)) if isinstance(prompt, dict) else (prompt, 0)
    codes_of([text])  # type: ignore[list-item]  # refuses what is no text
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < SEEDS:
        msg = f"the seed {str(seed)[:40]!r} is no whole number from 0 to {SEEDS - 1:,}; give one"
        raise ModelError(msg)
    return str(text), seed


def _cosines(one_ND: Rows, other_ND: Rows) -> NDArray[np.float32]:
    lengths_N = np.linalg.norm(one_ND, axis=1) * np.linalg.norm(other_ND, axis=1)
    cosines_N: NDArray[np.float32] = (one_ND * other_ND).sum(1) / np.maximum(lengths_N, 1e-9)
    return cosines_N


RUNTIME: Runtime = TextToImage()
