"""The sections of a recipe that say how a model is changed: networks, trainings, and one section per method.

Light on purpose, like `tasks.recipe`, which puts them together. What a method does with its section is in
`tasks.methods`.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from tasks.recipe_section import AsList, Count, Fraction, Line, Positive, Section, Share, Weight
from tasks.recipe_teacher import BlackBox, Network, Tower, Training


class Features(Section):
    """The student also learns what an inner layer of the teacher says, through a projection learned beside it."""

    teacher: Line
    """Name of a layer of the teacher, as `named_modules` spells it."""
    student: Line
    weight: Positive = 1.0


class Lesson(Section):
    """Training by the teacher: `hard_weight * L_student + (1 - hard_weight) * L_distillation`, and what is added."""

    training: Training
    loss: Literal["kl", "dkd", "dist"] = "kl"
    """What the teacher's logits teach: their distribution (Hinton), decoupled (DKD) or correlations (DIST)."""
    temperature: Annotated[float, Field(ge=0.01, le=100)] = 4.0
    hard_weight: Fraction = 0.3
    views: Count = 1
    """Views of every training image on which the teacher is asked, once each; the first is the image itself."""
    blends: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Further views, in which every image is blended with another one, so without a label: `hard_weight` is 0."""
    features: Features | None = None
    relations: Positive | None = None
    """Weight of the relational loss: distances and angles between the examples of a batch."""
    also: Annotated[tuple[BlackBox, ...], AsList, Field(max_length=100)] = ()
    """Further teachers; all are asked and their probabilities averaged."""
    regression: Weight = 0.0
    """Of a tower: weight of one minus the cosine to the teacher's vector, beside its similarities to the gallery."""
    letters: Weight = 0.0
    """Of a speech tower that spells: weight of the KL divergence from the teacher's letters, frame by frame.

    It then also learns to read written captions as its teacher reads them.
    """

    @model_validator(mode="after")
    def _views_augment_students(self) -> Self:
        if self.training.augment or self.training.erase or self.training.resolutions:
            msg = "a student sees the views its teacher answered: set views, not augment, erase or resolutions"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _blends_have_no_label(self) -> Self:
        if self.blends and self.hard_weight:
            msg = "a blend of two images has no label: set hard_weight to 0, or leave out blends"
            raise ValueError(msg)
        return self


class Distil(Lesson):
    """A smaller network learns from the teacher."""

    tower: Tower | None = None
    """Which tower the step changes, where a model has several."""
    method: Literal["distil"]
    network: Network


class PruneUnstructured(Section):
    """Zero the least important weights, train what is left if asked, then make the masks permanent."""

    tower: Tower | None = None
    method: Literal["prune_unstructured"]
    sparsity: Share | None = None
    pattern: Annotated[str, Field(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")] | None = None
    """N:M, such as 2:4: of every M weights in a row, N stay."""
    scope: Literal["global", "layer"] = "global"
    measure: Literal["magnitude", "movement"] = "magnitude"
    recovery: Lesson | None = None

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
        if self.measure == "movement" and self.recovery is None:
            msg = "movement is measured while training: give recovery, or use magnitude"
            raise ValueError(msg)
        return self


class PruneStructured(Section):
    """Remove whole channels, with all that is coupled to them, until one target is met."""

    tower: Tower | None = None
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
    """In how many parts the channels go, each followed by its share of the recovery."""
    recovery: Lesson

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(target is not None for target in (self.macs, self.bytes, self.milliseconds)) != 1:
            msg = "give macs, bytes or milliseconds, one of the three"
            raise ValueError(msg)
        return self


class DropLayers(Section):
    """Take out the whole layers that matter least, and recover."""

    tower: Tower | None = None
    method: Literal["drop_layers"]
    layers: Count
    recovery: Lesson


class LowRank(Section):
    """Replace linear layers and convolutions by products of thinner ones, and recover."""

    tower: Tower | None = None
    method: Literal["low_rank"]
    energy: Share
    """Share of each weight's squared singular values that is kept."""
    layers: Annotated[tuple[Line, ...], AsList] = ()
    """Layers to choose from, as `named_modules` spells them; none: all. A linear layer of few bits is fast whole."""
    recovery: Lesson


class Fold(Section):
    """Fold batch norms and the pixel scale into the layers beside them; `quantize` does so by itself."""

    tower: Tower | None = None
    method: Literal["fold"]


class Quantize(Section):
    """Integer weights, `round(W / scale) * scale` per output channel, and what activations become."""

    tower: Tower | None = None
    """None, where a model has several: all together, with `weights: mixed`, which spends one budget of damage."""
    method: Literal["quantize"]
    weights: Literal["int8", "int4", "int3", "ternary", "mixed"] = "int8"
    """Fewer bits leave the first and the last layer at 8; mixed gives every layer what its measured damage allows."""
    activations: Literal["static", "dynamic", "float"] = "static"
    """static: calibrated integers (text: dynamic); dynamic: scaled at every call; float: only weights are integers."""
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    keep_float: Annotated[tuple[Line, ...], AsList] = ()
    """Layers left in fp32, as `named_modules` spells them."""
    most_damage: Fraction = 0.005
    """Quality on the search role that `mixed` may spend before training."""
    training: Lesson | None = None
    """Quantization-aware training; None rounds a finished model."""


class Pack(Section):
    """Ship the file entropy-coded; it is unpacked when it is loaded."""

    tower: Tower | None = None
    method: Literal["pack"]


Step = Annotated[
    Distil | PruneUnstructured | PruneStructured | DropLayers | LowRank | Fold | Quantize | Pack,
    Field(discriminator="method"),
]


class Worth(Section):
    """What every step must be worth to stay in the chain; a step that is not is dropped, with the reason."""

    most_lost: Fraction = 0.03
    """Quality on the search role that one step may cost."""
    least_gained: Fraction = 0.01
    """Share of the zstd bytes or of the time that one step must save, beyond what it costs in the other."""


def lessons_in(step: Section) -> list[Lesson]:
    """List the lessons of a step: itself, its recovery, or its training."""
    parts = (step, getattr(step, "recovery", None), getattr(step, "training", None))
    return [part for part in parts if isinstance(part, Lesson)]


def misfit(lesson: Lesson, tower: Tower | None) -> str:
    """Say what a lesson asks for that its network does not give; nothing if it fits."""
    if tower is None and (lesson.regression or lesson.letters):
        return "regression and letters are for a tower, and this model has logits; remove them, or set relations"
    if tower and (lesson.relations or lesson.features):
        return "a tower learns relations through its gallery; set regression, not relations or features"
    if lesson.letters and tower != "speech":
        return f"only a tower for speech spells, and this one is for {tower}; remove letters"
    return ""
