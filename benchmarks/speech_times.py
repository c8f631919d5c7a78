"""How long does a recogniser take for real speech? Times over the whole gate split, and chunk by chunk.

`python benchmarks/speech_times.py FOLDER DATA` takes the folder of a stage `export`, with the bundles `teacher` and
`student`, and a materialised dataset. It prints the mean time of a recording of both models in turns, the real-time
factor, and the time of a chunk of a stream. Run it on a quiet machine.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.utterances import load_utterances
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.runtime.session import pin_to_one_core
from stillhouse.models.workloads.speech_recognition.runtime import Recogniser

TURNS = 5
CHUNK, CONTEXT = 0.64, 2.56
"""Seconds of new speech, and seconds before it, that a chunk of a stream reads."""


def main() -> None:
    """Measure and print."""
    folder, data = map(Path, sys.argv[1:3])
    models = {name: Recogniser(open_bundle(folder / name)) for name in ("teacher", "student")}
    heard = load_utterances(data, "gate").samples
    seconds = sum(map(len, heard)) / SAMPLE_RATE
    with pin_to_one_core():
        turns = [{name: _time_all(model.read, heard) for name, model in models.items()} for _ in range(TURNS)]
        chunks = {name: _time_chunk(model.read) for name, model in models.items()}
    ratios = [turn["teacher"] / turn["student"] for turn in turns]
    for name in models:
        best = min(turn[name] for turn in turns)
        print(
            f"{name}: {1e3 * best / len(heard):.2f} ms a recording of {seconds / len(heard):.2f} s on average, "
            f"real-time factor {best / seconds:.5f}; {chunks[name]:.2f} ms a chunk of {CHUNK} s"
        )
    print(f"ratio over the gate split: {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def _time_all(read: Callable[[NDArray[np.int16]], str], heard: Sequence[NDArray[np.int16]]) -> float:
    begun = time.perf_counter()
    for samples_T in heard:
        read(samples_T)
    return time.perf_counter() - begun


def _time_chunk(read: Callable[[NDArray[np.int16]], str]) -> float:
    """Return the milliseconds of a chunk with its context: the 10th percentile of 200."""
    noise_T = np.random.default_rng(1).normal(0, 3000, int((CHUNK + CONTEXT) * SAMPLE_RATE)).astype(np.int16)
    times = [_time_all(read, [noise_T]) for _ in range(200)]
    return 1e3 * float(np.quantile(times, 0.1))


if __name__ == "__main__":
    main()
