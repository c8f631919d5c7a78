"""What one nightly compression is: typed, frozen YAML in which an unknown key is an error.

Light on purpose: DAG files read recipes while they are parsed, so nothing heavy is imported here.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.errors import RecipeError

DATA_REVISION = r"^[A-Za-z0-9][A-Za-z0-9._/@^~-]{0,99}$"
"""A git revision: it cannot start with a dash, so it is never read as an option."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of a recipe: unknown keys are refused and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Which versioned data the run uses."""

    dataset: str
    revision: Annotated[str, Field(pattern=DATA_REVISION)] | None = None
    """Any git revision whose `data.dvc` is used; the deployed one when absent."""


class Network(Section):
    """An architecture: a name of `models.networks.NETWORKS` and its arguments."""

    name: str
    arguments: dict[str, Any] = {}


class Training(Section):
    """One pass through the only training loop."""

    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: bool = False
    """Mirror every image in every other epoch."""
    resolutions: tuple[Count, ...] | None = None
    """Side of the training images in each epoch, so that early epochs cost less; None keeps their own."""
    precision: Literal["fp32", "bf16"] = "fp32"
    warmup: Fraction = 0.2
    """Share of all steps spent raising the learning rate before it falls to zero."""

    @model_validator(mode="after")
    def _one_resolution_per_epoch(self) -> Self:
        if self.resolutions is not None and len(self.resolutions) != self.epochs:
            msg = f"resolutions lists {len(self.resolutions)} epochs, epochs says {self.epochs}; make them agree"
            raise ValueError(msg)
        return self


class Teacher(Section):
    """The model to be compressed."""

    network: Network
    training: Training


class Distil(Section):
    """A smaller network learns the teacher's output distribution.

    The loss is `hard_weight * L_student + (1 - hard_weight) * L_distillation`.
    """

    method: Literal["distil"]
    network: Network
    training: Training
    temperature: Positive = 4.0
    hard_weight: Fraction = 0.3
    views: Count = 1
    """Views of every training image on which the teacher is asked, once each; the first is the image itself."""


class Recovery(Section):
    """Distilled training after surgery, with the same loss as `distil`."""

    training: Training
    temperature: Positive = 4.0
    hard_weight: Fraction = 0.3
    views: Count = 1


class PruneUnstructured(Section):
    """Zero the smallest weights over all layers by L1 norm, then make the masks permanent."""

    method: Literal["prune_unstructured"]
    sparsity: Annotated[float, Field(gt=0, lt=1)]


class PruneStructured(Section):
    """Remove whole channels until the multiply-accumulates fall below a share of the original."""

    method: Literal["prune_structured"]
    macs: Annotated[float, Field(gt=0, lt=1)]
    """Multiply-accumulates left, as a share of the model before this step."""
    importance: Literal["magnitude", "taylor"] = "magnitude"
    round_to: Count = 8
    recovery: Recovery


class Quantize(Section):
    """Integer weights, `round(W / scale) * scale` per output channel, and calibrated activations."""

    method: Literal["quantize"]
    bits: Literal[8] = 8
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"


Step = Annotated[Distil | PruneUnstructured | PruneStructured | Quantize, Field(discriminator="method")]


class Latency(Section):
    """How long the two exported files are timed against each other."""

    repeats: Annotated[int, Field(ge=3)] = 9
    max_repeats: Count = 27
    rounds: Annotated[int, Field(ge=10)] = 40
    pause_seconds: Annotated[float, Field(ge=0)] = 1.0


class Gate(Section):
    """The least a student must reach, each as student against teacher."""

    quality: Fraction
    """Student quality / teacher quality."""
    bytes: Positive
    """Teacher bytes / student bytes."""
    latency: Positive
    """Teacher time / student time, batch 1, one pinned thread."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95


class Recipe(Section):
    """One nightly compression."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
    description: str
    schedule: str | None
    owner: str = "ml-operations"
    seed: Annotated[int, Field(ge=0)]
    data: Data
    workload: Literal["image_classification"]
    teacher: Teacher
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    latency: Latency = Latency()
    gate: Gate

    @model_validator(mode="after")
    def _views_augment_students(self) -> Self:
        lessons = [step if step.method == "distil" else getattr(step, "recovery", None) for step in self.steps]
        if any(lesson and (lesson.training.augment or lesson.training.resolutions) for lesson in lessons):
            msg = "a student sees the views its teacher answered: set views, not augment or resolutions, to train it"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _steps_fit_together(self) -> Self:
        methods = [step.method for step in self.steps]
        if "quantize" in methods[:-1]:
            msg = "a step follows quantize, whose integer weights cannot be trained; move quantize to the end"
            raise ValueError(msg)
        if self.latency.max_repeats < self.latency.repeats:
            msg = "latency.max_repeats is below latency.repeats; raise max_repeats"
            raise ValueError(msg)
        return self


def load_recipe(path: Path) -> Recipe:
    """Read and check one recipe file.

    Raises:
        RecipeError: the file is missing, is not YAML, or does not fit; names every key at fault.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        recipe = Recipe.model_validate(content)
    except OSError as error:
        msg = f"recipe {path} cannot be read ({error.strerror}); name a file of dags/recipes/"
        raise RecipeError(msg) from error
    except yaml.YAMLError as error:
        msg = f"recipe {path} is not YAML ({_one_line(error)}); mend that line"
        raise RecipeError(msg) from error
    except ValidationError as error:
        raise RecipeError(_explain(path, error)) from error
    if recipe.name != path.stem:
        msg = f"recipe {path} calls itself {recipe.name!r}; give the file and the recipe one name"
        raise RecipeError(msg)
    return recipe


def _explain(path: Path, error: ValidationError) -> str:
    faults = [f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors()]
    return f"recipe {path} does not fit: {'; '.join(faults)}; mend or remove these keys"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
