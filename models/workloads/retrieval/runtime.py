"""Runtime of retrieval. An example is a concept. Its quality is the share of its queries that are answered.

A query is answered if a correct answer is within the split's cut. All query sets are used, in every language.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.captions import load_captions
from stillhouse.models.data.pictures import picture_of
from stillhouse.models.data.sound.waves import LENGTH, waves_of
from stillhouse.models.data.text import codes_of, trim_padding
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.compare import ratio
from stillhouse.models.evaluation.outcomes import Outcomes, Scores
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import Answerer, Request, Runtime, run_model, spread
from stillhouse.models.workloads.retrieval.data import IMAGE, SPEECH, TEXT, EvalSplit, Inputs, load_eval_split
from stillhouse.models.workloads.retrieval.details import Answers, chance, details, recalls
from stillhouse.models.workloads.retrieval.encoders import answer_once, open_encoders
from stillhouse.models.workloads.retrieval.schema import COMPATIBILITY, Details, TestDetails

SAME = 0.98
"""Least cosine at which the vectors of the exported and of the trained encoder count as the same."""
UNIT = 1e-3
"""Tolerance for the length of a unit vector."""
SEED = 3
BODIES = 64
"""Number of different requests for a load test."""


class Retrieval:
    """Runtime of retrieval. A split is an `EvalSplit`. The answers are the model's vectors for all its inputs."""

    packages: Sequence[str] = ("pandas", "pillow", "pyarrow", "safetensors", "scipy", "soundfile")
    answer: Literal["class", "vector"] = "vector"

    def load_split(self, data: Path, split: str) -> EvalSplit:
        """Read the query sets of a split."""
        return load_eval_split(data, split)

    def ask(self, bundle: Bundle, split: EvalSplit) -> Answers:
        """Embed all inputs of the split."""
        return split.vectors(open_encoders(bundle).of)

    def outcomes(self, split: EvalSplit, answers: Answers, _reference: Answers) -> Outcomes:
        """Search the model's own index. Returns quality of every concept, first answers, and language slices."""
        found = [way.ranks(answers, answers) < split.cut for way in split.query_sets]
        firsts = [way.similarity(answers, answers).argmax(1) for way in split.query_sets]
        slices = {language: _in_language(split, found, language) for language in split.languages}
        scores = Scores(split.shares(split.query_sets, found), split.groups_N)
        return Outcomes(scores, np.concatenate(firsts), slices)

    def parity(self, references: Path, split: EvalSplit, answers: Answers) -> float:
        """Return the share of inputs for which the vectors of trained and exported encoder differ.

        Only the first inputs of each encoder count.
        """
        cosines = [
            (answers[key] * np.load(references / f"{split.inputs[key].encoder}.npy", allow_pickle=False)).sum(1)
            for key in split.first_keys()
        ]
        return float((np.concatenate(cosines) < SAME).mean())

    def one_request(self, data: Path, split: EvalSplit) -> Request:
        """Return one raw input of each encoder. A sentence is sent as text."""
        return Request(split.one_of_each(), load_captions(data).names[0])

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open the encoders again. The call embeds one raw input of each encoder, and prepares the sentence."""
        return answer_once(bundle, request.raw, request.body)

    def raw_inputs(self, bundle: Bundle, split: EvalSplit, most: int) -> dict[str, list[NDArray[Any]]]:
        """Return raw pictures (1, 3, H, W), code points (1, L) without padding, and samples (1, T)."""
        firsts = {name: split.first(name).raw for name in bundle.components}
        raws = {name: [raw[place : place + 1] for place in spread(len(raw), most)] for name, raw in firsts.items()}
        return {name: [*map(trim_padding, own)] if name == TEXT else own for name, own in raws.items()}

    def comparisons(self, split: EvalSplit, answers: Mapping[str, Answers], confidence: float) -> dict[str, Any]:
        """Search the teacher's index with the student's queries, as a server does until the index is built again."""
        return {COMPATIBILITY: backward_compatibility(split, answers, confidence)}

    def details(
        self, data: Path, bundles: Mapping[str, Bundle], split: EvalSplit, answers: Mapping[str, Answers]
    ) -> dict[str, Any]:
        """Return recalls, index costs, encoder costs and example queries."""
        found = details(data, bundles, split, answers)
        Details.model_validate(found)
        return found

    def test_details(self, split: EvalSplit, answers: Mapping[str, Answers]) -> dict[str, Any]:
        """Return the recalls of both models and of random answers."""
        found = {
            "recalls": {model: {split.name: recalls(split, own)} for model, own in answers.items()},
            "chance": {split.name: chance(split)},
        }
        TestDetails.model_validate(found)
        return found

    def serve(self, bundle: Bundle, _labels: Sequence[str]) -> dict[str, Answerer]:
        """Answer sentences, pictures and recordings with vectors, if the bundle has an encoder for them."""
        encoders = open_encoders(bundle)

        def of(kind: str, raw: NDArray[Any]) -> list[dict[str, Any]]:
            vectors_ND = run_model(lambda: encoders.of(Inputs(kind, raw)))
            return [{"vector": [round(float(number), 6) for number in vector]} for vector in vectors_ND]

        known: dict[str, Answerer] = {
            TEXT: lambda sentences: of(TEXT, codes_of(sentences)),
            IMAGE: lambda files: of(IMAGE, np.stack([picture_of(file) for file in files])),
            SPEECH: lambda files: of(SPEECH, waves_of(files)),
        }
        return {name: known[name] for name in encoders.sessions}

    def probe(self, bundle: Bundle) -> None:
        """Run each encoder once. Its output must be a unit vector."""
        encoders = open_encoders(bundle)
        for name, session in encoders.sessions.items():
            length = float(np.linalg.norm(encoders.of(_noise(name, session.get_inputs()[0].shape))))
            if abs(length - 1) > UNIT:
                msg = f"component {name} answers with a vector that is no unit"
                raise ModelError(msg)

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return captions of the gate split, as realistic queries for pictures. If captions have no splits, use any."""
        return "text/plain", [name.encode() for name in load_captions(data).of("gate").names[:BODIES]]


