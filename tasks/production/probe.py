"""Does a downloaded version answer? A probe is put to it in its own runtime before anything is pointed at it."""

from pathlib import Path

import numpy as np

from models.errors import ModelError
from models.inputs.waves import LENGTH
from models.runtime import open_session, predict
from models.towers import open_towers
from models.ways import IMAGE, SPEECH, TEXT, Inputs
from tasks.errors import ServiceError, StillhouseError
from tasks.production.versions import model_file
from tasks.student_file import TOWERS_FOLDER

SEED = 3
UNIT = 1e-3
"""How far the length of a unit vector may be from 1."""


def probe(folder: Path) -> None:
    """Let a version answer one input of noise.

    Raises:
        StillhouseError: it cannot be opened, or answers with what is not finite, or with vectors that are no units.
        ServiceError: this machine cannot read the files, which says nothing about the version.
    """
    try:
        if (folder / TOWERS_FOLDER).is_dir():
            _probe_towers(folder / TOWERS_FOLDER)
        else:
            _probe_file(model_file(folder))
    except (ModelError, FileNotFoundError, RuntimeError, ValueError) as error:
        msg = f"the version does not answer ({' '.join(str(error).split())[:200]}); choose another"
        raise StillhouseError(msg) from error
    except OSError as error:
        msg = f"the version cannot be read on this machine ({error}); free the disk or memory and do it again"
        raise ServiceError(msg) from error


def _probe_file(path: Path) -> None:
    session = open_session(path)
    sizes = [size if isinstance(size, int) else 1 for size in session.get_inputs()[0].shape]
    predict(session, _noise(sizes))


def _probe_towers(folder: Path) -> None:
    towers = open_towers(folder)
    for name, session in towers.sessions.items():
        if name == TEXT:
            vectors_ND = towers.of_texts(["a probe"])
        elif name == SPEECH:
            samples_NT = np.random.default_rng(SEED).normal(0, 1000, (1, LENGTH)).astype(np.int16)
            vectors_ND = towers.of(Inputs(SPEECH, samples_NT))
        else:
            vectors_ND = towers.of(Inputs(IMAGE, _noise([1, *session.get_inputs()[0].shape[1:]])))
        if abs(float(np.linalg.norm(vectors_ND)) - 1) > UNIT:
            msg = f"tower {name} answers with a vector that is no unit"
            raise ModelError(msg)


def _noise(sizes: list[int]) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, 256, sizes, dtype=np.uint8)
