"""Runtime of audio classification: recordings in, classes out. Quality is accuracy."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.clips import Clips, clip_of, load_clips
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.outcomes import Outcomes
from stillhouse.models.measurement.latency import open_call
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.base import Answerer, Request, Runtime
from stillhouse.models.workloads.classes import Classes, class_outcomes, compare_with_reference, most_likely
from stillhouse.models.workloads.registry import ALONE

Split = tuple[Clips, list[str]]
"""Clips with their classes, and the names of all classes."""
AT_ONCE = 16
"""Clips in a batch. The first layers of a speech model make hundreds of numbers of each sample."""
SEED = 3
NOISE = 3_000
"""Standard deviation of the samples of noise."""
BODIES = 64
"""Number of different requests for a load test."""
SAMPLES = "samples"
"""Kind of input of a request that sends the numbers of a clip."""


class AudioClassification:
    """Runtime of audio classification. A split is clips with their classes. The answers are the model's classes."""

    packages: Sequence[str] = ("pyarrow", "scipy", "soundfile")

    def load_split(self, data: Path, split: str) -> Split:
        """Read clips with their classes, and the names of all classes."""
        return load_clips(data, split), describe(data)["labels"]

    def ask(self, bundle: Bundle, split: Split) -> Classes:
        """Return the classes (N,) that a file predicts."""
        classes_N: Classes = predict(open_session(bundle.file(ALONE)), split[0].samples_NT, AT_ONCE).argmax(1)
        return classes_N

    def outcomes(self, split: Split, answers: Classes, _reference: Classes) -> Outcomes:
        """Return the quality of each clip: 1 if its class is right, otherwise 0. Each class is a slice."""
        return class_outcomes(answers, split[0].labels_N, split[1])

    def parity(self, references: Path, _split: Split, answers: Classes) -> float:
        """Return the share of clips for which the training-time model predicts another class."""
        return compare_with_reference(references, answers)

    def one_request(self, _data: Path, split: Split) -> Request:
        """Return one clip."""
        return Request({ALONE: split[0].samples_NT[:1]})

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open a file again. The call classifies the clip."""
        return open_call(bundle.file(ALONE), request.raw[ALONE])

    def comparisons(self, *_: object) -> dict[str, Any]:
        """Return no additional comparisons."""
        return {}

    def details(self, *_: object) -> dict[str, Any]:
        """Return no additional details."""
        return {}

    def test_details(self, *_: object) -> dict[str, Any]:
        """Return no additional details."""
        return {}

    def serve(self, bundle: Bundle, labels: Sequence[str]) -> dict[str, Answerer]:
        """Answer audio files or samples with the most likely class and its probability."""
        session, names = open_session(bundle.file(ALONE)), bundle.about.get("labels") or labels
        length = int(session.get_inputs()[0].shape[1])
        return {
            "speech": lambda files: most_likely(
                session, np.stack([clip_of(file, length) for file in files]), names, AT_ONCE
            ),
            SAMPLES: lambda clips: most_likely(session, samples_of(clips, length), names, AT_ONCE),
        }

    def probe(self, bundle: Bundle) -> None:
        """Classify noise."""
        session = open_session(bundle.file(ALONE))
        length = int(session.get_inputs()[0].shape[1])
        predict(session, np.random.default_rng(SEED).normal(0, NOISE, (1, length)).astype(np.int16))

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return clips of the gate split, as WAV files."""
        return "audio/wav", [_wav(clip_T) for clip_T in load_clips(data, "gate").samples_NT[:BODIES]]


def samples_of(clips: Sequence[Any], length: int) -> NDArray[np.int16]:
    """Convert lists of numbers to clips (N, length).

    Raises:
        ModelError: a list has another length, or its numbers are no whole numbers of 16 bits.
    """
    limits = np.iinfo(np.int16)
    for clip in clips:
        fits = isinstance(clip, list) and len(clip) == length and set(map(type, clip)) == {int}
        if not fits or min(clip) < limits.min or max(clip) > limits.max:
            msg = f"the samples do not fit; send lists of {length:,} whole numbers from {limits.min} to {limits.max}"
            raise ModelError(msg)
    return np.array(clips, np.int16)


def _wav(clip_T: NDArray[np.int16]) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, clip_T, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


RUNTIME: Runtime = AudioClassification()
