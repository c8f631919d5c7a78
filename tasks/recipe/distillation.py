"""The recipe section that says how a student learns from its teacher: a kind, and the settings of that kind.

The kind follows from the teacher's output: `logits` of classes, an `embedding`, or for `ctc` an embedding and letters.
A workload of an installed package has its own kinds. The first stage checks their settings.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from stillhouse.tasks.recipe.section import AsList, Count, Fraction, Line, Name, Positive, Section, Weight
from stillhouse.tasks.recipe.teacher import BlackBox, Training

BUILT_IN = ("logits", "embedding", "ctc")


class Features(Section):
    """The student also learns the output of an inner layer of the teacher, through a projection trained with it."""

    teacher: Line
    """Name of a layer of the teacher, as `named_modules` spells it."""
    student: Line
    """Name of a layer of the student."""
    weight: Positive = 1.0
    """Weight of this loss."""


class Distillation(Section):
    """The keys that every kind has."""

    training: Training
    augmented_views: Count = 1
    """Number of views of every training example.

    The teacher runs once on each view. The first view is the example itself.
    """

    @model_validator(mode="after")
    def _views_augment_students(self) -> Self:
        if self.training.augment or self.training.erase or self.training.resolutions:
            msg = "a student sees the views its teacher answered: set augmented_views, not augment, erase, resolutions"
            raise ValueError(msg)
        return self


class SoftDistillation(Distillation):
    """`hard_weight * L_student + (1 - hard_weight) * L_distillation`."""

    loss: Literal["kl", "dkd", "dist"] = "kl"
    """kl: the distribution of the teacher's logits (Hinton).

    dkd: the decoupled form (DKD). dist: correlations (DIST).
    """
    temperature: Annotated[float, Field(ge=0.01, le=100)] = 4.0
    """Number that the logits of teacher and student are divided by."""
    hard_weight: Fraction = 0.3
    """Share of the loss on the labels."""
    mixup_views: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Number of extra views that blend each example with another one.

    A blend has no label, so `hard_weight` must be 0.
    """

    @model_validator(mode="after")
    def _blends_have_no_label(self) -> Self:
        if self.mixup_views and self.hard_weight:
            msg = "a blend of two examples has no label: set hard_weight to 0, or leave out mixup_views"
            raise ValueError(msg)
        return self


class LogitDistillation(SoftDistillation):
    """The student learns the teacher's logits."""

    kind: Literal["logits"] = "logits"
    features: Features | None = None
    rkd_weight: Positive | None = None
    """Weight of the relational loss (RKD): distances and angles between the examples of a batch."""
    extra_teachers: Annotated[tuple[BlackBox, ...], AsList, Field(max_length=100)] = ()
    """More teachers. The probabilities of all teachers are averaged."""


class VectorDistillation(SoftDistillation):
    """The student learns the teacher's similarities to a gallery, used as logits, and the teacher's vector."""

    cosine_weight: Weight = 0.0
    """Weight of (1 - cosine similarity to the teacher's vector), added to the loss of the gallery similarities."""


class EmbeddingDistillation(VectorDistillation):
    """The student learns vectors only."""

    kind: Literal["embedding"]


class CtcDistillation(VectorDistillation):
    """The student of a speech encoder also learns the teacher's letters, frame by frame.

    It then learns to read written captions as its teacher reads them.
    """

    kind: Literal["ctc"]
    ctc_kl_weight: Positive
    """Weight of the KL divergence from the teacher's letters."""


class OwnDistillation(Distillation):
    """A kind that belongs to an installed package's workload."""

    kind: Name
    """Name of the kind, as its workload spells it."""
    settings: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Settings that the workload defines and checks."""

    @model_validator(mode="before")
    @classmethod
    def _its_settings_stand_apart(cls, given: object) -> object:
        extra = [str(key) for key in given if key not in cls.model_fields] if isinstance(given, dict) else []
        if isinstance(given, dict) and extra:
            msg = (
                f"there is no kind {str(given.get('kind'))[:50]!r} that takes {', '.join(extra)[:100]}; use "
                f"{', '.join(BUILT_IN)}, or put the settings of a package's own kind under settings"
            )
            raise ValueError(msg)
        return given


def _kind_of(value: object) -> str:
    kind = value.get("kind", "logits") if isinstance(value, dict) else getattr(value, "kind", "logits")
    return kind if kind in BUILT_IN else "own"


AnyDistillation = Annotated[
    Annotated[LogitDistillation, Tag("logits")]
    | Annotated[EmbeddingDistillation, Tag("embedding")]
    | Annotated[CtcDistillation, Tag("ctc")]
    | Annotated[OwnDistillation, Tag("own")],
    Discriminator(_kind_of),
]
