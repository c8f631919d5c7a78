"""Method `distil`."""

from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.recipe.steps import Distil


def distil(bench: StepContext, step: Distil) -> Compressed:
    """Train a new, smaller network on the teacher's outputs."""
    architecture = bench.component.architecture(step.network)
    return bench.learn(architecture.build_seeded(bench.seed), step.distillation), architecture
