"""The dataset of prompts: its wordings, and the data contract that finds faults in them."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from stillhouse.models.data.text import CONTEXT
from stillhouse.tasks.data.checks.prompt_expectations import LONGEST, of_prompts, read_prompts
from stillhouse.tasks.data.format.dataset import SPLITS, write_table
from stillhouse.tasks.data.format.layout import PROMPT_SCHEMA
from stillhouse.tasks.data.sources.small import FASHION_LABELS
from stillhouse.tasks.data.sources.wordings.fashion import NOUNS, SENTENCES, fashion_prompts


def test_no_wording_is_in_two_splits() -> None:
    """The sentences of each split are its own, and every class is asked for in every split."""
    splits = Counter((prompt.text.casefold(), prompt.split) for prompt in fashion_prompts())
    texts = Counter(text for text, _ in splits)
    assert max(texts.values()) == 1
    assert {(prompt.split, prompt.label) for prompt in fashion_prompts()} == {
        (split, label) for split in SPLITS for label in range(len(FASHION_LABELS))
    }
    assert set(NOUNS) == set(FASHION_LABELS)
    assert set(SENTENCES) == set(SPLITS)


def test_an_encoder_reads_every_prompt_whole() -> None:
    """No prompt is longer than what an encoder reads."""
    assert max(len(prompt.text) for prompt in fashion_prompts()) <= LONGEST == CONTEXT - 2


def test_the_article_fits_the_noun() -> None:
    """A noun that begins with a vowel has the article "an"."""
    texts = {prompt.text for prompt in fashion_prompts()}
    assert "a picture of an ankle boot" in texts
    assert "a picture of a bag" in texts


ROWS = [{"text": f"{split} {label}", "label": label, "split": split} for split in SPLITS for label in (0, 1)]


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({}, set()),
        ({"text": "TRAIN 0 "}, {"other_splits"}),
        ({"text": None}, {"text"}),
        ({"text": "  "}, {"text"}),
        ({"text": "a\x07b"}, {"text"}),
        ({"text": "x" * (LONGEST + 1)}, {"characters"}),
        ({"label": 0}, {"missing"}),
        ({"label": 2}, {"label", "missing"}),
        ({"split": "nowhere"}, {"split", "missing"}),
    ],
)
def test_a_faulty_prompt_fails_the_contract(tmp_path: Path, change: dict[str, object], failing: set[str]) -> None:
    """Each kind of fault in the last row fails the expectation on its column."""
    import great_expectations as gx

    write_table(tmp_path / "prompts.parquet", [*ROWS[:-1], ROWS[-1] | change], PROMPT_SCHEMA)
    described = {"labels": ["a", "b"], "prompts": {"path": "prompts.parquet", "rows": len(ROWS)}}
    table = read_prompts(tmp_path, described)
    batch = gx.get_context(mode="ephemeral").data_sources.pandas_default.read_dataframe(table)
    results = [batch.validate(expectation) for expectation in of_prompts(described)]
    assert {each.expectation_config.kwargs["column"] for each in results if not each.success} == failing


def test_another_table_has_no_columns(tmp_path: Path) -> None:
    """A file that is not a table of prompts gives an empty table, so every expectation fails."""
    pd.DataFrame({"words": ["a"]}).to_parquet(tmp_path / "prompts.parquet")
    assert read_prompts(tmp_path, {"labels": [], "prompts": {"path": "prompts.parquet"}}).empty
