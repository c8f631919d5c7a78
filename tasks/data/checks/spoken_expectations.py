"""Additional expectations for a dataset with recordings.

They check that each recording, picture and caption can be decoded, and that each sentence is in one split only.
"""

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from stillhouse.tasks.data.format.dataset import SPLITS

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

SHORTEST, LONGEST = 0.2, 10.0
"""Minimum and maximum length of a recording in seconds."""


def spoken_suites(described: Mapping[str, Any]) -> dict[str, list["Expectation"]]:
    """Return table name -> expectations, for the tables that only a dataset with recordings has."""
    return {
        "recordings": _of_recordings(described),
        "gallery": _of_gallery(described),
        "labels": _of_labels(described),
    }


def of_spoken_captions() -> list["Expectation"]:
    """Build the additional caption expectations: each caption has a split, and each sentence is in one split only."""
    from great_expectations import expectations as expect

    return [
        expect.ExpectColumnValuesToNotBeNull(column="split"),
        expect.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)),
        expect.ExpectColumnValuesToBeInSet(column="other_splits", value_set=[0]),
    ]


def _of_recordings(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    from stillhouse.models.data.sound.first_sound import SILENCE

    return [
        *(
            expect.ExpectColumnPairValuesToBeEqual(column_A=column, column_B=f"manifest_{column}")
            for column in ("id", "label", "language", "sha256")
        ),
        expect.ExpectColumnValuesToBeInSet(column="language", value_set=described["languages"]),
        # If a recording cannot be decoded, its length is missing.
        expect.ExpectColumnValuesToNotBeNull(column="seconds"),
        expect.ExpectColumnValuesToBeBetween(column="seconds", min_value=SHORTEST, max_value=LONGEST),
        expect.ExpectColumnValuesToBeBetween(column="peak", min_value=SILENCE, strict_min=True),
        expect.ExpectColumnValuesToBeInSet(column="sample_rate", value_set=described["sample_rates"]),
        expect.ExpectColumnPairValuesToBeEqual(column_A="split", column_B="caption_split"),
    ]


def _of_gallery(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    size = prod(described["image_shape"]) * np.dtype(described["dtype"]).itemsize
    return [
        expect.ExpectTableRowCountToEqual(value=described["gallery"]["rows"]),
        expect.ExpectColumnValuesToBeInSet(column="label", value_set=list(range(len(described["labels"])))),
        expect.ExpectColumnValuesToNotBeNull(column="image_bytes"),
        expect.ExpectColumnValuesToBeInSet(column="image_bytes", value_set=[size]),
        # A picture with a single pixel value shows nothing. Two labels with the same picture cannot be told apart.
        expect.ExpectColumnPairValuesAToBeGreaterThanB(column_A="maximum", column_B="minimum"),
        expect.ExpectColumnValuesToBeUnique(column="sha256"),
    ]


def _of_labels(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    owned = ("captions", "training_captions", "recordings", "training_recordings")
    return [
        expect.ExpectTableRowCountToEqual(value=len(described["labels"])),
        expect.ExpectColumnValuesToBeInSet(column="pictures", value_set=[1]),
        *(expect.ExpectColumnValuesToBeBetween(column=column, min_value=1) for column in owned),
    ]
