"""The sources of the small datasets: installed packages and Debian's archive, each file pinned by its SHA-256.

`tasks.data.store.build_data` assigns the examples to splits.
"""

import gzip
import hashlib
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.tasks.data.format.dataset import Caption
from stillhouse.tasks.data.sources.debian import download
from stillhouse.tasks.errors import DataError

PACKAGE = "dataset-fashion-mnist"
FASHION_FOLDER = "usr/share/datasets/fashion-mnist"
FASHION_LICENCE = f"usr/share/doc/{PACKAGE}/copyright"
FASHION_FILES = {
    f"{FASHION_FOLDER}/train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    f"{FASHION_FOLDER}/train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    f"{FASHION_FOLDER}/t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    f"{FASHION_FOLDER}/t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
    FASHION_LICENCE: "193c9c47fa3dc7e614dcd5f4ea5315d69c0a542b698b64dc34ac5bc4b09d5c3a",
}
FASHION_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DIGITS_CSV = "digits.csv.gz"
DIGITS_LICENCE = "COPYING"
DIGITS_FILES = {
    DIGITS_CSV: "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
    DIGITS_LICENCE: "8752dfe82d4a768e76ee309b202e7b33906d1ea9004d68cc61564391cc6b1a96",
}

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Split:
    """Examples in the order of the source: images_NCHW of uint8, labels_N of int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """One dataset as its publisher shipped it."""

    licence: str
    licence_text: bytes
    digests: Mapping[str, str]
    value_range: tuple[int, int]
    labels: tuple[str, ...]
    splits: Mapping[str, Split]
    captions: Sequence[Caption] = ()
    languages: tuple[str, ...] = ()


def read_digits(progress: Progress) -> Source:
    """Read the 1,797 digits of 8 x 8 pixels from scikit-learn.

    Raises:
        DataError: the installed scikit-learn has other bytes.
    """
    progress("digits: reading scikit-learn's own copy")
    content = _check({name: _inside_scikit_learn(name) for name in DIGITS_FILES}, DIGITS_FILES, "scikit-learn")
    lines = gzip.decompress(content[DIGITS_CSV]).decode().splitlines()
    rows = np.array([line.split(",") for line in lines]).astype(np.float64).astype(np.int64)
    images, labels = rows[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), rows[:, -1]
    return Source(
        licence="BSD-3-Clause",
        licence_text=content[DIGITS_LICENCE],
        digests=DIGITS_FILES,
        value_range=(0, 16),
        labels=tuple(str(digit) for digit in range(10)),
        splits={"all": Split(images, labels)},
    )


def read_fashion_mnist(progress: Progress) -> Source:
    """Read Fashion-MNIST from the installed Debian package, or else from a downloaded one.

    Raises:
        DataError: the package is not available, or one of its files has the wrong bytes.
    """
    with tempfile.TemporaryDirectory(prefix="stillhouse-fashion-mnist-") as scratch:
        folder = Path("/")
        if not all((folder / name).is_file() for name in FASHION_FILES):
            progress(f"fashion_mnist: downloading Debian's {PACKAGE} (31 MB)")
            folder = download(PACKAGE, Path(scratch))
        content = _check({name: folder / name for name in FASHION_FILES}, FASHION_FILES, PACKAGE)
    return Source(
        licence="MIT",
        licence_text=content[FASHION_LICENCE],
        digests={Path(name).name: digest for name, digest in FASHION_FILES.items()},
        value_range=(0, 255),
        labels=FASHION_LABELS,
        splits={"train": _idx_split(content, "train"), "test": _idx_split(content, "t10k")},
    )


def _inside_scikit_learn(name: str) -> Path:
    for file in files("scikit-learn") or ():
        if file.name == name:
            return Path(str(file.locate()))
    msg = f"scikit-learn is installed without its {name}; run `make install` again"
    raise DataError(msg)


def _check(paths: Mapping[str, Path], digests: Mapping[str, str], source: str) -> dict[str, bytes]:
    content: dict[str, bytes] = {}
    for name, path in paths.items():
        try:
            content[name] = path.read_bytes()
        except OSError as error:
            msg = f"source {source}: {name} cannot be read ({error.strerror}); install {source} again"
            raise DataError(msg) from error
        if hashlib.sha256(content[name]).hexdigest() != digests[name]:
            msg = (
                f"source {source}: {name} is not the pinned file (its SHA-256 differs); install the version of "
                f"{source} that this checkout was made with, or pin the new one in tasks/data/sources/small.py"
            )
            raise DataError(msg)
    return content


def _idx_split(content: Mapping[str, bytes], prefix: str) -> Split:
    images = _idx(content[f"{FASHION_FOLDER}/{prefix}-images-idx3-ubyte.gz"])
    labels = _idx(content[f"{FASHION_FOLDER}/{prefix}-labels-idx1-ubyte.gz"])
    return Split(images[:, np.newaxis], labels.astype(np.int64))


def _idx(compressed: bytes) -> NDArray[np.uint8]:
    """Decode an IDX file: two zero bytes, a type, a rank, one big-endian uint32 per axis, then the values."""
    content = gzip.decompress(compressed)
    rank = content[3]
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
