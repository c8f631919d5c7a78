"""Icons with prompts: each concept is judged in a weight in which training has not seen it."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from data_samples import built_dataset

from stillhouse.models.data.images import load_images
from stillhouse.models.workloads.text_to_image.prompts import load_prompts, picture_keys, style_names
from stillhouse.tasks.data.format.dataset import SPLITS, read_description
from stillhouse.tasks.data.sources.icons.read_icons import HANDS, STYLES, WEIGHTS
from stillhouse.tasks.data.sources.wordings.icons import FILLERS, LONGEST, SENTENCES, sentences_for
from stillhouse.tasks.rehearsal.expect import expect_apart, expect_contract


@pytest.fixture(scope="module")
def icons() -> Path:
    """Return the icons of forty concepts."""
    return built_dataset("icon_prompts_small")


def test_icons_keep_their_contract(icons: Path, tmp_path: Path) -> None:
    """The data pass every expectation, and no icon is in two splits."""
    expect_contract(icons, tmp_path)
    expect_apart(icons)


def test_a_concept_is_judged_in_a_weight_of_its_own(icons: Path) -> None:
    """Training, gate and test have every concept, and no concept in the same style twice."""
    seen: dict[str, set[int]] = {split: set(picture_keys(icons, split)) for split in SPLITS}
    described = read_description(icons)
    for split in ("train", "gate", "test"):
        assert {key // len(STYLES) for key in seen[split]} == set(range(len(described["labels"])))
    assert sum(map(len, seen.values())) == len(set.union(*seen.values()))
    assert {*style_names(np.array(sorted(seen["gate"])), described)} <= {*WEIGHTS}


def test_every_icon_has_prompts_of_its_own(icons: Path) -> None:
    """Each icon of a split is asked for by concept and style, in the sentences of the split."""
    for split in SPLITS:
        prompts, described = load_prompts(icons, split), read_description(icons)
        asked = defaultdict(list)
        for key, text in zip(prompts.keys_N.tolist(), prompts.texts, strict=True):
            asked[key].append(text)
        for key in picture_keys(icons, split).tolist():
            concept, style = described["labels"][key // len(STYLES)], STYLES[key % len(STYLES)]
            assert all(concept in text and style in text for text in asked[key])
            assert asked[key]


def test_icons_are_white_on_black(icons: Path) -> None:
    """Most of an icon is empty, and its strokes are white."""
    images = load_images(icons, "train").images_NCHW
    assert images.shape[1:] == (1, 32, 32)
    assert np.median(images) == 0
    assert (images.max((1, 2, 3)) > 100).all()


def test_styles_are_those_of_the_sets(icons: Path) -> None:
    """The ids begin with a style, and the prompts name styles of the description."""
    ids = pq.read_table(icons / "manifest.parquet")["id"].to_pylist()
    assert {name.partition("/")[0] for name in ids} <= {*WEIGHTS, *HANDS} == {*read_description(icons)["styles"]}


def test_sentences_go_on_where_the_last_icon_stopped() -> None:
    """The icons of training take turns in the sentences; a judged icon has all of its split's."""
    first, second = (list(sentences_for("train", "cat", "thin", number)) for number in (0, 1))
    assert not {*first} & {*second}
    assert len(list(sentences_for("gate", "cat", "thin", 5))) == len(SENTENCES["gate"])


def test_fillers_leave_the_noun_and_the_style() -> None:
    """Each training sentence still asks for both, within the limit, and is the same at each build."""
    for number in range(len(SENTENCES["train"])):
        texts = list(sentences_for("train", "paint brush", "thin", number))
        assert all("paint brush" in text and "thin" in text and len(text) <= LONGEST for text in texts)
        assert len({*texts}) == len(texts)
        assert texts == list(sentences_for("train", "paint brush", "thin", number))


def test_no_filler_is_in_a_sentence_of_another_split(icons: Path) -> None:
    """An encoder cannot have learned to pass over the words that it is judged with. No filler is part of a concept."""
    held_out = [each for split, own in SENTENCES.items() if split != "train" for each in own]
    judged = {word.strip(",:") for each in held_out for word in each.split()}
    concepts = {word for label in read_description(icons)["labels"] for word in label.split()}
    assert not {*FILLERS} & (judged | concepts)
