"""How a student learns from its teacher, for tests that train one."""

from typing import Any

from stillhouse.tasks.recipe.distillation import LogitDistillation
from stillhouse.tasks.recipe.teacher import Training

TRAINING = Training(epochs=1, batch_size=8, learning_rate=0.1)


def logit_distillation(training: Training = TRAINING, **changes: Any) -> LogitDistillation:
    """Give a distillation of one short epoch, with some of its settings changed."""
    return LogitDistillation(training=training, **changes)
