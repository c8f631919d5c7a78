"""Roles for (label, language) pairs: what is judged is a sentence that no training pair says, in any language.

It deals pairs, whatever they stand for; the caption and the recording of a pair follow it.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from stillhouse.tasks.data.sources.order import rank

Pair = tuple[int, str]
"""A label and a language."""


def deal(
    sentences: Mapping[Pair, str], recorded: Collection[Pair], shares: Sequence[tuple[str, float]]
) -> dict[Pair, str]:
    """Give each role its share of the pairs, sentence by sentence in the order of their ranks; the rest trains.

    Pairs that say the same, but for case, stay together. A sentence whose role would leave one of its labels without
    a recorded training pair trains, too.

    Args:
        sentences: what each pair says.
        recorded: the pairs that have a recording.
        shares: role and share, the first role first.
    """
    groups = grouped(sentences)
    waiting = iter(sorted(groups, key=rank))
    left = Counter(label for label, _ in recorded)
    roles = dict.fromkeys(sentences, "train")
    for role, share in shares:
        dealt = 0
        while dealt < share * len(sentences):
            pairs = groups[next(waiting)]
            spoken = Counter(label for label, language in pairs if (label, language) in recorded)
            if all(left[label] > count for label, count in spoken.items()):
                left -= spoken
                roles |= dict.fromkeys(pairs, role)
                dealt += len(pairs)
    return roles


def grouped(sentences: Mapping[Pair, str]) -> dict[str, list[Pair]]:
    """Sentence without its case -> the pairs that say it."""
    groups: dict[str, list[Pair]] = {}
    for pair, sentence in sentences.items():
        groups.setdefault(sentence.casefold(), []).append(pair)
    return groups
