"""Choose how long the clips of an import are, from the headers of some recordings."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from math import ceil

import numpy as np

from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.clips import seconds_of
from stillhouse.models.errors import ModelError
from stillhouse.tasks.data.importing.contents import read_file
from stillhouse.tasks.data.importing.sources.source import File, Row, Source
from stillhouse.tasks.errors import DataError

LOOKED_AT = 1_000
"""Recordings whose lengths are read at most, evenly spread over the source."""
SHARE = 95
"""Percentile of the lengths that the clips have."""
STEP = 0.5
"""The length is rounded up to a multiple of so many seconds."""
SHORTEST_CLIP, LONGEST_CLIP = 0.5, 10.0
"""Shortest and longest clip in seconds that is chosen here. A user may tell others."""


def choose_seconds(source: Source) -> float:
    """Return the length of the clips in seconds: 19 of 20 recordings are no longer."""
    total = source.total if source.total is not None else sum(1 for _ in source.rows())
    lengths = [*_lengths(islice(source.rows(), 0, None, max(1, total // LOOKED_AT)))]
    if not lengths:
        return SHORTEST_CLIP
    steps = ceil(round(float(np.percentile(lengths, SHARE)) / STEP, 3))
    return min(LONGEST_CLIP, max(SHORTEST_CLIP, steps * STEP))


def say_length(source: Source, seconds: float, *, told: bool) -> Source:
    """Return the source with a sentence on the length of its clips."""
    why = "" if told else " (19 of 20 are no longer; tell another length by --seconds)"
    cut = f"each is mixed to one channel of {SAMPLE_RATE:,} Hz and cut or filled with silence to {seconds:g} s{why}"
    return replace(source, read_as=f"{source.read_as}; {cut}")


def _lengths(rows: Iterator[Row]) -> Iterator[float]:
    """Yield the seconds of each recording that can be read."""
    for row in rows:
        try:
            if isinstance(row.content, bytes | File):
                yield seconds_of(read_file(row.content, "recording"))
        except (DataError, ModelError, OSError):
            continue  # the import lists it with its reason
