"""The expectations of a dataset of utterances: each can be heard, says its text, and is in one split only."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stillhouse.tasks.data.checks.utterance_facts import LONGEST, MOST_CLIPPED, MOST_LETTERS, SHORTEST
from stillhouse.tasks.data.format.layout import UNSEEN_VOICE

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation


def utterance_suites(described: Mapping[str, Any]) -> dict[str, list["Expectation"]]:
    """Return table name -> expectations, for the tables that only a dataset of utterances has."""
    unseen = {UNSEEN_VOICE: _of_unseen(described)} if UNSEEN_VOICE in described else {}
    return {"utterances": [*_of_manifest_values(), *_of_utterances(described)], **unseen}


def _of_manifest_values() -> list["Expectation"]:
    from great_expectations import expectations as expect

    return [
        expect.ExpectColumnPairValuesToBeEqual(column_A=column, column_B=f"manifest_{column}")
        for column in ("id", "label", "language", "sha256")
    ]


def _of_utterances(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    from stillhouse.models.data.sound.first_sound import SILENCE

    return [
        *(expect.ExpectColumnValuesToNotBeNull(column=column) for column in ("id", "label", "language", "voice")),
        expect.ExpectColumnValuesToBeInSet(column="label", value_set=list(range(len(described["labels"])))),
        expect.ExpectColumnValuesToBeInSet(column="language", value_set=described["languages"]),
        expect.ExpectColumnValuesToBeInSet(column="voice", value_set=described["voices"]),
        # If a recording cannot be decoded whole, its length is missing.
        expect.ExpectColumnValuesToNotBeNull(column="seconds"),
        expect.ExpectColumnValuesToBeBetween(column="seconds", min_value=SHORTEST, max_value=LONGEST),
        expect.ExpectColumnValuesToBeBetween(column="peak", min_value=SILENCE, strict_min=True),
        expect.ExpectColumnValuesToBeBetween(column="clipped", max_value=MOST_CLIPPED),
        expect.ExpectColumnValuesToBeInSet(column="sample_rate", value_set=described["sample_rates"]),
        expect.ExpectColumnValuesToBeBetween(column="letters", min_value=1),
        expect.ExpectColumnValuesToBeInSet(column="normalised", value_set=[1]),
        expect.ExpectColumnValuesToBeInSet(column="unknown_letters", value_set=[0]),
        expect.ExpectColumnValuesToBeBetween(column="letters_per_second", max_value=MOST_LETTERS),
        *(expect.ExpectColumnValuesToBeInSet(column=f"{of}_splits", value_set=[0]) for of in ("text", "group")),
    ]


def _of_unseen(described: Mapping[str, Any]) -> list["Expectation"]:
    from great_expectations import expectations as expect

    return [
        expect.ExpectTableRowCountToEqual(value=described[UNSEEN_VOICE]["rows"]),
        *_of_utterances(described),
        *(expect.ExpectColumnValuesToBeUnique(column=column) for column in ("id", "sha256")),
        # The voice and its recordings are in no split.
        *(expect.ExpectColumnValuesToBeInSet(column=f"{of}_rows", value_set=[0]) for of in ("voice", "sha256")),
    ]
