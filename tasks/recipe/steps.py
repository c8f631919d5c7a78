"""The recipe sections of the compression steps: one section per method.

This module is light on purpose, like `tasks.recipe.recipe`, which combines the sections. `tasks.compression.methods`
has the code of each method.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from stillhouse.tasks.recipe.distillation import AnyDistillation, Distillation
from stillhouse.tasks.recipe.section import AsList, Count, Fraction, Line, Name, Positive, Section, Share
from stillhouse.tasks.recipe.teacher import Network


def _in_one_process(finetune: Distillation) -> Distillation:
    if finetune.training.processes > 1:
        msg = "only a teacher and the step distil train in several processes; set processes to 1 here"
        raise ValueError(msg)
    if finetune.training.nodes > 1:
        msg = "only a teacher and the step distil train on several hosts; set nodes to 1 here"
        raise ValueError(msg)
    return finetune


Finetuning = Annotated[AnyDistillation, AfterValidator(_in_one_process)]
"""Training after a change of the model."""


class ComponentStep(Section):
    """A step that changes one component of the model."""

    component: Name | None = None
    """None: the model's only component."""


class Distil(ComponentStep):
    """A smaller network learns from the teacher."""

    method: Literal["distil"]
    network: Network
    """The smaller network."""
    distillation: AnyDistillation
    """What the student learns of the teacher."""


class PruneUnstructured(ComponentStep):
    """Set the least important weights to zero, fine-tune if the recipe asks for it, then make the masks permanent."""

    method: Literal["prune_unstructured"]
    sparsity: Share | None = None
    """Share of the weights that become zero."""
    pattern: Annotated[str, Field(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")] | None = None
    """N:M, such as 2:4: of every M consecutive weights in a row, N stay."""
    scope: Literal["global", "layer"] = "global"
    """global: the weights of all layers compete. layer: each layer loses the same share."""
    measure: Literal["magnitude", "movement"] = "magnitude"
    """magnitude: absolute values. movement: how far training moves a weight away from zero."""
    finetune: Finetuning | None = None
    """Training after the weights have become zero. None: there is no training."""

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.sparsity is None) == (self.pattern is None):
            msg = "give sparsity or pattern, one of the two"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _pattern_drops_some(self) -> Self:
        if self.pattern and int.__ge__(*map(int, self.pattern.split(":"))):
            msg = f"pattern {self.pattern} keeps every weight; make its first number smaller than its second"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _movement_is_seen_in_training(self) -> Self:
        if self.measure == "movement" and self.finetune is None:
            msg = "movement is measured while training: give finetune, or use magnitude"
            raise ValueError(msg)
        return self


class PruneStructured(ComponentStep):
    """Remove whole channels, and all channels coupled to them, until one target is met."""

    method: Literal["prune_structured"]
    macs: Share | None = None
    """Multiply-accumulate operations left, as a share of the model before this step."""
    bytes: Annotated[int, Field(ge=1, le=2**40)] | None = None
    """Maximum size of the exported integer file."""
    milliseconds: Positive | None = None
    """Maximum measured time of the exported integer file: batch 1, one pinned thread."""
    importance: Literal["magnitude", "taylor", "lamp"] = "magnitude"
    """Measure by which the least important channels are found."""
    round_to: Count = 8
    """The numbers of channels stay multiples of this number."""
    rounds: Count = 1
    """Number of rounds.

    Each round removes a part of the channels and then trains its share of the epochs of `finetune`.
    """
    finetune: Finetuning
    """Training after each round."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(target is not None for target in (self.macs, self.bytes, self.milliseconds)) != 1:
            msg = "give macs, bytes or milliseconds, one of the three"
            raise ValueError(msg)
        return self


class DropLayers(ComponentStep):
    """Remove the whole layers that matter least, then fine-tune."""

    method: Literal["drop_layers"]
    layers: Count
    """Number of layers that are removed."""
    finetune: Finetuning
    """Training after the layers are removed."""


class LowRank(ComponentStep):
    """Replace linear layers and convolutions by products of thinner ones, then fine-tune."""

    method: Literal["low_rank"]
    energy: Share
    """Share of each weight's squared singular values that is kept."""
    layers: Annotated[tuple[Line, ...], AsList] = ()
    """Layers to choose from, as `named_modules` spells them; empty: all.

    A low-bit linear layer is fast without this.
    """
    finetune: Finetuning
    """Training after the layers are replaced."""


class Fold(ComponentStep):
    """Fold batch norms and the pixel scale into the neighbouring layers. `quantize` does this by itself."""

    method: Literal["fold"]


class Quantize(Section):
    """Quantize weights to integers, `round(W / scale) * scale` per output channel, and optionally activations."""

    component: Name | None = None
    """`None` quantizes all components jointly (only with `weights: mixed`)."""
    method: Literal["quantize"]
    weights: Literal["int8", "int6", "int5", "int4", "int3", "ternary", "mixed"] = "int8"
    """With fewer than 8 bits, the first and last layer keep 8.

    mixed: bits per layer follow the measured quality drop.
    """
    tables: Literal["int8", "int6", "int5", "int4", "int3", "ternary"] | None = None
    """Integers of lookup tables, such as one row for each token. None: those of `weights`."""
    activations: Literal["static", "dynamic", "float"] = "static"
    """static: calibrated integers (text: dynamic). dynamic: scaled at every call. float: only weights are integers."""
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    """Method of ONNX Runtime that finds the ranges of the activations on the calibration split."""
    keep_float: Annotated[tuple[Line, ...], AsList] = ()
    """Layers left in fp32, as `named_modules` spells them."""
    float_inputs: Annotated[tuple[Line, ...], AsList] = ()
    """Layers whose weights become integers and whose inputs stay fp32."""
    max_quality_drop: Fraction = 0.005
    """Maximum quality drop that `mixed` may cause before training, on the split `validation`."""
    distillation: Finetuning | None = None
    """Quantization-aware training. None quantizes a finished model without training."""

    @model_validator(mode="after")
    def _inputs_are_integers_elsewhere(self) -> Self:
        if self.float_inputs and self.activations == "float":
            msg = "float_inputs names exceptions, and with activations: float all inputs are floats; leave one out"
            raise ValueError(msg)
        if both := sorted({*self.float_inputs} & {*self.keep_float}):
            msg = f"{', '.join(both)} is in float_inputs and in keep_float, which is float as a whole; name it once"
            raise ValueError(msg)
        return self


class Pack(ComponentStep):
    """Ship the file entropy-coded. It is unpacked when it is loaded."""

    method: Literal["pack"]


Step = Annotated[
    Distil | PruneUnstructured | PruneStructured | DropLayers | LowRank | Fold | Quantize | Pack,
    Field(discriminator="method"),
]


class KeepStepIf(Section):
    """The saving that a step must reach to stay in the chain. Any other step is dropped, and the reason is recorded."""

    max_quality_drop: Fraction = 0.03
    """Maximum quality drop of one step, on the split `validation`."""
    min_saving: Fraction = 0.01
    """Minimum share of the zstd bytes or of the time that a step must save, beyond its cost in the other of the two."""


def distillation_of(step: Section) -> Distillation | None:
    """Return the distillation section that a step trains with, if it trains."""
    found = getattr(step, "distillation", None) or getattr(step, "finetune", None)
    return found if isinstance(found, Distillation) else None
