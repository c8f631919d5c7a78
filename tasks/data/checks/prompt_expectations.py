"""The expectations and the table of prompts: every class is asked for in every split, in words of this split only."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from stillhouse.models.data.text import CONTEXT
from stillhouse.models.data.texts import CONTROL
from stillhouse.tasks.data.checks.decoding import read_table, schema_text
from stillhouse.tasks.data.format.dataset import SPLITS
from stillhouse.tasks.data.format.layout import prompt_schema

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

LONGEST = CONTEXT - 2
"""Characters of a prompt. An encoder reads one space before and one behind."""


def read_prompts(folder: Path, described: Mapping[str, Any]) -> pd.DataFrame:
    """Read the table of prompts.

    Returns:
        text, label, split; style, if the data have styles; characters (their number); other_splits (the number of other
        splits that have this text, whatever its case); missing (the number of classes for which this row's split has no
        prompt). If the file is not a table of prompts, the table has no columns.
    """
    table, schema = read_table(folder / described["prompts"]["path"])
    if schema != schema_text(prompt_schema(described)):
        return pd.DataFrame()
    listed = table.to_pandas()
    folded = listed["text"].fillna("").str.casefold().str.strip()
    known = listed["label"].where(listed["label"].between(0, len(described["labels"]) - 1))
    return listed.assign(
        characters=folded.str.len(),
        other_splits=listed["split"].groupby(folded).transform("nunique") - 1,
        missing=len(described["labels"]) - known.groupby(listed["split"]).transform("nunique"),
    )


def of_prompts(described: Mapping[str, Any]) -> list["Expectation"]:
    """Return the expectations of the table of prompts."""
    from great_expectations import expectations as expect

    styles = described.get("styles")
    return [
        expect.ExpectTableRowCountToEqual(value=described["prompts"]["rows"]),
        *(expect.ExpectColumnValuesToNotBeNull(column=column) for column in prompt_schema(described).names),
        *([expect.ExpectColumnValuesToBeInSet(column="style", value_set=styles)] if styles else []),
        expect.ExpectColumnValuesToBeInSet(column="label", value_set=list(range(len(described["labels"])))),
        expect.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)),
        expect.ExpectColumnDistinctValuesToContainSet(column="split", value_set=list(SPLITS)),
        expect.ExpectColumnValuesToMatchRegex(column="text", regex=r"\S"),
        expect.ExpectColumnValuesToNotMatchRegex(column="text", regex=CONTROL.pattern),
        expect.ExpectColumnValuesToBeBetween(column="characters", max_value=LONGEST),
        expect.ExpectCompoundColumnsToBeUnique(column_list=["text", "split"]),
        expect.ExpectColumnValuesToBeInSet(column="other_splits", value_set=[0]),
        expect.ExpectColumnValuesToBeInSet(column="missing", value_set=[0]),
    ]
