"""Method `distil`."""

from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.recipe.steps import Distil


def distil(context: StepContext, step: Distil) -> Compressed:
    """Train a new, smaller network on the teacher's outputs."""
    architecture = context.component.architecture(step.network)
    return context.learn(architecture.build_seeded(context.seed), step.distillation), architecture
