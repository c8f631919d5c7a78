"""Method `pack`."""

from dataclasses import replace

from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.recipe.steps import Pack


def pack(context: StepContext, _step: Pack) -> Compressed:
    """Record that the exported file ships entropy-coded."""
    module, architecture = context.stored
    return module, replace(architecture, packing="xz")
