"""The recipe sections of networks, training, and the teacher."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from stillhouse.models.workloads.registry import ALONE
from stillhouse.tasks.recipe.network_arguments import ARGUMENTS, check_network
from stillhouse.tasks.recipe.section import AsList, Count, Fraction, Line, Name, Section


class Network(Section):
    """A network: a name of `models.networks.registry.NETWORKS` or of an installed package, and its arguments.

    The first stage checks the arguments of a package's network, because this module imports no package.
    """

    name: Annotated[str, AfterValidator(check_network)]
    """Name of the network."""
    arguments: Annotated[dict[str, Any], Field(default_factory=dict, validate_default=True)]
    """Arguments of the network."""

    @field_validator("arguments")
    @classmethod
    def _the_network_takes_them(cls, arguments: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if info.data.get("name") in ARGUMENTS:
            ARGUMENTS[info.data["name"]].model_validate(arguments)
        return arguments


class Training(Section):
    """One run of the training loop."""

    epochs: Count
    """Number of passes over the training data."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    """Number of examples in one step."""
    learning_rate: Annotated[float, Field(gt=0, le=1e30)]
    """Highest learning rate. The rate rises to it, then falls to zero along a cosine."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Weight decay of the matrices and the filters. Biases and norms have none. Muon has a fixed one for filters."""
    optimizer: Literal["sgd", "adamw", "muon", "muon_adamw", "muon_all"] = "sgd"
    """`muon` orthogonalizes the updates of convolutions. It leaves other weights to sgd, `muon_adamw` to adamw.

    `muon_all` does as `muon_adamw`, and orthogonalizes those of linear layers too, except of the last one.
    """
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a label's probability that is spread over all classes. Only the training of a teacher uses it."""
    augment: bool = False
    """Mirror every image in every other epoch. If drawings are retrieved, draw each of them again."""
    erase: bool = False
    """Black out a random square in half of the images."""
    resolutions: Annotated[tuple[Annotated[int, Field(ge=4, le=1024)], ...], AsList] | None = None
    """Side of the training images in each epoch.

    Smaller early epochs cost less time. None keeps the images' own size.
    """
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision in which matrices are multiplied."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of processes of one host that train together. Each has its share of every batch.

    Only a teacher and the step `distil` take more than one.
    """
    nodes: Annotated[int, Field(ge=1, le=16)] = 1
    """Number of hosts that train together. Each has `processes` processes.

    Only a teacher and the step `distil` take more than one.
    """
    warmup: Fraction = 0.2
    """Share of all steps in which the learning rate rises, before it falls to zero."""

    @model_validator(mode="after")
    def _one_resolution_per_epoch(self) -> Self:
        if self.resolutions is not None and len(self.resolutions) != self.epochs:
            msg = f"resolutions lists {len(self.resolutions)} epochs, epochs says {self.epochs}; make them agree"
            raise ValueError(msg)
        return self


class BlackBox(Section):
    """A teacher given only as an ONNX file, exported from any framework."""

    onnx: Line
    """Path of the file, relative to the repository's root."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the file. The run stops if the file has another one."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    """Order of the axes of the input."""
    scale: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    """Raw pixels are divided by this number before they enter the model."""
    offset: Annotated[float, Field(ge=-1e6, le=1e6)] = 0.0
    """Is subtracted from the divided pixels. Only a recogniser of lines has it."""
    colours: Literal["RGB", "BGR"] = "RGB"
    """Order of the colours in the model's input. Only a recogniser of lines may have another than RGB."""
    output: Literal["logits", "probabilities"] = "logits"
    """What the file gives for each class."""
    licence: Line = "unknown"
    """Licence of the file's weights, as its publisher names it. It is written into the shipped bundle."""

    @property
    def networks(self) -> Mapping[str, Network]:
        """Component -> its network. Empty, because no network is known."""
        return {}


class Folder(Section):
    """A teacher given as a folder of weights and configuration, as transformers and timm write it."""

    folder: Line
    """Path of the folder, absolute or relative to the repository's root."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the folder's files, as `stillhouse inspect` prints it."""
    licence: Line = "unknown"
    """Licence of the weights, as their publisher names it. It is written into the shipped bundle."""

    @property
    def networks(self) -> Mapping[str, Network]:
        """Component -> its network. Empty, because the folder's configuration describes the network."""
        return {}


class Teacher(Section):
    """The model to compress: one network, or several components that are trained together."""

    network: Network | None = None
    """Network of a model of one component."""
    components: Annotated[dict[Name, Network], Field(min_length=1)] | None = None
    """Component -> its network."""
    training: Training

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.network is None) == (self.components is None):
            msg = "give network, for a model of one component, or components, one of the two"
            raise ValueError(msg)
        return self

    @property
    def licence(self) -> str:
        """Licence of the weights, which are trained here."""
        return "trained from the data"

    @property
    def networks(self) -> Mapping[str, Network]:
        """Component -> its network."""
        return self.components or ({ALONE: self.network} if self.network else {})


def _kind_of_teacher(value: object) -> str:
    found = value.keys() if isinstance(value, dict) else vars(value) if isinstance(value, Section) else ()
    return next((kind for kind in ("onnx", "folder") if kind in found), "trained")


AnyTeacher = Annotated[
    Annotated[Teacher, Tag("trained")] | Annotated[BlackBox, Tag("onnx")] | Annotated[Folder, Tag("folder")],
    Discriminator(_kind_of_teacher),
]
