"""Additional expectations for a dataset of texts: each can be read, is normalised, and is not too long."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stillhouse.tasks.data.format.layout import is_text

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

UNLABELLED = -1
"""The label of a text without one."""


def known_labels(described: Mapping[str, Any]) -> list[int]:
    """List the numbers that the column `label` may have."""
    labels = list(range(len(described.get("labels", ()))))
    return [UNLABELLED] if is_text(described) and not described["texts"]["labelled"] else labels


def of_texts(described: Mapping[str, Any]) -> list["Expectation"]:
    """Build the expectations of stored texts."""
    from great_expectations import expectations as expect

    return [
        *(
            expect.ExpectColumnPairValuesToBeEqual(column_A=column, column_B=f"manifest_{column}")
            for column in ("id", "label", "sha256")
        ),
        # If a text is not valid UTF-8, its length is missing.
        expect.ExpectColumnValuesToNotBeNull(column="characters"),
        expect.ExpectColumnValuesToBeBetween(column="characters", min_value=1, max_value=described["texts"]["longest"]),
        expect.ExpectColumnValuesToBeInSet(column="control_characters", value_set=[0]),
        expect.ExpectColumnValuesToBeInSet(column="normalised", value_set=[1]),
    ]
