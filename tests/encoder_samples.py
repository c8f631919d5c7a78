"""Tiny encoders that several tests train or export."""

from stillhouse.models.data.sound.waves import LENGTH
from stillhouse.models.training.checkpoint import Architecture

ARGUMENTS = {
    "dimension": 16,
    "bands": 16,
    "hop": 320,
    "stem": [16],
    "widths": [16],
    "kernel": 3,
    "reader": [8, 16, 24],
    "hidden": 24,
    "letters": 5,
}
SPEECH_RESIDUAL = Architecture("speech_residual_encoder", ARGUMENTS, 1.0, (LENGTH,))
"""A tiny teacher's speech encoder."""
SPEECH_PLAIN = Architecture("speech_plain_encoder", ARGUMENTS, 1.0, (LENGTH,))
"""A tiny student's, with the same frames and letters."""
