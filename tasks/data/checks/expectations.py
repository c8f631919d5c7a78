"""The Great Expectations suites for every dataset, over the tables of data_tables.py."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stillhouse.models.data.texts import CONTROL
from stillhouse.tasks.data.checks.decoding import schema_text
from stillhouse.tasks.data.checks.prompt_expectations import of_prompts
from stillhouse.tasks.data.checks.spoken_expectations import of_spoken_captions, spoken_suites
from stillhouse.tasks.data.checks.text_expectations import known_labels, of_line_texts, of_texts
from stillhouse.tasks.data.checks.utterance_expectations import utterance_suites
from stillhouse.tasks.data.format.dataset import SPLITS
from stillhouse.tasks.data.format.layout import (
    content_bytes,
    is_array,
    is_line,
    is_spoken,
    is_text,
    is_transcribed,
    layout_of,
)

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

LABELLED_SPLITS = ("train", "gate", "test")
"""Splits of images that must contain every label: the training split and the two splits that judge a model."""


def suites_of(described: Mapping[str, Any]) -> dict[str, list["Expectation"]]:
    """Build the expectations of each table from a dataset's description; returns table name -> expectations."""
    suites = {
        "shards": _of_shards(described),
        "manifest": _of_manifest(described),
        **_content_suites(described),
        "splits": _of_splits(described),
    }
    suites |= {"captions": _of_captions(described)} if "captions" in described else {}
    return suites | ({"prompts": of_prompts(described)} if "prompts" in described else {})


def _content_suites(described: Mapping[str, Any]) -> dict[str, list["Expectation"]]:
    if is_transcribed(described):
        return utterance_suites(described)
    if is_spoken(described):
        return spoken_suites(described)
    return {"content": of_texts(described) if is_text(described) else _of_content(described)}


def _of_shards(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    return [
        expect.ExpectColumnValuesToBeInSet(column="schema", value_set=[schema_text(layout_of(described).shard)]),
        expect.ExpectColumnPairValuesToBeEqual(column_A="rows", column_B="expected_rows"),
        expect.ExpectColumnValuesToBeUnique(column="path"),
    ]


def _of_manifest(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    columns = layout_of(described).manifest.names
    labels = known_labels(described)
    labelled = [column for column in columns if column == "label"]
    count = sum(split["count"] for split in described["splits"].values())
    return [
        expect.ExpectTableColumnsToMatchOrderedList(column_list=columns),
        expect.ExpectTableRowCountToEqual(value=count),
        *(expect.ExpectColumnValuesToNotBeNull(column=column) for column in columns),
        *(expect.ExpectColumnValuesToBeOfType(column=column, type_="int64") for column in ("row", *labelled)),
        expect.ExpectColumnValuesToBeUnique(column="id"),
        # If an image is in two splits, or twice in one split, its digest appears twice.
        expect.ExpectColumnValuesToBeUnique(column="sha256"),
        expect.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$"),
        expect.ExpectCompoundColumnsToBeUnique(column_list=["shard", "row"]),
        expect.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)),
        *(expect.ExpectColumnValuesToBeInSet(column=column, value_set=labels) for column in labelled),
    ]


def _of_content(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    low, high = described["value_range"]
    array = is_array(described)
    size = f"{layout_of(described).shard.names[1]}_bytes"
    return [
        *(
            expect.ExpectColumnPairValuesToBeEqual(column_A=column, column_B=f"manifest_{column}")
            for column in ("id", *([] if array else ["label"]), "sha256")
        ),
        *(_of_target(described) if array else []),
        *(of_line_texts(described) if is_line(described) else []),
        expect.ExpectColumnValuesToNotBeNull(column=size),
        expect.ExpectColumnValuesToBeInSet(column=size, value_set=[content_bytes(described)]),
        expect.ExpectColumnValuesToBeInSet(column="nan_values", value_set=[0]),
        expect.ExpectColumnValuesToBeBetween(column="minimum", min_value=low, max_value=high),
        expect.ExpectColumnValuesToBeBetween(column="maximum", min_value=low, max_value=high),
        # An image with a single pixel value, or a silent clip, is a decoding fault, not an example.
        expect.ExpectColumnPairValuesAToBeGreaterThanB(column_A="maximum", column_B="minimum"),
    ]


def _of_target(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    low, high = described["target_range"]
    return [
        expect.ExpectColumnValuesToNotBeNull(column="target"),
        expect.ExpectColumnValuesToBeBetween(column="target", min_value=low, max_value=high),
    ]


def _of_splits(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect
    from great_expectations.expectations.row_conditions import Column

    return [
        expect.ExpectTableRowCountToEqual(value=len(SPLITS)),
        expect.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)),
        expect.ExpectColumnPairValuesToBeEqual(column_A="rows", column_B="expected_rows"),
        expect.ExpectColumnPairValuesToBeEqual(column_A="digest", column_B="expected_digest"),
        *([expect.ExpectColumnValuesToBeBetween(column="rows", min_value=1)] if _may_miss_labels(described) else []),
        *(
            expect.ExpectColumnValuesToBeInSet(
                column="missing_labels", value_set=[0], row_condition=Column("split").is_in(labelled)
            )
            for labelled in _labelled_splits(described)
        ),
    ]


def _may_miss_labels(described: Mapping[str, Any]) -> bool:
    return is_text(described) or is_transcribed(described)


def _labelled_splits(described: Mapping[str, Any]) -> list[list[str]]:
    """Return the splits that must have every label, in a list; an empty list if no split must."""
    if is_transcribed(described):  # the labels are groups, and each has one split
        return []
    # With spoken captions, the splits hold out sentences, not labels, so only the training split has all labels.
    return [["train"] if is_spoken(described) else list(LABELLED_SPLITS)]


def _of_captions(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    spoken = is_spoken(described)
    columns = ["label", "language", "name", "tags", "bad_tags", *(["split", "other_splits"] if spoken else [])]
    return [
        expect.ExpectTableColumnsToMatchOrderedList(column_list=columns),
        expect.ExpectTableRowCountToEqual(value=described["captions"]["rows"]),
        # If a label has no caption in some language, its row has no name.
        *(expect.ExpectColumnValuesToNotBeNull(column=column) for column in ("label", "language", "name")),
        expect.ExpectColumnValuesToBeBetween(column="label", min_value=0, max_value=len(described["labels"]) - 1),
        expect.ExpectColumnValuesToBeInSet(column="language", value_set=described["languages"]),
        expect.ExpectCompoundColumnsToBeUnique(column_list=["label", "language"]),
        expect.ExpectColumnValuesToMatchRegex(column="name", regex=r"\S"),
        expect.ExpectColumnValuesToNotMatchRegex(column="name", regex=CONTROL.pattern),
        expect.ExpectColumnValuesToBeBetween(column="tags", min_value=1),
        expect.ExpectColumnValuesToBeInSet(column="bad_tags", value_set=[0]),
        *(of_spoken_captions() if spoken else []),
    ]
