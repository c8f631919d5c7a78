"""Read how a folder of transformers prepares recordings, as arguments of our own preparations.

The library's own feature extractor is asked too: both must prepare the same samples alike. So an extractor with a step
that is not known here is found, whatever its name.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.library.sound import FULL_SCALE
from stillhouse.models.networks.library.transformers_audio import PREPARATIONS

EXTRACTOR = "preprocessor_config.json"
TOLERANCE = 1e-3
"""Largest difference from the library's extractor, whose numbers are mostly between -3 and 3."""
TRIED = 3
SEED = 5
LOUD, SOFT = 6_000, 40
"""Standard deviations of the samples that are tried."""


def read_preparation(folder: Path, spectrograms: bool, samples: int) -> dict[str, Any]:  # noqa: FBT001 - the model says it
    """Return `kind` and arguments of one of PREPARATIONS for a folder's feature extractor.

    Args:
        folder: the model's folder.
        spectrograms: the model takes logarithms of energies, not samples.
        samples: length of a clip.

    Raises:
        ModelError: the folder has no extractor, or it does more than is done here.
    """
    extractor = _open_extractor(folder)
    if extractor.sampling_rate != SAMPLE_RATE:
        msg = (
            f"{folder / EXTRACTOR} expects {extractor.sampling_rate:,} Hz, and recordings have {SAMPLE_RATE:,} Hz "
            f"here; train the model on {SAMPLE_RATE:,} Hz"
        )
        raise ModelError(msg)
    try:
        found = _filter_bank(extractor) if spectrograms else _waveform(extractor)
        difference = _largest_difference(extractor, found, samples)
    except Exception as error:  # an extractor may hold any value, and the library raises anything
        raise _unknown(folder, f"it fails: {' '.join(str(error).split())[:200]}") from error
    if not difference <= TOLERANCE:
        raise _unknown(folder, f"its numbers differ by {difference:.2g}")
    return found


def _open_extractor(folder: Path) -> Any:  # noqa: ANN401 - a class of the library
    from transformers import AutoFeatureExtractor

    if not (folder / EXTRACTOR).is_file():
        msg = (
            f"{folder} has no {EXTRACTOR}, so it does not say how recordings are prepared; save it there with the "
            "save_pretrained of the feature extractor that the model was trained with"
        )
        raise ModelError(msg)
    try:
        return AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # the library raises nothing narrower
        msg = f"{folder / EXTRACTOR} cannot be read ({' '.join(str(error).split())[:200]}); save the extractor again"
        raise ModelError(msg) from error


def _unknown(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"{folder / EXTRACTOR} prepares recordings in a way that is not known here ({why}); give the model an "
        "extractor that only scales, normalises or takes Kaldi's filter bank"
    )


def _waveform(extractor: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of the library
    return {"kind": "waveform", "normalised": bool(extractor.do_normalize)}


def _filter_bank(extractor: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of the library
    normalised = bool(extractor.do_normalize)
    return {
        "kind": "filter_bank",
        "bands": int(extractor.num_mel_bins),
        "frames": int(extractor.max_length),
        "mean": float(extractor.mean) if normalised else 0.0,
        "deviation": 2 * float(extractor.std) if normalised else 1.0,
        "rate": SAMPLE_RATE,
    }


def _largest_difference(extractor: Any, found: dict[str, Any], samples: int) -> float:  # noqa: ANN401 - a class of the library
    """Prepare a few clips in both ways. Returns the largest difference."""
    clips_NT = _clips(samples)
    arguments = {name: value for name, value in found.items() if name != "kind"}
    ours = PREPARATIONS[found["kind"]](**arguments)(torch.from_numpy(clips_NT).float()).numpy()
    scaled = [clip_T.astype(np.float32) / FULL_SCALE for clip_T in clips_NT]
    theirs = extractor(scaled, sampling_rate=SAMPLE_RATE, return_tensors="np")["input_values"]
    return float(np.abs(np.asarray(theirs) - ours).max())


def _clips(samples: int) -> NDArray[np.int16]:
    """Make noise, loud and soft, and a clip whose second half is silent."""
    generator = np.random.default_rng(SEED)
    clips_NT = generator.normal(0, LOUD, (TRIED, samples)).clip(-32_768, 32_767).astype(np.int16)
    clips_NT[1] = generator.normal(0, SOFT, samples).astype(np.int16)
    clips_NT[2, samples // 2 :] = 0
    return clips_NT
