"""A deployable with several encoders: one exported file per encoder in one folder, and the preprocessing of inputs.

Serving needs nothing else. An image encoder takes raw pixels. A text encoder takes code points, made by
`models.data.text`. A speech encoder takes samples, made by `models.data.sound.waves`. All return unit vectors of one
space.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stillhouse.models.data.sound.waves import waves_of
from stillhouse.models.data.text import codes_of, trim_padding
from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.retrieval.data import IMAGE, SPEECH, TEXT, Inputs
from stillhouse.models.workloads.retrieval.search.ranks import Vectors

SENTENCES_AT_ONCE = 256


@dataclass(frozen=True)
class Deployed:
    """Opened encoders."""

    space: str
    sessions: dict[str, onnxruntime.InferenceSession]

    def of_images(self, images_NCHW: NDArray[np.uint8]) -> Vectors:
        """Return the unit vectors (N, D) of raw images (N, 3, H, W)."""
        return self.of(Inputs(IMAGE, images_NCHW))

    def of_texts(self, sentences: Sequence[str]) -> Vectors:
        """Return the unit vectors (N, D) of sentences.

        Raises:
            ModelError: a sentence is empty, or an error of `of`.
        """
        return self.of(Inputs(TEXT, codes_of(sentences)))

    def of_recordings(self, files: Sequence[bytes]) -> Vectors:
        """Return the unit vectors (N, D) of audio files.

        Raises:
            ModelError: a file cannot be read, is silent or too short, or an error of `of`.
        """
        return self.of(Inputs(SPEECH, waves_of(files)))

    def of(self, inputs: Inputs) -> Vectors:
        """Return the unit vectors (N, D) of raw inputs.

        Raises:
            ModelError: there is no encoder for such inputs, or its output is not finite.
        """
        session = self._session(inputs.encoder)
        if inputs.encoder != TEXT:
            return predict(session, inputs.raw)
        order = np.argsort((inputs.raw > 0).sum(1), kind="stable")  # sort sentences by length: less padding in a batch
        vectors_ND = np.concatenate([predict(session, trim_padding(inputs.raw[some])) for some in _split(order)])
        return vectors_ND[np.argsort(order)]

    def _session(self, encoder: str) -> onnxruntime.InferenceSession:
        if encoder not in self.sessions:
            msg = f"this model has no encoder for {encoder}; it has {', '.join(self.sessions)}"
            raise ModelError(msg)
        return self.sessions[encoder]


def open_encoders(bundle: Bundle) -> Deployed:
    """Open every encoder of a bundle."""
    return Deployed(bundle.about["space"], {name: open_session(bundle.file(name)) for name in bundle.components})


def answer_once(bundle: Bundle, one: Mapping[str, NDArray[Any]], sentence: str) -> Callable[[], object]:
    """Open the encoders again. The call embeds one raw input of each encoder, and prepares the sentence."""
    sessions = open_encoders(bundle).sessions
    names = {encoder: session.get_inputs()[0].name for encoder, session in sessions.items()}

    def call() -> None:
        for encoder, session in sessions.items():
            session.run(None, {names[encoder]: codes_of([sentence]) if encoder == TEXT else one[encoder]})

    return call


def _split(order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [order[start : start + SENTENCES_AT_ONCE] for start in range(0, len(order), SENTENCES_AT_ONCE)]
