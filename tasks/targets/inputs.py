"""Real raw inputs of each component of a bundle: of the gate split to judge with, of calibration to round with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.base import portable_of, runtime_of
from stillhouse.tasks.data.format.dataset import read_description

Raws = Sequence[NDArray[Any]]
"""Batches of one."""
GATE, CALIBRATION = "gate", "calibration"
MOST = 500
"""Number of inputs. Each one is asked alone, as a server does."""


def raw_inputs(bundle: Bundle, data: Path, split: str = GATE) -> Mapping[str, Raws]:
    """Read inputs of each component of a bundle.

    Args:
        bundle: the model.
        data: folder of a dataset for it.
        split: name of the split.

    Raises:
        ModelError: the workload offers no raw inputs, or the model does not take the dataset.
    """
    portable = portable_of(bundle.workload)
    try:
        raws = portable.raw_inputs(bundle, runtime_of(bundle.workload).load_split(data, split), MOST)
        for name, own in raws.items():
            predict(open_session(bundle.file(name)), own[0])
    except ModelError:
        raise
    except Exception as error:  # the runtime's exceptions have no common base but this
        named, reason = read_description(data)["name"], " ".join(str(error).split())[:200]
        msg = f"the model does not take the dataset {named} ({reason}); name the dataset of the model"
        raise ModelError(msg) from error
    return raws
