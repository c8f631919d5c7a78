"""A tiny tower that several tests train or export."""

from models.checkpoint import Architecture
from models.inputs.waves import LENGTH

SPEECH_SPELLING = Architecture(
    "speech_spelling_tower",
    {
        "dimension": 16,
        "bands": 16,
        "hop": 320,
        "stem": [16],
        "widths": [16],
        "kernel": 3,
        "reader": [8, 16, 24],
        "hidden": 24,
        "letters": 5,
    },
    1.0,
    (LENGTH,),
)
"""A tiny speech tower that spells."""
