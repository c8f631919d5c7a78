"""Assign (label, language) pairs to splits, so that no training pair has an evaluation sentence, in any language.

The caption and the recording of a pair follow the pair's split.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from stillhouse.tasks.data.sources.order import rank

Pair = tuple[int, str]
"""A label and a language."""


def deal(
    sentences: Mapping[Pair, str], recorded: Collection[Pair], shares: Sequence[tuple[str, float]]
) -> dict[Pair, str]:
    """Give each split its share of the pairs. All other pairs go to the training split.

    Sentences are assigned one by one in the order of their ranks. Pairs with the same sentence, ignoring case, stay
    together. If a sentence would leave one of its labels without a recorded training pair, it goes to the training
    split.

    Args:
        sentences: pair -> its sentence.
        recorded: the pairs that have a recording.
        shares: (split, share), in the order in which the splits are filled.
    """
    groups = group_sentences(sentences)
    waiting = iter(sorted(groups, key=rank))
    left = Counter(label for label, _ in recorded)
    splits = dict.fromkeys(sentences, "train")
    for split, share in shares:
        dealt = 0
        while dealt < share * len(sentences):
            pairs = groups[next(waiting)]
            spoken = Counter(label for label, language in pairs if (label, language) in recorded)
            if all(left[label] > count for label, count in spoken.items()):
                left -= spoken
                splits |= dict.fromkeys(pairs, split)
                dealt += len(pairs)
    return splits


def group_sentences(sentences: Mapping[Pair, str]) -> dict[str, list[Pair]]:
    """Return case-folded sentence -> the pairs that have it."""
    groups: dict[str, list[Pair]] = {}
    for pair, sentence in sentences.items():
        groups.setdefault(sentence.casefold(), []).append(pair)
    return groups
