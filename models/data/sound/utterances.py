"""Recordings with their transcripts, decoded: mono, 16 kHz, without the quiet edges, at full volume, 16 bits.

An utterance has any length. Who needs a limit cuts it.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.audio import SAMPLE_RATE, resample
from stillhouse.models.data.sound.clips import decode_whole
from stillhouse.models.data.sound.first_sound import QUIET, SILENCE
from stillhouse.models.errors import ModelError

LOUDEST = 30_000
"""The loudest sample of every utterance."""
KEPT = 0.1
"""Seconds that stay before the first sound and after the last."""
LONGEST = 3_600.0
"""Seconds of a recording that are decoded, so that a small file of silent days cannot fill the memory."""
MOST_THREADS = 4
UNSEEN_VOICE = "unseen_voice"
"""Name in dataset.json of the file whose voices are in no split."""


class SilentError(ModelError):
    """A recording is silent: it can be read, and holds no words."""


@dataclass(frozen=True)
class Utterances:
    """Utterances of one split, or of an unseen voice, in memory."""

    samples: list[NDArray[np.int16]]
    """One array (T,) for each utterance."""
    texts: list[str]
    """The transcripts, in the form of `models.data.transcripts`."""
    languages: list[str]
    voices: list[str]
    labels_N: NDArray[np.int64]
    """Groups. Utterances of one group are not independent."""

    def __len__(self) -> int:
        """Count the utterances."""
        return len(self.texts)

    def chosen(self, places: Sequence[int]) -> "Utterances":
        """Return the utterances at some places."""
        return Utterances(
            samples=[self.samples[place] for place in places],
            texts=[self.texts[place] for place in places],
            languages=[self.languages[place] for place in places],
            voices=[self.voices[place] for place in places],
            labels_N=self.labels_N[list(places)],
        )


def load_utterances(folder: Path, split: str) -> Utterances:
    """Read and decode every shard of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no transcripts or no such split, or a recording cannot be decoded.
    """
    described = _describe(folder)
    if split not in described["splits"]:
        msg = f"{described['name']} has no split {split!r}; use one of {', '.join(described['splits'])}"
        raise ModelError(msg)
    return _decode([folder / shard["path"] for shard in described["splits"][split]["shards"]])


def load_unseen_voice(folder: Path) -> Utterances:
    """Read and decode the utterances whose voices are in no split. A dataset may have none.

    Raises:
        ModelError: the dataset has no transcripts, or a recording cannot be decoded.
    """
    described = _describe(folder)
    return _decode([folder / described[UNSEEN_VOICE]["path"]] if UNSEEN_VOICE in described else [])


def utterance_of(content: bytes) -> NDArray[np.int16]:
    """Decode an audio file to samples (T,).

    Raises:
        ModelError: the file cannot be read, ends early, is silent, is too short or has samples that are no numbers.
    """
    decoded_T, rate = decode_whole(content, LONGEST)
    samples_T = resample(decoded_T, rate)
    peak = np.abs(samples_T).max()
    if peak <= SILENCE:
        msg = "the recording is silent (its peak is below -60 dBFS); record it again, louder"
        raise SilentError(msg)
    loud = np.flatnonzero(np.abs(samples_T) > QUIET * peak)
    kept = int(KEPT * SAMPLE_RATE)
    said_T = samples_T[max(0, loud[0] - kept) : loud[-1] + 1 + kept]
    rounded_T: NDArray[np.int16] = np.round(said_T * (LOUDEST / peak)).astype(np.int16)
    return rounded_T


def _describe(folder: Path) -> dict[str, Any]:
    described = describe(folder)
    if "transcripts" not in described:
        msg = f"{described['name']} has no transcripts; name a dataset of recordings with transcripts in data.dataset"
        raise ModelError(msg)
    return described


def _decode(files: list[Path]) -> Utterances:
    import pyarrow.parquet as pq

    if not files:
        return Utterances([], [], [], [], np.zeros(0, np.int64))
    table = pq.read_table(files)
    with ThreadPoolExecutor(min(MOST_THREADS, len(os.sched_getaffinity(0)))) as pool:
        samples = list(pool.map(_decode_row, table["id"].to_pylist(), table["audio"].to_pylist()))
    return Utterances(
        samples=samples,
        texts=table["text"].to_pylist(),
        languages=table["language"].to_pylist(),
        voices=table["voice"].to_pylist(),
        labels_N=table["label"].to_numpy().astype(np.int64),
    )


def _decode_row(name: str, content: bytes) -> NDArray[np.int16]:
    try:
        return utterance_of(content)
    except ModelError as error:
        msg = f"{name}: {error}"
        raise ModelError(msg) from error
