"""Query sets of a split: the queries, the galleries they search, and the ranks of the correct answers.

Training and evaluation use the same query sets, so quality on `validation` and on `gate` is the same metric on
different data. A split of drawings has every drawing in every language, in both directions. A split of recordings has
its (label, language) pairs in three directions: recording to picture, caption to picture, recording to caption.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.captions import Captions, load_captions
from stillhouse.models.data.description import describe
from stillhouse.models.data.images import load_gallery, load_images
from stillhouse.models.data.sound.audio import load_recordings
from stillhouse.models.data.sound.waves import waves_of
from stillhouse.models.data.text import clean, codes_of, trim_padding
from stillhouse.models.workloads.retrieval.search.ranks import Vectors, ranks

IMAGE, TEXT, SPEECH = "image", "text", "speech"
ENCODERS = (IMAGE, TEXT, SPEECH)
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """Raw inputs of one encoder."""

    encoder: str
    raw: NDArray[Any]
    """Pixels (N, 3, H, W), code points (N, L) or samples (N, T)."""


@dataclass(frozen=True)
class QuerySet:
    """Queries of one kind in one language over one gallery."""

    query: str
    """Name of the inputs that are the queries."""
    gallery: str
    """Name of the inputs that are searched."""
    encoders: tuple[str, str]
    language: str
    rows_Q: Labels
    """Rows of the query inputs that are used."""
    target_ids_Q: Labels
    gallery_ids_G: Labels
    """ID of each gallery item. An item is a correct answer if its ID equals the query's ID in `target_ids_Q`."""
    examples_Q: Labels
    """Example of the split to which each query belongs."""

    @property
    def direction(self) -> str:
        """Name of the direction, such as `text_to_image`."""
        return "_to_".join(self.encoders)

    def similarity(self, queries: Mapping[str, Vectors], galleries: Mapping[str, Vectors]) -> NDArray[np.floating]:
        """Compute the similarity (Q, G) of queries and gallery. Both arguments map names of inputs to vectors."""
        similarity_QG: NDArray[np.floating] = queries[self.query][self.rows_Q] @ galleries[self.gallery].T
        return similarity_QG

    def ranks(self, queries: Mapping[str, Vectors], galleries: Mapping[str, Vectors]) -> Labels:
        """Return the rank (Q,) of the first correct answer, from 0."""
        return ranks(self.similarity(queries, galleries), self.target_ids_Q[:, None] == self.gallery_ids_G)

    def chances(self, cut: int) -> NDArray[np.float64]:
        """Return the probability (Q,) that one of `cut` random answers is correct."""
        target_ids_Q = (self.target_ids_Q[:, None] == self.gallery_ids_G).sum(1)
        drawn = np.arange(cut)
        wrong_QC = np.maximum(len(self.gallery_ids_G) - target_ids_Q[:, None] - drawn, 0)
        chance_Q: NDArray[np.float64] = 1 - (wrong_QC / (len(self.gallery_ids_G) - drawn)).prod(1)
        return chance_Q


