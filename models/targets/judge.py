"""Write a model for another runtime and judge it beside ONNX Runtime: answers to real inputs, and time in turns.

It runs in the environment of the other runtime. `python -m MODULE REQUEST ANSWER` with `reference`, the ONNX file that
ships, `source`, what the runtime's own file is made of, `target`, the path of that file, `inputs`, a `.npz` file of raw
batches of one, `answers`, the path of a new `.npz` file, and `schedule`, the fields of
`models.measurement.latency.Schedule`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.measurement.latency import Call, Schedule, compare_calls, machine, open_call
from stillhouse.models.runtime.session import open_session, predict

Raw = NDArray[np.generic]
Answer = Callable[[Raw], NDArray[np.float32]]
"""From one raw input, a batch of one, to its numbers (1, K)."""
Writer = Callable[[Path, Path, Raw], None]
"""Writes the runtime's file from a source. The raw input is an example."""
Opener = Callable[[Path], Answer]


def write_and_judge(
    write: Writer, open_file: Opener, versions: Mapping[str, str], request: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the file, run it and the reference on all inputs, and time both on the input of middle size.

    Args:
        write: writes the runtime's file.
        open_file: opens it as it is deployed.
        versions: of the runtime.
        request: see the module.

    Returns:
        `comparison`, the fields of `models.measurement.latency.Comparison`, and `machine`. The numbers (N, K) of both
        are in the file `answers`, as `reference` and `target`.

    Raises:
        ModelError: the runtime cannot take the model, or answers with a number that is not finite.
    """
    reference, target = Path(request["reference"]), Path(request["target"])
    raws = _read(Path(request["inputs"]))
    typical = sorted(raws, key=lambda raw: raw.size)[len(raws) // 2]
    write(Path(request["source"]), target, typical)
    session, answer = open_session(reference), open_file(target)
    expected_NK = np.concatenate([predict(session, raw) for raw in raws])
    found_NK = np.concatenate([np.asarray(answer(raw), np.float32) for raw in raws])
    if found_NK.shape != expected_NK.shape or not np.isfinite(found_NK).all():
        msg = f"{target.name} answers with NaN, infinity or another number of values; keep the model in ONNX Runtime"
        raise ModelError(msg)
    np.savez(request["answers"], reference=expected_NK, target=found_NK)
    openers = (partial(open_call, reference, typical), partial(_open_call, open_file, target, typical))
    compared = compare_calls(openers, Schedule(**request["schedule"]))
    return {"comparison": asdict(compared), "machine": machine() | dict(versions)}


def _read(path: Path) -> Sequence[Raw]:
    with np.load(path, allow_pickle=False) as stored:
        return [stored[str(place)] for place in range(len(stored.files))]


def _open_call(open_file: Opener, path: Path, raw: Raw) -> Call:
    answer = open_file(path)
    return lambda: answer(raw)
