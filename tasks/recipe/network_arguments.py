"""The arguments of each network in `models.networks`, with bounds. A wrong recipe is refused before training starts.

This module is light on purpose: the networks themselves import torch. A test compares these names and arguments with
those of the networks.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from stillhouse.models.providers import NETWORKS, find

Width = Annotated[int, Field(ge=1, le=8192)]
Kernel = Annotated[int, Field(ge=1, le=64)]
Stride = Annotated[int, Field(ge=1, le=16)]
Classes = Annotated[int, Field(ge=2, le=1_000_000)]
Channels = Annotated[int, Field(ge=1, le=16)]
Widths = Annotated[tuple[Width, ...], Strict(strict=False), Field(min_length=1, max_length=200)]
Letters = Annotated[int, Field(ge=2, le=100_000)] | None
"""Number of letters. None: the training data gives it."""
Depth = Annotated[int, Field(ge=1, le=100)]
Strides = Annotated[tuple[Stride, ...], Strict(strict=False), Field(min_length=1, max_length=200)]


class _Arguments(BaseModel):
    """Arguments of one network. Each argument must have exactly its type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Strided(_Arguments):
    """Arguments of a network with one stride for each width."""

    widths: Widths
    strides: Strides
    stem_kernel: Kernel = 3

    @model_validator(mode="after")
    def _one_stride_per_width(self) -> Self:
        if len(self.widths) != len(self.strides):
            msg = f"widths lists {len(self.widths)} layers, strides lists {len(self.strides)}; make them agree"
            raise ValueError(msg)
        return self


class _Attention(_Arguments):
    side: Annotated[int, Field(ge=1, le=1024)]
    patch: Annotated[int, Field(ge=1, le=1024)]
    width: Width
    heads: Annotated[int, Field(ge=1, le=256)]
    hidden: Width
    depth: Annotated[int, Field(ge=1, le=100)]
    classes: Classes = 10


class _BertBody(_Arguments):
    vocabulary: Annotated[int, Field(ge=2, le=10_000_000)]
    positions: Annotated[int, Field(ge=2, le=65_536)]
    width: Width
    heads: Annotated[int, Field(ge=1, le=256)]
    hidden: Annotated[int, Field(ge=1, le=65_536)]
    depth: Annotated[int, Field(ge=1, le=200)]
    epsilon: Annotated[float, Field(gt=0, le=0.1)] = 1e-12


class _Bert(_BertBody):
    pooling: Literal["mean", "first"] = "mean"
    """The vector of a text is the mean of its tokens, or its first token."""


class _BertClassifier(_BertBody):
    classes: Classes
    """Number of logits."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation between the two linear layers of the head."""


class _BigModel(_Arguments):
    channels: Width = 64
    """Channels of the convolution."""
    hidden: Width = 1024
    """Width of the hidden layer."""
    classes: Classes = 10
    """Number of logits."""


class _SmallModel(_Arguments):
    channels: Width = 16
    """Channels of the convolution."""
    classes: Classes = 10
    """Number of logits."""


class _Conformer(_Arguments):
    width: Width
    heads: Annotated[int, Field(ge=1, le=256)]
    hidden: Width
    kernel: Kernel
    depth: Annotated[int, Field(ge=1, le=100)]
    bands: Annotated[int, Field(ge=1, le=512)] = 80
    hop: Annotated[int, Field(ge=16, le=4096)] = 160
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    letters: Letters = None


class _Listener(_Arguments):
    bands: Annotated[int, Field(ge=1, le=512)]
    hop: Annotated[int, Field(ge=16, le=4096)]
    stem: Widths
    widths: Widths
    kernel: Kernel
    causal: bool = False
    ahead: Annotated[int, Field(ge=0, le=250)] = 0
    letters: Letters = None

    @model_validator(mode="after")
    def _only_a_causal_network_looks_ahead(self) -> Self:
        if self.ahead and not self.causal:
            msg = f"ahead {self.ahead} needs causal: true, because any other network hears all that follows"
            raise ValueError(msg)
        return self


