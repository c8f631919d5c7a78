"""Recordings that are not speech, with words: what the format and the decoder need, made in no time."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from stillhouse.tasks.data.format.dataset import SPLITS, Utterance, write_dataset

RATE = 16_000


def tone(seconds: float, rate: int = RATE, height: float = 0.5, pitch: float = 440) -> NDArray[np.float64]:
    """Make samples (T,) of one tone."""
    return height * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def audio_file(
    samples_TC: NDArray[np.float64], rate: int = RATE, kind: str = "WAV", subtype: str | None = None
) -> bytes:
    """Encode samples as an audio file."""
    stream = io.BytesIO()
    soundfile.write(stream, samples_TC, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def write_utterances(
    folder: Path,
    unseen: Sequence[Utterance] = (),
    also: Mapping[str, Sequence[Utterance]] | None = None,
    languages: Sequence[str] = ("fr",),
) -> Path:
    """Write a dataset with two tones in every split, each of its own pitch, group and words.

    The first language has the first tone. The last one has the second, and the unseen voice.
    """
    splits = {
        split: [_utterance(split, 2 * place + row, languages[-row]) for row in range(2)]
        + list((also or {}).get(split, ()))
        for place, split in enumerate(SPLITS)
    }
    about: dict[str, Any] = {
        "name": "tones",
        "licence": "CC0-1.0",
        "sources": [],
        "labels": [f"group {number}" for number in range(20)],
        "languages": list(languages),
        "voices": ["tones-fr", "other-fr"],
        "sample_rates": [8_000, RATE],
        "transcripts": {"letters": [" ", "a", "b"]},
    }
    folder.mkdir(parents=True)
    write_dataset(folder, about, b"free", splits, {"unseen_voice": unseen})
    return folder


def unseen_utterances(language: str = "fr") -> list[Utterance]:
    """Make two tones of a voice that no split has."""
    return [Utterance(f"other/{n}", audio_file(tone(0.4, pitch=900 + n)), "b b" + "a" * n, 10 + n, language, "other-fr")
        for n in range(2)]  # fmt: skip


def _utterance(split: str, number: int, language: str) -> Utterance:
    audio = audio_file(tone(0.5 + number / 100, 8_000, pitch=200 + 10 * number), 8_000)
    return Utterance(f"{split}/{number}", audio, "a" * (1 + number), number, language, "tones-fr")
