"""scikit-learn's diabetes study as a dataset: 442 patients, ten measurements each, and their disease a year later."""

import hashlib
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import load_diabetes

from stillhouse.tasks.data.format.dataset import Measured, write_dataset

NAME, MEASUREMENTS = "diabetes", 10
DATASETS = Path(sklearn.__file__).parent / "datasets"
SOURCE = DATASETS / "data" / "diabetes_data_raw.csv.gz"
COUNTS = {"test": 60, "gate": 120, "validation": 42, "calibration": 60, "train": 160}


def write_diabetes(folder: Path) -> None:
    """Write the dataset into a new folder; each patient is in one split."""
    patients_NM, progression_N = load_diabetes(return_X_y=True)
    order = iter(np.random.default_rng(7).permutation(len(patients_NM)))
    rows = {split: [int(next(order)) for _ in range(count)] for split, count in COUNTS.items()}
    splits = {
        split: [Measured(f"{i:03d}", patients_NM[i].astype(np.float32).tobytes(), float(progression_N[i])) for i in of]
        for split, of in rows.items()
    }
    about = {
        "name": NAME,
        "licence": "BSD-3-Clause",
        "sources": [{"name": SOURCE.name, "sha256": hashlib.sha256(SOURCE.read_bytes()).hexdigest()}],
        "array_shape": [MEASUREMENTS],
        "dtype": "float32",
        "value_range": [-1, 1],
        "target_range": [0, 400],
    }
    folder.mkdir(parents=True)
    licence = (DATASETS / "descr" / "diabetes.rst").read_bytes()
    write_dataset(folder, about, licence, splits, {})
