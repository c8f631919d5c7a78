"""A small language model of characters: how likely a letter is after the letters before it.

It counts the letters after each context of training texts, and mixes the shorter contexts in (Witten and Bell 1991).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache

END = "\n"
"""The end of a text, as a letter."""
ORDER = 6
"""Letters of the longest context, plus one."""


class LanguageModel:
    """Probabilities of the next letter."""

    def __init__(self, texts: Iterable[str], order: int = ORDER) -> None:
        """Count the letters of texts after every context of less than `order` letters."""
        self.order = order
        self._after: dict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            line = END + text + END
            for place in range(1, len(line)):
                for length in range(min(order, place + 1)):
                    self._after[line[place - length : place]][line[place]] += 1
        self._even = 1 / (len(self._after[""]) + 1)  # all letters that no text has count as one
        self._chance = lru_cache(maxsize=None)(self._mixed)

    def log_chance(self, letter: str, before: str) -> float:
        """Return the logarithm of the probability of a letter after a text."""
        return math.log(self._chance(letter, (END + before)[1 - self.order :]))

    def _mixed(self, letter: str, context: str) -> float:
        shorter = self._chance(letter, context[1:]) if context else self._even
        found = self._after.get(context)
        if not found:
            return shorter
        kinds, total = len(found), found.total()
        return (found[letter] + kinds * shorter) / (total + kinds)
