"""What ships: numpy and ONNX Runtime only."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import RANGE
from stillhouse.models.data.arrays import Arrays, load_arrays
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.outcomes import Outcomes, Scores
from stillhouse.models.measurement.latency import open_call
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.base import Answerer, Request, Runtime, run_model
from stillhouse.models.workloads.registry import ALONE
from tasks import SEVERE

APART = 30.0
Lengths = NDArray[np.float64]


def quality_of(found_N: NDArray[Any], targets_N: NDArray[Any]) -> Lengths:
    """Quality (N,) of each number: 1 where it is right, less by its error's share of the range."""
    return np.asarray(1 - np.abs(found_N - targets_N) / RANGE, np.float64)


class Progression:
    """A split is arrays with targets; a model's answers are numbers (N,)."""

    packages: Sequence[str] = ()

    def load_split(self, data: Path, split: str) -> Arrays:
        return load_arrays(data, split)

    def ask(self, bundle: Bundle, split: Arrays) -> Lengths:
        return predict(open_session(bundle.file(ALONE)), split.arrays)[:, 0].astype(np.float64)

    def outcomes(self, split: Arrays, answers: Lengths, _reference: Lengths) -> Outcomes:
        quality_N, severe_N = quality_of(answers, split.targets_N), split.targets_N >= SEVERE
        slices = {"severe": Scores(quality_N[severe_N], None), "mild": Scores(quality_N[~severe_N], None)}
        return Outcomes(Scores(quality_N, None), answers.round(-1), slices)

    def parity(self, references: Path, _split: Arrays, answers: Lengths) -> float:
        trained_N = np.load(references / f"{ALONE}.npy", allow_pickle=False)
        return float((np.abs(trained_N - answers) > APART).mean())

    def one_request(self, _data: Path, split: Arrays) -> Request:
        return Request({ALONE: split.arrays[:1]})

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        return open_call(bundle.file(ALONE), request.raw[ALONE])

    def comparisons(self, _split: Arrays, answers: Mapping[str, Lengths], _confidence: float) -> dict[str, Any]:
        kept = np.corrcoef(answers["teacher"], answers["student"])[0, 1]
        return {"correlation": {"value": float(kept), "interval": (float(kept), float(kept))}}

    def details(self, _data: Path, _bundles: Any, split: Arrays, answers: Mapping[str, Lengths]) -> dict[str, Any]:
        return {"mean_error": {name: float(np.abs(found - split.targets_N).mean()) for name, found in answers.items()}}

    def test_details(self, split: Arrays, answers: Mapping[str, Lengths]) -> dict[str, Any]:
        return self.details(Path(), None, split, answers)

    def serve(self, bundle: Bundle, _labels: Sequence[str]) -> Mapping[str, Answerer]:
        session = open_session(bundle.file(ALONE))
        measurements = session.get_inputs()[0].shape[1]

        def answer(patients: Sequence[Any]) -> list[dict[str, Any]]:
            try:
                given_NM = np.array(patients, np.float32).reshape(len(patients), measurements)
            except (ValueError, TypeError) as error:
                msg = f"each patient has {measurements} numbers; send lists of so many"
                raise ModelError(msg) from error
            found_N = run_model(lambda: predict(session, given_NM))[:, 0]
            return [{"progression": round(float(found), 3)} for found in found_N]

        return {"measurements": answer}

    def probe(self, bundle: Bundle) -> None:
        session = open_session(bundle.file(ALONE))
        predict(session, np.zeros((1, session.get_inputs()[0].shape[1]), np.float32))

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        arrays = load_arrays(data, "gate").arrays[:64]
        return "application/json", [json.dumps({"measurements": [array.tolist()]}).encode() for array in arrays]


RUNTIME: Runtime = Progression()
