"""The component folders of a model in a stage's output."""

from pathlib import Path

from stillhouse.models.workloads.training_base import Training


def components_in(folder: Path, workload: Training) -> list[str]:
    """Name the components of a model, in the workload's order."""
    return [name for name in workload.components if (folder / name).is_dir()]
