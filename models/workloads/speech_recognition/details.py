"""Additional results of two recognisers: kinds of errors, an unseen voice, a language model, examples."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.utterances import Utterances, load_unseen_voice
from stillhouse.models.workloads.speech_recognition.beam import read_with_beam
from stillhouse.models.workloads.speech_recognition.language_model import LanguageModel
from stillhouse.models.workloads.transcripts.rates import Texts, rates

EXAMPLES = 6
"""Recordings that the report shows."""


class Reader(Protocol):
    """A model that reads recordings."""

    letters: Sequence[str]

    def read(self, samples_T: NDArray[np.int16]) -> str:
        """Return the text of a recording."""


class Answered(Protocol):
    """A model's answers to a split."""

    @property
    def logits(self) -> Sequence[NDArray[np.float32]]:
        """Logits (F, V) of each recording."""

    @property
    def letters(self) -> Sequence[str]:
        """The vocabulary."""

    @property
    def texts(self) -> list[str]:
        """What the model read, greedily."""


def describe_answers(
    data: Path, readers: Mapping[str, Reader], split: Utterances, answers: Mapping[str, Answered]
) -> dict[str, Any]:
    """Return the results of `teacher` and `student` that only speech recognition has."""
    greedy = {name: answered.texts for name, answered in answers.items()}
    model = LanguageModel(training_texts(data))
    beam = {
        name: [read_with_beam(logits_FV.astype(np.float32), answered.letters, model) for logits_FV in answered.logits]
        for name, answered in answers.items()
    }
    voice = load_unseen_voice(data)
    heard = {name: list(map(reader.read, voice.samples)) for name, reader in readers.items()}
    return {
        "rates": [
            rates("all", split.texts, greedy),
            rates("all, read with a language model", split.texts, beam),
            *_each(split, greedy, split.languages),
            *_by_length(split, greedy),
            *([rates("a voice that was never heard", voice.texts, heard)] if len(voice) else []),
        ],
        "examples": [_example(split, answers, greedy, place) for place in _spread(split)],
    }


def describe_test(split: Utterances, texts: Texts) -> dict[str, Any]:
    """Return the error rates on the test split."""
    return {"rates": [rates("the split test", split.texts, texts)]}


def training_texts(data: Path) -> list[str]:
    """Read the transcripts of the training split."""
    import pyarrow.parquet as pq

    shards = [data / shard["path"] for shard in describe(data)["splits"]["train"]["shards"]]
    texts: list[str] = pq.read_table(shards, columns=["text"])["text"].to_pylist()
    return texts


def _each(split: Utterances, texts: Texts, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rates of the recordings of each name, such as each language."""
    places = {name: [place for place, own in enumerate(names) if own == name] for name in sorted(set(names))}
    return [_of(name, split, texts, chosen) for name, chosen in places.items()]


def _by_length(split: Utterances, texts: Texts) -> list[dict[str, Any]]:
    """Return the rates of a third of the recordings each: the short, the medium and the long ones."""
    seconds_N = np.array([len(samples_T) / SAMPLE_RATE for samples_T in split.samples])
    parts = [part for part in np.array_split(np.argsort(seconds_N, kind="stable"), 3) if len(part)]
    return [
        _of(f"{seconds_N[part].min():.1f} to {seconds_N[part].max():.1f} s", split, texts, part.tolist())
        for part in parts
    ]


def _of(name: str, split: Utterances, texts: Texts, places: Sequence[int]) -> dict[str, Any]:
    chosen = {model: [own[place] for place in places] for model, own in texts.items()}
    return rates(name, split.chosen(places).texts, chosen)


def _spread(split: Utterances) -> list[int]:
    """Choose recordings of different lengths."""
    order = np.argsort([len(samples_T) for samples_T in split.samples], kind="stable")
    places = np.linspace(0, len(order) - 1, min(EXAMPLES, len(order)) + 2).round().astype(int)[1:-1]
    return [int(order[place]) for place in places]


def _example(split: Utterances, answers: Mapping[str, Answered], texts: Texts, place: int) -> dict[str, Any]:
    spoken = {
        name: np.round(_spoken(answered.logits[place].astype(np.float32)), 3).tolist()
        for name, answered in answers.items()
    }
    return {
        "language": split.languages[place],
        "text": split.texts[place],
        "audio": _address(split.samples[place]),
        "seconds": len(split.samples[place]) / SAMPLE_RATE,
        "spectrogram": spectrogram_of(split.samples[place]).tolist(),
        "spoken": spoken,
        **{name: own[place] for name, own in texts.items()},
    }


def _spoken(logits_FV: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of any letter in each frame."""
    powers_FV = np.exp(logits_FV - logits_FV.max(1, keepdims=True))
    spoken_F: NDArray[np.float32] = 1 - powers_FV[:, 0] / powers_FV.sum(1)
    return spoken_F


def spectrogram_of(samples_T: NDArray[np.int16], bands: int = 40, columns: int = 160) -> NDArray[np.int64]:
    """Return the loudness of tones (bands, columns) from 0 to 255 for a picture, low tones first."""
    size = 512
    hop = max(1, (len(samples_T) - size) // columns)
    starts = np.arange(0, max(1, len(samples_T) - size), hop)[:columns]
    padded_T = np.pad(samples_T.astype(np.float64), (0, size))
    frames_CW = np.stack([padded_T[start : start + size] for start in starts]) * np.hanning(size)
    powers_CK = np.abs(np.fft.rfft(frames_CW)) ** 2
    edges_B = (powers_CK.shape[1] - 1) * ((1 + 11.4) ** np.linspace(0, 1, bands + 1) - 1) / 11.4
    levels_BC = np.stack(
        [np.log10(powers_CK[:, int(low) : max(int(low) + 1, int(high))].mean(1) + 1) for low, high in pairwise(edges_B)]
    )
    scaled_BC = (levels_BC - levels_BC.min()) / max(1e-9, np.ptp(levels_BC))
    shades_BC: NDArray[np.int64] = np.round(255 * scaled_BC).astype(np.int64)
    return shades_BC


def _address(samples_T: NDArray[np.int16]) -> str:
    """Return a recording as an Ogg file in a data URL."""
    stream = io.BytesIO()
    soundfile.write(stream, samples_T, SAMPLE_RATE, format="OGG", subtype="VORBIS")
    return f"data:audio/ogg;base64,{base64.b64encode(stream.getvalue()).decode()}"
