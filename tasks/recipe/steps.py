"""The sections of a recipe that say how a model is changed: networks, trainings, and one section per method.

Light on purpose, like `tasks.recipe.recipe`, which puts them together. What a method does with its section is in
`tasks.compression.methods`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stillhouse.tasks.recipe.distillation import AnyDistillation, Distillation
from stillhouse.tasks.recipe.section import AsList, Count, Fraction, Line, Name, Positive, Section, Share
from stillhouse.tasks.recipe.teacher import Network


class Distil(Section):
    """A smaller network learns from the teacher."""

    component: Name | None = None
    """Which component of the model the step changes; None: its only one."""
    method: Literal["distil"]
    network: Network
    distillation: AnyDistillation


class PruneUnstructured(Section):
    """Zero the least important weights, train what is left if asked, then make the masks permanent."""

    component: Name | None = None
    method: Literal["prune_unstructured"]
    sparsity: Share | None = None
    pattern: Annotated[str, Field(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")] | None = None
    """N:M, such as 2:4: of every M weights in a row, N stay."""
    scope: Literal["global", "layer"] = "global"
    measure: Literal["magnitude", "movement"] = "magnitude"
    finetune: AnyDistillation | None = None

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


class PruneStructured(Section):
    """Remove whole channels, with all that is coupled to them, until one target is met."""

    component: Name | None = None
    method: Literal["prune_structured"]
    macs: Share | None = None
    """Multiply-accumulates left, as a share of the model before this step."""
    bytes: Annotated[int, Field(ge=1, le=2**40)] | None = None
    """Most bytes of the exported integer file."""
    milliseconds: Positive | None = None
    """Longest time of the exported integer file, measured: batch 1, one pinned thread."""
    importance: Literal["magnitude", "taylor", "lamp"] = "magnitude"
    round_to: Count = 8
    rounds: Count = 1
    """In how many parts the channels go, each followed by its share of the epochs of `finetune`."""
    finetune: AnyDistillation

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(target is not None for target in (self.macs, self.bytes, self.milliseconds)) != 1:
            msg = "give macs, bytes or milliseconds, one of the three"
            raise ValueError(msg)
        return self


class DropLayers(Section):
    """Take out the whole layers that matter least, and recover."""

    component: Name | None = None
    method: Literal["drop_layers"]
    layers: Count
    finetune: AnyDistillation


class LowRank(Section):
    """Replace linear layers and convolutions by products of thinner ones, and recover."""

    component: Name | None = None
    method: Literal["low_rank"]
    energy: Share
    """Share of each weight's squared singular values that is kept."""
    layers: Annotated[tuple[Line, ...], AsList] = ()
    """Layers to choose from, as `named_modules` spells them; none: all. A linear layer of few bits is fast whole."""
    finetune: AnyDistillation


class Fold(Section):
    """Fold batch norms and the pixel scale into the layers beside them; `quantize` does so by itself."""

    component: Name | None = None
    method: Literal["fold"]


class Quantize(Section):
    """Integer weights, `round(W / scale) * scale` per output channel, and what activations become."""

    component: Name | None = None
    """`None` quantizes all components jointly (only with `weights: mixed`)."""
    method: Literal["quantize"]
    weights: Literal["int8", "int4", "int3", "ternary", "mixed"] = "int8"
    """Fewer bits leave the first and the last layer at 8; mixed gives every layer what its measured damage allows."""
    activations: Literal["static", "dynamic", "float"] = "static"
    """static: calibrated integers (text: dynamic); dynamic: scaled at every call; float: only weights are integers."""
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    keep_float: Annotated[tuple[Line, ...], AsList] = ()
    """Layers left in fp32, as `named_modules` spells them."""
    max_quality_drop: Fraction = 0.005
    """Quality on the split `search` that `mixed` may spend before training."""
    distillation: AnyDistillation | None = None
    """Quantization-aware training; None rounds a finished model."""


class Pack(Section):
    """Ship the file entropy-coded; it is unpacked when it is loaded."""

    component: Name | None = None
    method: Literal["pack"]


Step = Annotated[
    Distil | PruneUnstructured | PruneStructured | DropLayers | LowRank | Fold | Quantize | Pack,
    Field(discriminator="method"),
]


class KeepStepIf(Section):
    """What every step must save to stay in the chain; a step that does not is dropped, with the reason."""

    max_quality_drop: Fraction = 0.03
    """Quality on the split `search` that one step may cost."""
    min_saving: Fraction = 0.01
    """Share of the zstd bytes or of the time that one step must save, beyond what it costs in the other."""


def distillation_of(step: Section) -> Distillation | None:
    """Give what a step trains with, if it trains."""
    found = getattr(step, "distillation", None) or getattr(step, "finetune", None)
    return found if isinstance(found, Distillation) else None