class _LineReader(_Arguments):
    widths: Widths
    down: Strides
    across: Strides
    rows: Kernel
    context: Widths
    kernel: Kernel
    letters: Letters = None
    channels: Channels = 3

    @model_validator(mode="after")
    def _two_strides_per_width(self) -> Self:
        if not len(self.widths) == len(self.down) == len(self.across):
            msg = "widths, down and across list different numbers of layers; make them agree"
            raise ValueError(msg)
        return self


class _Denoiser(_Arguments):
    widths: Annotated[tuple[Width, Width], Strict(strict=False)]
    depths: Annotated[tuple[Depth, Depth, Depth], Strict(strict=False)]
    embedding: Width
    steps: Annotated[int, Field(ge=1, le=1000)]
    guidance: Annotated[float, Field(ge=0, le=100)] = 1.0
    solver: Literal["euler", "heun"] = "euler"
    canvas: Annotated[int, Field(ge=0, le=1024)] = 0
    predicts: Literal["velocity", "picture"] = "velocity"
    centre: Annotated[float, Field(ge=-10, le=10)] = 0.0
    image_shape: Annotated[tuple[int, int, int], Strict(strict=False)] = (1, 28, 28)
    dimension: Width = 64


class _PictureJudge(_Arguments):
    widths: Widths
    features: Width
    classes: Classes = 10
    channels: Channels = 1


class _NgramEncoder(_Arguments):
    buckets: Annotated[int, Field(ge=1, le=10_000_000)]
    width: Width
    hidden: Width
    dimension: Width
    longest: Annotated[int, Field(ge=1, le=16)] = 5


class _Plain(_Strided):
    pool: Kernel
    classes: Classes = 10
    channels: Channels = 1


class _PlainEncoder(_Strided):
    dimension: Width
    """Dimension of the shared space."""
    pool: Kernel


class _PlainSound(_Arguments):
    bands: Annotated[int, Field(ge=1, le=512)]
    hop: Annotated[int, Field(ge=16, le=4096)]
    widths: Widths
    strides: Strides
    classes: Classes


class _ResidualBody(_Strided):
    stem: Width
    stem_stride: Stride = 2
    pool: Kernel | None = None


class _Residual(_ResidualBody):
    classes: Classes = 10
    channels: Channels = 1
    block: Literal["basic", "separable"] = "basic"


class _ResidualEncoder(_ResidualBody):
    dimension: Width
    """Dimension of the shared space."""


class _SpeechEncoder(_Arguments):
    dimension: Width
    bands: Annotated[int, Field(ge=1, le=512)]
    hop: Annotated[int, Field(ge=16, le=4096)]
    stem: Widths
    widths: Widths
    kernel: Kernel
    reader: Widths
    hidden: Width
    letters: Letters = None


class _TransformersClassifier(_Arguments):
    config: dict[str, Any]
    """Keys of config.json. If the teacher is of this network, its configuration is the default of every key."""
    preparation: dict[str, Any] | None = None
    order: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Strict(strict=False)] | None = None


class _TransformersAudio(_TransformersClassifier):
    preparation: dict[str, Any]


ARGUMENTS: dict[str, type[BaseModel]] = {
    "attention": _Attention,
    "bert": _Bert,
    "bert_classifier": _BertClassifier,
    "conformer": _Conformer,
    "denoiser": _Denoiser,
    "line_reader": _LineReader,
    "listener": _Listener,
    "multimodal_big_model": _BigModel,
    "multimodal_small_model": _SmallModel,
    "ngram_encoder": _NgramEncoder,
    "picture_judge": _PictureJudge,
    "plain": _Plain,
    "plain_encoder": _PlainEncoder,
    "plain_sound": _PlainSound,
    "residual": _Residual,
    "residual_encoder": _ResidualEncoder,
    "speech_plain_encoder": _SpeechEncoder,
    "speech_residual_encoder": _SpeechEncoder,
    "transformers_audio": _TransformersAudio,
    "transformers_classifier": _TransformersClassifier,
}


def check_network(name: str) -> str:
    """Return the name if such a network exists, in this project or in an installed package.

    Raises:
        ModelError: there is no such network (the message suggests the nearest name), or several packages offer it.
    """
    find(NETWORKS, name, ARGUMENTS)
    return name