@dataclass(frozen=True)
class EvalSplit:
    """All query sets of one split."""

    inputs: dict[str, Inputs]
    query_sets: list[QuerySet]
    count: int
    """Number of examples: drawings, or pairs of a label and a language."""
    cut: int
    """Quality is recall at this cut: 1 for drawings, 10 for the harder task of recordings."""
    labels_G: Labels
    """Label of each picture."""
    groups_N: Labels
    """Group of each example. Examples of a group share a label or its words, so they are not independent."""
    name: str
    """Name of the split."""

    @property
    def languages(self) -> list[str]:
        """All languages of the queries, sorted."""
        return sorted({way.language for way in self.query_sets})

    def first(self, encoder: str) -> Inputs:
        """Return the first inputs of an encoder."""
        return next(inputs for inputs in self.inputs.values() if inputs.encoder == encoder)

    def first_keys(self) -> list[str]:
        """Return the names of the first inputs of every encoder."""
        encoders = [inputs.encoder for inputs in self.inputs.values()]
        return [key for place, key in enumerate(self.inputs) if encoders.index(encoders[place]) == place]

    def one_of_each(self) -> dict[str, NDArray[Any]]:
        """Return one raw input of every encoder, as a batch of one. A sentence has no padding."""
        one = {self.inputs[key].encoder: self.inputs[key].raw[:1] for key in self.first_keys()}
        return one | {TEXT: trim_padding(one[TEXT])}

    def some_queries(self, count: int) -> list[tuple[QuerySet, int]]:
        """Choose evenly spaced queries for pictures: recordings if there are any, otherwise (English) sentences."""
        asked = SPEECH if SPEECH in self.inputs else TEXT
        query_sets = [way for way in self.query_sets if way.encoders == (asked, IMAGE)]
        if asked == TEXT:
            query_sets = [way for way in query_sets if way.language == "en"] or query_sets[:1]
        queries = [(way, query) for way in query_sets for query in range(len(way.rows_Q))]
        return [queries[place] for place in np.linspace(0, len(queries) - 1, count).astype(int)]

    def vectors(self, embed: Callable[[Inputs], Vectors]) -> dict[str, Vectors]:
        """Embed all inputs."""
        return {name: embed(inputs) for name, inputs in self.inputs.items()}

    def per_example_recall(
        self, queries: Mapping[str, Vectors], galleries: Mapping[str, Vectors]
    ) -> NDArray[np.float64]:
        """Return the quality (N,) of each example: the share of its queries with a correct answer within the cut."""
        return self.shares(self.query_sets, [way.ranks(queries, galleries) < self.cut for way in self.query_sets])

    def shares(self, query_sets: Sequence[QuerySet], found: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
        """Return the share (N,) of each example's answered queries, over some query sets; NaN if it has none there."""
        asked_N, found_N = np.zeros(self.count), np.zeros(self.count)
        for way, found_Q in zip(query_sets, found, strict=True):
            np.add.at(asked_N, way.examples_Q, 1)
            np.add.at(found_N, way.examples_Q, found_Q)
        share_N: NDArray[np.float64] = np.divide(found_N, asked_N, out=np.full(self.count, np.nan), where=asked_N > 0)
        return share_N


def load_eval_split(folder: Path, split: str) -> EvalSplit:
    """Read the query sets of a split of a materialised dataset."""
    return _load_spoken(folder, split) if "gallery" in describe(folder) else _load_drawn(folder, split)


def _load_drawn(folder: Path, split: str) -> EvalSplit:
    images, captions = load_images(folder, split), load_captions(folder)
    inputs, query_sets = {IMAGE: Inputs(IMAGE, images.images_NCHW)}, []
    own_N = np.arange(len(images))
    for language, names in _by_language(captions).items():
        key = f"{TEXT}:{language}"
        inputs[key] = Inputs(TEXT, codes_of([names[label] for label in images.labels_N.tolist()]))
        query_sets += [
            QuerySet(*way, encoders, language, own_N, own_N, own_N, own_N)
            for way, encoders in (((key, IMAGE), (TEXT, IMAGE)), ((IMAGE, key), (IMAGE, TEXT)))
        ]
    return EvalSplit(inputs, query_sets, len(images), 1, images.labels_N, images.labels_N, split)


def _load_spoken(folder: Path, split: str) -> EvalSplit:
    """Build query sets for the pairs that have a recording.

    A picture or caption with the same name as the correct one is also correct.
    """
    pictures, recordings, captions = load_gallery(folder), load_recordings(folder, split), load_captions(folder)
    inputs = {IMAGE: Inputs(IMAGE, pictures.images_NCHW), SPEECH: Inputs(SPEECH, waves_of(recordings.audio))}
    query_sets, spoken, groups_K = [], np.array(recordings.languages), np.arange(len(pictures))
    for language, names in _by_language(captions).items():
        rows_Q = np.flatnonzero(spoken == language)
        if not len(rows_Q):
            continue
        key, labels_G = f"{TEXT}:{language}", np.array(sorted(names))
        inputs[key] = Inputs(TEXT, codes_of([names[label] for label in labels_G.tolist()]))
        same = _same_words(names, len(pictures))
        groups_K = merge_groups(groups_K, same)
        target_ids_Q, written_Q = (
            same[recordings.labels_N[rows_Q]],
            np.searchsorted(labels_G, recordings.labels_N[rows_Q]),
        )
        query_sets += [
            QuerySet(SPEECH, IMAGE, (SPEECH, IMAGE), language, rows_Q, target_ids_Q, same[pictures.labels_N], rows_Q),
            QuerySet(key, IMAGE, (TEXT, IMAGE), language, written_Q, target_ids_Q, same[pictures.labels_N], rows_Q),
            QuerySet(SPEECH, key, (SPEECH, TEXT), language, rows_Q, target_ids_Q, same[labels_G], rows_Q),
        ]
    return EvalSplit(inputs, query_sets, len(recordings), 10, pictures.labels_N, groups_K[recordings.labels_N], split)


def _same_words(names: Mapping[int, str], count: int) -> Labels:
    """Map each label (count,) to the first label with the same name, in one language."""
    first: dict[str, int] = {}
    same_K = np.arange(count)
    for label in sorted(names):
        same_K[label] = first.setdefault(clean(names[label]), label)
    return same_K


def merge_groups(groups_K: Labels, same_K: Labels) -> Labels:
    """Join the groups (K,) of labels with the same name. `same_K` is the first label with that name."""
    for label, first in enumerate(same_K.tolist()):
        if groups_K[label] != groups_K[first]:
            groups_K = np.where(groups_K == groups_K[label], groups_K[first], groups_K)
    return groups_K


def _by_language(captions: Captions) -> dict[str, dict[int, str]]:
    """Language -> label -> name, languages sorted."""
    found: dict[str, dict[int, str]] = {language: {} for language in sorted(set(captions.languages))}
    for label, language, name in zip(captions.labels_N.tolist(), captions.languages, captions.names, strict=True):
        found[language][label] = name
    return found
