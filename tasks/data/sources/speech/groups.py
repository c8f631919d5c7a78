"""Group what shares a sentence, and give each split its share of the groups."""

from collections.abc import Mapping, Sequence

from stillhouse.tasks.data.sources.order import rank
from stillhouse.tasks.data.sources.speech.row import TRAIN


def group_by_sentence(sentences: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Join names that share a sentence, also through others; returns name -> the first name of its group.

    Args:
        sentences: name -> its sentences, in any language.
    """
    group = {name: name for name in sentences}
    first: dict[str, str] = {}
    for name in sorted(sentences):
        for sentence in sentences[name]:
            one, other = sorted((_root(group, name), _root(group, first.setdefault(sentence, name))))
            group[other] = one
    return {name: _root(group, name) for name in sentences}


def deal_groups(group: Mapping[str, str], shares: Sequence[tuple[str, float]]) -> dict[str, str]:
    """Give each split its share of the names, group by group in the order of ranks. The rest is for training.

    Args:
        group: name -> its group.
        shares: (split, share), in the order in which the splits are filled.

    Returns:
        Name -> split.
    """
    members: dict[str, list[str]] = {}
    for name, own in group.items():
        members.setdefault(own, []).append(name)
    waiting = iter(sorted(members, key=rank))
    splits = dict.fromkeys(group, TRAIN)
    dealt, due = 0, 0.0
    for split, share in shares:
        due += share * len(group)
        while dealt < due:
            names = members[next(waiting)]
            splits |= dict.fromkeys(names, split)
            dealt += len(names)
    return splits


def _root(group: Mapping[str, str], name: str) -> str:
    while group[name] != name:
        name = group[name]
    return name
