"""Runtime of speech recognition: recordings in, text out. Quality is 1 minus the character error rate."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soundfile
from numpy.typing import NDArray

from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.utterances import Utterances, load_utterances
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.outcomes import Outcomes, Scores
from stillhouse.models.measurement.transcription import Errors, count_errors
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session
from stillhouse.models.workloads.base import Answerer, Request, Runtime
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.speech_recognition.details import describe_answers, describe_test
from stillhouse.models.workloads.speech_recognition.lengths import pad_together
from stillhouse.models.workloads.speech_recognition.listening import transcribe
from stillhouse.models.workloads.transcripts.comparisons import compare_errors
from stillhouse.models.workloads.transcripts.rates import share_changed
from stillhouse.models.workloads.transcripts.spelling import LETTERS, read_greedily

TYPICAL_SECONDS = 3.0
"""Length of the recording whose time is measured."""
BODIES = 64
NOISE, SEED = 1000.0, 3
LENGTHS = ("short", "medium", "long")


class Recogniser:
    """A bundle's network with its vocabulary."""

    def __init__(self, bundle: Bundle) -> None:
        """Open the file."""
        self.session = open_session(bundle.file(ALONE))
        self.letters: Sequence[str] = bundle.about[LETTERS]

    def letters_of(self, samples_T: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return logits (F, V) of a recording.

        Raises:
            ModelError: a logit is not finite.
        """
        return run(self.session, pad_together([samples_T]))

    def read(self, samples_T: NDArray[np.int16]) -> str:
        """Return the text of a recording."""
        return read_greedily(self.letters_of(samples_T), self.letters)


def run(session: onnxruntime.InferenceSession, samples_1T: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return logits (F, V) of one recording.

    Raises:
        ModelError: a logit is not finite.
    """
    logits_FV: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: samples_1T})[0][0]
    if not np.isfinite(logits_FV).all():
        msg = "the exported file answered with NaN or infinity; quantize fewer layers or train in fp32"
        raise ModelError(msg)
    return logits_FV


@dataclass(frozen=True)
class Heard:
    """A model's answers to a split."""

    logits: Sequence[NDArray[np.float32]]
    """Logits (F, V) of each recording."""
    letters: Sequence[str]

    @cached_property
    def texts(self) -> list[str]:
        """Read each recording greedily."""
        return [read_greedily(logits_FV, self.letters) for logits_FV in self.logits]


class SpeechRecognition:
    """Runtime of speech recognition. A split is its recordings with their transcripts."""

    packages: Sequence[str] = ("jiwer", "pyarrow", "scipy", "soundfile")

    def load_split(self, data: Path, split: str) -> Utterances:
        """Read the recordings of a split."""
        return load_utterances(data, split)

    def ask(self, bundle: Bundle, split: Utterances) -> Heard:
        """Answer one recording after the other, as a server does."""
        model = Recogniser(bundle)
        return Heard([model.letters_of(samples_T) for samples_T in split.samples], model.letters)

    def outcomes(self, split: Utterances, answers: Heard, _reference: Heard) -> Outcomes:
        """Return 1 minus the character error rate of each recording, weighted by the length of its transcript.

        Each language is a slice, and so are the short, the medium and the long recordings.
        """
        errors = count_errors(split.texts, answers.texts, "characters")
        everything = np.arange(len(split))
        slices = {name: _scores(split, errors, places) for name, places in slices_of(split).items()}
        return Outcomes(_scores(split, errors, everything), np.array(answers.texts), slices)

    def parity(self, references: Path, _split: Utterances, answers: Heard) -> float:
        """Return the share of letters that differ from what the training-time model reads."""
        expected = [str(text) for text in np.load(references / f"{ALONE}.npy", allow_pickle=False)]
        return share_changed(expected, answers.texts)

    def one_request(self, _data: Path, split: Utterances) -> Request:
        """Return the recording whose length is nearest to three seconds."""
        distances = [abs(len(samples_T) - TYPICAL_SECONDS * SAMPLE_RATE) for samples_T in split.samples]
        return Request({ALONE: pad_together([split.samples[int(np.argmin(distances))]])})

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open the file again. The call reads the recording."""
        model, samples_1T = Recogniser(bundle), request.raw[ALONE]
        return lambda: read_greedily(run(model.session, samples_1T), model.letters)

    def comparisons(
        self, split: Utterances, answers: Mapping[str, Heard], confidence: float
    ) -> dict[str, dict[str, Any]]:
        """Compare the error rates of teacher and student, by characters and by words."""
        texts = {name: heard.texts for name, heard in answers.items()}
        return compare_errors(split.texts, texts, confidence, split.labels_N)

    def details(
        self, data: Path, bundles: Mapping[str, Bundle], split: Utterances, answers: Mapping[str, Heard]
    ) -> dict[str, Any]:
        """Return kinds of errors, the unseen voice, decoding with a language model, and examples."""
        readers = {name: Recogniser(bundle) for name, bundle in bundles.items()}
        return describe_answers(data, readers, split, answers)

    def test_details(self, split: Utterances, answers: Mapping[str, Heard]) -> dict[str, Any]:
        """Return the error rates on the test split."""
        return describe_test(split, {name: heard.texts for name, heard in answers.items()})

    def serve(self, bundle: Bundle, _labels: Sequence[str]) -> dict[str, Answerer]:
        """Answer audio files with text. A long recording is cut where it is quiet."""
        model = Recogniser(bundle)
        return {"speech": lambda files: [{"text": transcribe(file, model.read)} for file in files]}

    def probe(self, bundle: Bundle) -> None:
        """Read noise."""
        Recogniser(bundle).read(np.random.default_rng(SEED).normal(0, NOISE, SAMPLE_RATE).astype(np.int16))

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return recordings of the gate split, as WAV files."""
        return "audio/wav", [_wav(samples_T) for samples_T in load_utterances(data, "gate").samples[:BODIES]]


def slices_of(split: Utterances) -> dict[str, NDArray[np.int64]]:
    """Return name -> places of the recordings of each language, and of three lengths with equal counts."""
    languages = np.array(split.languages)
    by_language = {name: np.flatnonzero(languages == name) for name in sorted(set(split.languages))}
    order = np.argsort([len(samples_T) for samples_T in split.samples], kind="stable")
    return by_language | {name: np.sort(part) for name, part in zip(LENGTHS, np.array_split(order, 3), strict=True)}


def _scores(split: Utterances, errors: Errors, places: NDArray[np.int64]) -> Scores:
    lengths_N = errors.lengths_N[places]
    quality_N = 1 - errors.each[places] / lengths_N
    return Scores(quality_N, split.labels_N[places], lengths_N.astype(np.float64))


def _wav(samples_T: NDArray[np.int16]) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples_T, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


RUNTIME: Runtime = SpeechRecognition()
