"""Training of retrieval: pictures and captions (written, optionally spoken) in one space.

Quality is recall in all directions. A model is a set of encoders. The teacher's encoders are plain networks, trained
together once. Then each encoder is compressed separately, against the teacher's space. So a student's encoder works
with the index of any other encoder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.augmentation.augment import mix_up
from stillhouse.models.augmentation.redraw import PAPER, redrawn
from stillhouse.models.augmentation.resay import augment_speech
from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.waves import LENGTH
from stillhouse.models.data.text import CONTEXT, codes_of
from stillhouse.models.distillation.batches import DistillationBatches, ask_about_views, seed_generator
from stillhouse.models.distillation.embedding import (
    contrast_and_spell,
    contrast_with_teacher,
    taught_letters,
    taught_vectors,
)
from stillhouse.models.distillation.logit import teacher_logits
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.registry import SPELLERS
from stillhouse.models.training.checkpoint import Architecture, load_model
from stillhouse.models.training.loop import Objective, ProgressReporter
from stillhouse.models.workloads.retrieval.data import ENCODERS, IMAGE, SPEECH, TEXT, Inputs, load_eval_split
from stillhouse.models.workloads.retrieval.pairs import PairBatches, caption_of, load_pairs, load_spoken
from stillhouse.models.workloads.retrieval.search.ranks import Vectors
from stillhouse.models.workloads.retrieval.written import TextInjectionBatches, text_injection_batches
from stillhouse.models.workloads.training_base import (
    Ask,
    Built,
    CtcOptions,
    DistillationOptions,
    EmbeddingOptions,
    Network,
    SoftOptions,
    TeacherOptions,
    TeacherTraining,
    Training,
)

CALIBRATION_TEXTS = 256
ANCHORS = 1_000_003
"""A position in the random sequence that no epoch uses."""
AT_ONCE = 500


class Encoders(nn.Module):
    """The encoders of one space during their common training."""

    def __init__(self, encoders: Mapping[str, nn.Module], concepts: int, dimension: int, seed: int) -> None:
        """Store the encoders in the order of ENCODERS, and the anchors of all concepts, which are discarded later."""
        super().__init__()
        self.encoders = nn.ModuleDict({name: encoders[name] for name in ENCODERS if name in encoders})
        self.anchors = nn.Parameter(0.1 * torch.randn(concepts, dimension, generator=seed_generator(seed, ANCHORS)))


def architecture_of(folder: Path, network: str, arguments: Mapping[str, Any]) -> Architecture:
    """Describe an encoder for this data."""
    architecture = Architecture(network, dict(arguments), 1.0, ())
    if architecture.takes == TEXT:
        return architecture
    if architecture.takes == SPEECH:
        return Architecture(network, dict(arguments), 1.0, (LENGTH,))
    pixels = load_pairs(folder, "train").images_NCHW.numpy()
    ink = float((pixels.astype(np.float32) - PAPER).std())
    return Architecture(network, dict(arguments), ink, pixels.shape[1:], background=PAPER)


@torch.no_grad()
def vectors(encoder: nn.Module, inputs: Inputs) -> Vectors:
    """Return the unit vectors (N, D) of an encoder."""
    return teacher_logits(encoder.eval(), torch.from_numpy(inputs.raw)).numpy()


class Retrieval:
    """Encoders of one space, trained together and compressed one by one."""

    components = ENCODERS

    def check(self, components: Sequence[str], distillations: Mapping[str, Sequence[DistillationOptions]]) -> None:
        """Check nothing more: the recipe was checked against the registry when it was read."""

    def architectures(self, data: Path, networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Describe the encoders. A CTC encoder gets the number of letters in the data.

        Raises:
            ModelError: a speech encoder is not a CTC encoder.
        """
        arguments = {name: dict(network.arguments) for name, network in networks.items()}
        if SPEECH in networks:
            _expect_speller(networks[SPEECH].name)
            arguments[SPEECH]["letters"] = load_spoken(data, "train").letters
        return {name: architecture_of(data, network.name, arguments[name]) for name, network in networks.items()}

    def teacher_training(self, data: Path, built: Built, options: TeacherOptions, seed: int) -> TeacherTraining:
        """Return what is needed to train all encoders in one space, and a speech encoder on letters too."""
        modules = {name: module for name, (module, _) in built.items()}
        spoken = load_spoken(data, "train") if SPEECH in modules else None
        frames: int = modules[SPEECH].frames if SPEECH in modules else 0  # type: ignore[assignment]
        pairs = load_pairs(data, "train")
        feed = PairBatches(pairs, spoken, seed, options.augment, options.resolutions, frames)
        dimension = int(built[TEXT][1].arguments["dimension"])
        learner = Encoders(modules, len(describe(data)["labels"]), dimension, seed)
        return TeacherTraining(learner, feed, contrast_and_spell if spoken else contrast_with_teacher)

    def scorer(self, data: Path, split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Return a function that measures the quality of encoders on a split."""
        asked = load_eval_split(data, split)

        def score(encoders: Mapping[str, nn.Module]) -> float:
            for missing in {inputs.encoder for inputs in asked.inputs.values()} - {*encoders}:
                msg = f"this data asks for {missing}; add it to the recipe's teacher.components, or name other data"
                raise ModelError(msg)
            found = asked.vectors(lambda inputs: vectors(encoders[inputs.encoder], inputs))
            return float(asked.per_example_recall(found, found).mean())

        return score

    def component(self, name: str, data: Path, teacher: Path, previous: Path) -> "Encoder":
        """Return an encoder."""
        return Encoder(name, data, teacher, previous)

    def about(self, _data: Path, _model: Path) -> dict[str, Any]:
        """Return nothing: a bundle of encoders needs no facts of the data."""
        return {}


TRAINING: Training = Retrieval()


def _expect_speller(network: str) -> None:
    if network not in SPELLERS:
        msg = f"a {network} cannot learn to spell; name {SPELLERS[-1]} in the recipe's teacher.components.speech"
        raise ModelError(msg)


@dataclass(frozen=True)
class Encoder:
    """One encoder: its training data, its evaluation and its calibration."""

    name: str
    data: Path
    teacher: Path
    """Folder of the teacher's encoders."""
    previous: Path
    """Folder of the encoders before this step. The other encoders stay as they are."""

    def architecture(self, network: Network) -> Architecture:
        """Describe a network for this encoder. A speech encoder has the teacher's letters."""
        arguments = dict(network.arguments)
        if network.name in SPELLERS:
            arguments = {"letters": load_model(self.teacher / SPEECH)[1].arguments["letters"], **arguments}
        return architecture_of(self.data, network.name, arguments)

    def distillation_batches(
        self, ask: Ask, seed: int, options: SoftOptions, watcher: ProgressReporter
    ) -> DistillationBatches:
        """Return the training split with the teacher's vectors of every view.

        Views are augmented drawings, augmented recordings, or captions with another choice of name and tags. A blend
        mixes two drawings, or continues a recording or caption with another one.
        """
        view_of, labels_N = VIEWS[self.name](self.data)
        plain = options.augmented_views
        made = [partial(view_of, seed, number, number >= plain) for number in range(plain + options.mixup_views)]
        return ask_about_views(made, labels_N, ask, seed, watcher.progress)

    def distillation(
        self,
        feed: DistillationBatches,
        options: EmbeddingOptions | CtcOptions,
        read: Callable[[], Callable[[Tensor], Tensor]],
    ) -> tuple[DistillationBatches | TextInjectionBatches, Objective]:
        """Return batches and objective to learn the teacher's vectors among those of the other encoders.

        The kind `ctc` also learns the teacher's letters.
        """
        taught = taught_vectors(
            self.gallery(), options.loss, options.temperature, options.hard_weight, options.cosine_weight
        )
        if options.kind != "ctc":
            return feed, taught
        weight = cast("CtcOptions", options).ctc_kl_weight
        return text_injection_batches(self.data, feed, read()), taught_letters(taught, weight)

    def gallery(self) -> Tensor:
        """Return vectors (K, D) of all concepts by another encoder of the teacher.

        A vector is the normalised sum over the training drawings or captions of the concept.
        """
        pairs = load_pairs(self.data, "train")
        if self.name == IMAGE:
            labels_N = torch.from_numpy(pairs.captions.labels_N)
            inputs = torch.from_numpy(codes_of(pairs.captions.names))
        else:
            labels_N, inputs = pairs.labels_N, pairs.images_NCHW
        other = load_model(self.teacher / (TEXT if self.name == IMAGE else IMAGE))[0]
        vectors_ND = teacher_logits(other, inputs)
        sums_KD = torch.zeros(int(labels_N.max()) + 1, vectors_ND.shape[1]).index_add(0, labels_N, vectors_ND)
        return functional.normalize(sums_KD, dim=1)

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures a new encoder together with the other encoders of the previous model."""
        asked = load_eval_split(self.data, split)
        others = {
            key: vectors(load_model(self.previous / inputs.encoder)[0], inputs)
            for key, inputs in asked.inputs.items()
            if inputs.encoder != self.name
        }

        def score(module: nn.Module) -> float:
            own = {key: vectors(module, each) for key, each in asked.inputs.items() if each.encoder == self.name}
            return float(asked.per_example_recall({**others, **own}, {**others, **own}).mean())

        return score

    def calibration(self) -> NDArray[np.generic]:
        """Return the raw inputs of the calibration split."""
        if self.name == SPEECH:
            return load_spoken(self.data, "calibration").waves_NT.numpy()
        pairs = load_pairs(self.data, "calibration")
        if self.name == IMAGE:
            return pairs.images_NCHW.numpy()
        spread = np.linspace(0, len(pairs.captions) - 1, CALIBRATION_TEXTS).astype(int)
        return codes_of([pairs.captions.names[row] for row in spread])

    def held_out_inputs(self, split: str) -> NDArray[np.generic]:
        """Return the raw inputs of an evaluation split that training must not use. Empty if all splits share them."""
        asked = load_eval_split(self.data, split)
        held_out = SPEECH if SPEECH in asked.inputs else IMAGE
        return asked.inputs[self.name].raw if self.name == held_out else np.empty((0, 1))

    def reference(self, module: nn.Module) -> Vectors:
        """Return the vectors (N, D) of the training-time encoder for its first inputs of the gate split."""
        return vectors(module, load_eval_split(self.data, "gate").first(self.name))


View = Callable[[int, int, bool], Tensor]
"""(seed, number of the view, whether it is a blend) -> raw inputs (N, ...)."""


def _drawings(folder: Path) -> tuple[View, Tensor]:
    """Return a function for views of all drawings (N, C, H, W), and their labels. View 0 is the drawings."""
    pairs = load_pairs(folder, "train")

    def view(seed: int, number: int, blend: bool) -> Tensor:  # noqa: FBT001 - as View says
        if number == 0:
            return pairs.images_NCHW
        generator = seed_generator(seed + 1, number)
        batches = pairs.images_NCHW.split(AT_ONCE)
        images = torch.cat([redrawn(batch, generator).round().to(torch.uint8) for batch in batches])
        return mix_up(images, generator) if blend else images

    return view, pairs.labels_N


def _captions(folder: Path) -> tuple[View, Tensor]:
    """Return a function for views of all captions (N, CONTEXT), and their labels.

    View 0 is the names. Views are int32 to save memory.
    """
    captions = load_pairs(folder, "train").captions

    def view(seed: int, number: int, blend: bool) -> Tensor:  # noqa: FBT001 - as View says
        chooser = np.random.default_rng((seed, number))
        said = [
            caption_of(name, tags, chooser) if number else name
            for name, tags in zip(captions.names, captions.tags, strict=True)
        ]
        if blend:
            said = [f"{one} {said[other]}" for one, other in zip(said, chooser.permutation(len(said)), strict=True)]
        codes_NL = codes_of(said)
        return torch.from_numpy(np.pad(codes_NL, ((0, 0), (0, CONTEXT - codes_NL.shape[1]))).astype(np.int32))

    return view, torch.from_numpy(captions.labels_N)


def _recordings(folder: Path) -> tuple[View, Tensor]:
    """Return a function for views of all recordings (N, T), int16, and their labels. View 0 is the recordings."""
    spoken = load_spoken(folder, "train")

    def view(seed: int, number: int, blend: bool) -> Tensor:  # noqa: FBT001 - as View says
        if number == 0:
            return spoken.waves_NT
        generator = seed_generator(seed + 1, number)
        waves_NT = torch.cat(
            [augment_speech(batch, generator).round().short() for batch in spoken.waves_NT.split(AT_ONCE)]
        )
        return _splice(waves_NT, generator) if blend else waves_NT

    return view, spoken.labels_N


def _splice(waves_NT: Tensor, generator: torch.Generator) -> Tensor:
    """Replace the rest of every recording, from a random moment, by the same part of another recording."""
    count, length = waves_NT.shape
    others_NT = waves_NT[torch.randperm(count, generator=generator)]
    moments_N1 = torch.randint(length // 8, length // 2, (count, 1), generator=generator)
    return torch.where(torch.arange(length) < moments_N1, waves_NT, others_NT)


VIEWS: dict[str, Callable[[Path], tuple[View, Tensor]]] = {IMAGE: _drawings, TEXT: _captions, SPEECH: _recordings}
