"""Method `quantize`."""

from dataclasses import replace

from models.compression.fold import fold_batch_norm, fold_pixel_scale
from models.compression.quantize import integer_weights
from tasks.methods.bench import Bench, Compressed
from tasks.recipe_steps import Quantize


def quantize(bench: Bench, step: Quantize) -> Compressed:
    """Fold pixel scale and batch norms, store integer weights, and note how activations are to be calibrated."""
    module, architecture = bench.previous
    integers = integer_weights(fold_batch_norm(fold_pixel_scale(module)), 8)
    edits = (
        {"edit": "fold_pixel_scale"},
        {"edit": "fold_batch_norm"},
        {"edit": "integer_weights", "bits": 8},
    )
    how = {"activations": step.activations, "calibration": step.calibration, "keep_float": list(step.keep_float)}
    return integers, replace(architecture.edited(*edits), quantization=how)
