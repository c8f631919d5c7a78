"""The recipe of one nightly compression: typed, frozen YAML. An unknown key is an error.

This module is light on purpose: DAG files read recipes while Airflow parses them, so it imports nothing heavy.
"""

from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from stillhouse.models.workloads.registry import ALONE, check_workload, misfit_of_components, misfit_of_kind
from stillhouse.tasks.errors import RecipeError
from stillhouse.tasks.recipe.faults import explain
from stillhouse.tasks.recipe.judging import Gate, Latency, Promotion
from stillhouse.tasks.recipe.schedule import check_schedule
from stillhouse.tasks.recipe.section import AsList, Data, Line, Name, Section
from stillhouse.tasks.recipe.steps import KeepStepIf, Quantize, Step, distillation_of
from stillhouse.tasks.recipe.strict_yaml import YamlError, read_yaml
from stillhouse.tasks.recipe.teacher import AnyTeacher, BlackBox

MOST_BYTES = 64 * 1024


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""The range that both numpy and torch accept."""


class Recipe(Section):
    """One nightly compression."""

    name: Name
    """Name of the recipe, of its file and of its registered model."""
    description: Line
    """One line for people. Airflow, MLflow and the report show it."""
    schedule: Annotated[str, AfterValidator(check_schedule)] | None
    """Cron expression in UTC; null: the recipe runs only when a person starts it."""
    late_after_hours: Annotated[float, Field(gt=0, le=168)] = 4.0
    """A message is sent if a run has not ended this many hours after it was queued. The run goes on."""
    owner: Annotated[str, Field(pattern=r"^[^,\n]{1,100}$")] = "ml-operations"
    """Owner of the recipe's DAGs in Airflow."""
    seed: Seed
    """Seed of all random numbers of a run."""
    seeds: Annotated[tuple[Seed, ...], AsList, Field(min_length=2, max_length=100)] | None = None
    """Seeds for `stillhouse seeds`, which judges the recipe over all of them. A nightly run trains `seed` only."""
    data: Data
    workload: Annotated[str, AfterValidator(check_workload)]
    """What the model is for: a workload of this project, or of an installed package."""
    teacher: AnyTeacher
    """The model that is compressed."""
    steps: Annotated[tuple[Step, ...], AsList, Field(min_length=1, max_length=50)]
    """The compression steps in their order. A method may occur more than once."""
    keep_step_if: KeepStepIf = KeepStepIf()
    latency: Latency = Latency()
    gate: Gate
    promotion: Promotion = Promotion()

    @model_validator(mode="after")
    def _black_box_is_only_asked(self) -> Self:
        first, *others = self.steps
        if not isinstance(self.teacher, BlackBox) or first.method == "distil":
            return self
        if not isinstance(first, Quantize) or first.distillation or first.weights != "int8" or _has_exceptions(first):
            msg = f"{first.method} cannot change a teacher known only as an ONNX file; begin with distil, or with a"
            msg = f"{msg} quantize of int8 without distillation, keep_float and float_inputs"
            raise ValueError(msg)
        if others:
            msg = f"{others[0].method} cannot follow the quantize of an ONNX file; make quantize the only step"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _components_are_named(self) -> Self:
        components = tuple(self.teacher.networks) or (ALONE,)
        if wrong := misfit_of_components(self.workload, components):
            msg = f"{wrong}; mend teacher.{'network' if components == (ALONE,) else 'components'}"
            raise ValueError(msg)
        for number, step in enumerate(self.steps, start=1):
            if step.component not in {*components, *([None] if components == (ALONE,) or _is_joint(step) else [])}:
                named = f"the component {step.component}" if step.component else "no component"
                msg = f"step {number}, {step.method}, names {named}; this teacher has {' and '.join(components)}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _distillation_fits_its_component(self) -> Self:
        for number, step in enumerate(self.steps, start=1):
            distillation = distillation_of(step)
            kind = str(getattr(distillation, "kind", ""))
            if distillation and (wrong := misfit_of_kind(self.workload, step.component or ALONE, kind)):
                msg = f"step {number}, {step.method}: {wrong}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _repeats_fit_together(self) -> Self:
        if self.latency.max_repeats < self.latency.repeats:
            msg = "latency.max_repeats is below latency.repeats; raise max_repeats"
            raise ValueError(msg)
        return self


def _is_joint(step: Step) -> bool:
    """Tell whether a step changes all components together."""
    return isinstance(step, Quantize) and step.weights == "mixed" and not (step.distillation or _has_exceptions(step))


def _has_exceptions(step: Quantize) -> bool:
    """Tell whether a step names layers that it treats otherwise than all others."""
    return bool(step.keep_float or step.float_inputs)


def load_recipe(path: Path) -> Recipe:
    """Read and check one recipe file.

    Raises:
        RecipeError: the file is missing, is not text, is not YAML, or does not fit. The message names every wrong key.
    """
    return parse_recipe(read_recipe(path), str(path))


def read_recipe(path: Path) -> str:
    """Return the text of one recipe file.

    Raises:
        RecipeError: there is no such file, it is too large, or it is not UTF-8.
    """
    try:
        kind, size = path.stat().st_mode, path.stat().st_size
        if not S_ISREG(kind) or size > MOST_BYTES:
            what = f"has {size:,} bytes where {MOST_BYTES:,} are read" if S_ISREG(kind) else "is no file"
            msg = f"recipe {path} {what}; name a file of dags/recipes/ that holds one recipe"
            raise RecipeError(msg)
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        msg = f"recipe {path} cannot be read ({error.strerror}); name a file of dags/recipes/"
        raise RecipeError(msg) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        msg = f"recipe {path} is not UTF-8 (byte 0x{error.object[error.start]:02x} in line {line}); save it as UTF-8"
        raise RecipeError(msg) from error


def parse_recipe(text: str, name_of_file: str) -> Recipe:
    """Check the text of a recipe.

    Args:
        text: text of the whole file.
        name_of_file: path or name of the file. Its stem must be the recipe's name.

    Raises:
        RecipeError: the text is not YAML or does not fit. The message names every wrong key.
    """
    try:
        recipe = Recipe.model_validate(read_yaml(text))
    except YamlError as error:
        msg = f"recipe {name_of_file} {error}"
        raise RecipeError(msg) from error
    except ValidationError as error:
        msg = f"recipe {name_of_file} does not fit: {explain(error)}; mend or remove these keys"
        raise RecipeError(msg) from error
    if recipe.name != Path(name_of_file).stem:
        msg = f"recipe {name_of_file} calls itself {recipe.name!r}; give the file and the recipe one name"
        raise RecipeError(msg)
    return recipe
