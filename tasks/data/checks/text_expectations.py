"""Additional expectations for texts and for the texts of lines: each can be read, and is not too long."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stillhouse.tasks.data.format.layout import is_line, is_text

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

UNLABELLED = -1
"""The label of a text without one."""


def known_labels(described: Mapping[str, Any]) -> list[int]:
    """List the numbers that the column `label` may have."""
    labels = list(range(len(described.get("labels", ()))))
    unlabelled = is_line(described) or (is_text(described) and not described["texts"]["labelled"])
    return [UNLABELLED] if unlabelled else labels


def of_line_texts(described: Mapping[str, Any]) -> list["Expectation"]:
    """Build the expectations of the texts of lines, beside those of their pictures."""
    from great_expectations import expectations as expect

    longest = described["lines"]["longest"]
    return [
        expect.ExpectColumnValuesToNotBeNull(column="characters"),
        expect.ExpectColumnValuesToBeBetween(column="characters", min_value=1, max_value=longest),
        expect.ExpectColumnValuesToBeInSet(column="unknown_characters", value_set=[0]),
    ]


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