def _noise(encoder: str, shape: Sequence[Any]) -> Inputs:
    if encoder == TEXT:
        return Inputs(TEXT, codes_of(["a probe"]))
    random = np.random.default_rng(SEED)
    if encoder == SPEECH:
        return Inputs(SPEECH, random.normal(0, 1000, (1, LENGTH)).astype(np.int16))
    return Inputs(IMAGE, random.integers(0, 256, (1, *shape[1:]), dtype=np.uint8))


def scores_of(split: EvalSplit, queries: Answers, galleries: Answers) -> Scores:
    """Compute the quality of one model's queries on the galleries of the same or another model."""
    return Scores(split.per_example_recall(queries, galleries), split.groups_N)


def _in_language(split: EvalSplit, found: Sequence[NDArray[np.bool_]], language: str) -> Scores:
    """Compute the quality of the concepts with queries in a language, over these queries."""
    own = [
        (way, target_ids_Q)
        for way, target_ids_Q in zip(split.query_sets, found, strict=True)
        if way.language == language
    ]
    asked_M = np.unique(np.concatenate([way.examples_Q for way, _ in own]))
    quality_N = split.shares(*zip(*own, strict=True))
    return Scores(quality_N[asked_M], split.groups_N[asked_M])


def backward_compatibility(split: EvalSplit, answers: Mapping[str, Answers], confidence: float) -> dict[str, Any]:
    """Return the ratio of quality when the student's queries search the teacher's index."""
    teacher, student = answers["teacher"], answers["student"]
    return ratio(scores_of(split, teacher, teacher), scores_of(split, student, teacher), confidence)


RUNTIME: Runtime = Retrieval()
