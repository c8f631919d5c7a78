"""A deployable of several towers: one exported file each, in one folder, and how its inputs are prepared.

Serving needs nothing else: an image tower takes raw pixels, a text tower the code points that `models.inputs.text`
makes of a sentence, and both answer with unit vectors of one space.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.errors import ModelError
from models.inputs.text import codes_of
from models.packing import deployable
from models.runtime import open_session, predict

ABOUT = "towers.json"
IMAGE, TEXT = "image", "text"
SENTENCES_AT_ONCE = 256


@dataclass(frozen=True)
class About:
    """What a folder of towers says of itself."""

    space: str
    """Names the space: vectors of one space can be compared, whoever made them."""
    towers: tuple[str, ...]


@dataclass(frozen=True)
class Deployed:
    """Opened towers."""

    space: str
    sessions: dict[str, onnxruntime.InferenceSession]

    def of_images(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit vectors (N, D) of raw images (N, 3, H, W).

        Raises:
            ModelError: there is no tower for images, or it answers with what is not finite.
        """
        return predict(self._session(IMAGE), images_NCHW)

    def of_texts(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (N, D) of sentences.

        Raises:
            ModelError: a sentence is empty, there is no tower for text, or it answers with what is not finite.
        """
        session, codes_NL = self._session(TEXT), codes_of(sentences)
        order = np.argsort(
            (codes_NL > 0).sum(1), kind="stable"
        )  # sentences of a length go together, which saves filling
        vectors_ND = np.concatenate([predict(session, trimmed(codes_NL[some])) for some in _split(order)])
        return vectors_ND[np.argsort(order)]

    def _session(self, tower: str) -> onnxruntime.InferenceSession:
        if tower not in self.sessions:
            msg = f"this model has no tower for {tower}; it has {', '.join(self.sessions)}"
            raise ModelError(msg)
        return self.sessions[tower]


def open_towers(folder: Path) -> Deployed:
    """Open every tower of a deployable.

    Raises:
        ModelError: a file is missing or damaged.
    """
    about = read_about(folder)
    return Deployed(about.space, {name: open_session(deployable(folder, name)) for name in about.towers})


def write_about(folder: Path, space: str, towers: Sequence[str]) -> None:
    """Say what the folder holds, once every tower is there."""
    (folder / ABOUT).write_text(json.dumps(asdict(About(space, tuple(towers)))), encoding="utf-8")


def read_about(folder: Path) -> About:
    """Read which towers a folder holds, and the space they share.

    Raises:
        ModelError: it holds none.
    """
    try:
        content = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return About(content["space"], tuple(content["towers"]))
    except (OSError, ValueError, KeyError) as error:
        msg = f"{folder} is no deployable of towers ({error}); run the stage export again"
        raise ModelError(msg) from error


def files_of(folder: Path) -> list[Path]:
    """List every file that a deployment needs."""
    return [folder / ABOUT, *(deployable(folder, name) for name in read_about(folder).towers)]


def answer_once(folder: Path, image_NCHW: NDArray[np.uint8], sentence: str) -> Callable[[], object]:
    """Open the towers anew; the call embeds one image and one sentence, the sentence's preparation included."""
    sessions = open_towers(folder).sessions

    def call() -> None:
        sessions[IMAGE].run(None, {sessions[IMAGE].get_inputs()[0].name: image_NCHW})
        sessions[TEXT].run(None, {sessions[TEXT].get_inputs()[0].name: codes_of([sentence])})

    return call


def trimmed(codes_NL: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut off the filling that no sentence of these needs."""
    return codes_NL[:, : int((codes_NL > 0).sum(1).max())]


def _split(order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [order[start : start + SENTENCES_AT_ONCE] for start in range(0, len(order), SENTENCES_AT_ONCE)]
