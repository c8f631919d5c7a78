"""Training of text embedding: a student learns the vectors of a user's own encoder. There are no labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.models.data.texts import load_texts
from stillhouse.models.distillation.batches import DistillationBatches, seed_generator, shuffle
from stillhouse.models.distillation.embedding import taught_vectors
from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.bert import adopt_bert
from stillhouse.models.inspection.source import Source
from stillhouse.models.measurement.neighbours import Vectors, nearest, share_kept
from stillhouse.models.runtime.tokens import TOKENIZER, Tokenizer, split_by_length
from stillhouse.models.training.checkpoint import Architecture, load_model
from stillhouse.models.training.loop import Batch, Objective, ProgressReporter
from stillhouse.models.training.ready import ready
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_embedding.runtime import NEIGHBOURS
from stillhouse.models.workloads.training_base import (
    Ask,
    Built,
    DistillationOptions,
    EmbeddingOptions,
    Network,
    SoftOptions,
    TeacherOptions,
    TeacherTraining,
    Training,
)

BERT_LIKE = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")
"""Types of models that are read."""
GALLERY = 4096
"""Training texts to which a student's similarities are compared with the teacher's."""
CHUNK = 16
"""Batches whose texts are sorted by length together, so that a batch needs little padding."""
AT_ONCE = 128
UNTRAINED = "text embedding has no labels to train a teacher with; name your model's folder in teacher.folder"


class TextEmbedding:
    """One encoder, read from a folder."""

    components = (ALONE,)

    def check(self, components: Sequence[str], distillations: Mapping[str, Sequence[DistillationOptions]]) -> None:
        """Check nothing more: the recipe was checked against the registry when it was read."""

    def adopt(self, source: Source, _data: Path) -> Adopted:
        """Read a user's encoder.

        Raises:
            ModelError: it is no BERT-like encoder in safetensors.
        """
        kind = str(source.config.get("model_type"))
        if source.format != "transformers" or kind not in BERT_LIKE:
            what = f"a {kind} model" if source.format == "transformers" else f"a {source.format} model"
            msg = f"{source.path} is {what}; text embedding reads {', '.join(BERT_LIKE)} in safetensors"
            raise ModelError(msg)
        return adopt_bert(source)

    def architectures(self, _data: Path, _networks: Mapping[str, Network]) -> dict[str, Architecture]:
        """Refuse: a teacher is read from a folder.

        Raises:
            ModelError: always.
        """
        raise ModelError(UNTRAINED)

    def teacher_training(self, _data: Path, _built: Built, _options: TeacherOptions, _seed: int) -> TeacherTraining:
        """Refuse, as `architectures` does.

        Raises:
            ModelError: always.
        """
        raise ModelError(UNTRAINED)

    def scorer(self, _data: Path, _split: str) -> Callable[[Mapping[str, nn.Module]], float]:
        """Return the agreement of the teacher with itself, which is whole."""
        return lambda _modules: 1.0

    def component(self, _name: str, data: Path, teacher: Path, _previous: Path) -> "TextEncoder":
        """Return the only component."""
        return TextEncoder(data, teacher / ALONE)

    def files(self, _name: str, teacher: Path) -> list[Path]:
        """Return the tokenizer, which ships beside the encoder."""
        return [teacher / ALONE / TOKENIZER]

    def about(self, _data: Path) -> dict[str, Any]:
        """Return nothing: a bundle needs no facts of the data."""
        return {}


TRAINING: Training = TextEmbedding()


@dataclass(frozen=True)
class TextBatches(DistillationBatches):
    """Batches of texts of similar length."""

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield (ids_BT, labels_B, teacher_vectors_BD)."""
        generator = seed_generator(self.seed, epoch)
        lengths_N, batches = (self.views[0] != 0).sum(1), list[Tensor]()
        for chunk in shuffle(len(lengths_N), batch_size * CHUNK, generator):
            batches += chunk[lengths_N[chunk].argsort(stable=True)].split(batch_size)
        for place in torch.randperm(len(batches), generator=generator).tolist():
            index_B = batches[place]
            yield ready(self.views[0, index_B]), self.labels_N[index_B], *(each[0, index_B] for each in self.answers)


@dataclass(frozen=True)
class TextEncoder:
    """The encoder: its training data, its evaluation and its calibration."""

    data: Path
    teacher: Path
    """Folder of the teacher's encoder."""
    name: str = ALONE

    def architecture(self, network: Network) -> Architecture:
        """Describe a network for this teacher's tokens. Sizes that are left out are those of the teacher."""
        arguments = {**load_model(self.teacher)[1].arguments, **network.arguments}
        return Architecture(network.name, arguments, 1.0, (arguments["positions"],))

    def distillation_batches(
        self, ask: Ask, seed: int, _options: SoftOptions, watcher: ProgressReporter
    ) -> DistillationBatches:
        """Return the training texts with the teacher's vectors."""
        ids_NT = self._ids("train")
        watcher.progress(f"asking the teacher about {len(ids_NT):,} texts")
        order = (ids_NT != 0).sum(1).argsort(stable=True)  # texts of similar length need little padding together
        answers = [answer[order.argsort()][None] for answer in ask(ids_NT[order])]
        return TextBatches(ids_NT[None], tuple(answers), torch.zeros(len(ids_NT), dtype=torch.int64), seed)

    def distillation(
        self, feed: DistillationBatches, options: EmbeddingOptions, _read: object
    ) -> tuple[DistillationBatches, Objective]:
        """Return batches and objective to learn the teacher's vectors and its similarities to other texts."""
        if options.hard_weight:
            msg = "text embedding has no labels to learn; set hard_weight to 0"
            raise ModelError(msg)
        teacher_ND = feed.answers[0][0]
        some = torch.randperm(len(teacher_ND), generator=seed_generator(feed.seed, 1))[:GALLERY]
        gallery_KD = teacher_ND[some].float()
        return feed, taught_vectors(gallery_KD, options.loss, options.temperature, 0.0, options.cosine_weight)

    def scorer(self, split: str) -> Callable[[nn.Module], float]:
        """Return a function that measures the share of the teacher's neighbours that an encoder keeps."""
        ids_NT = self._ids(split).numpy()
        wanted_NK = nearest(embed(load_model(self.teacher)[0], ids_NT), NEIGHBOURS)
        return lambda module: float(share_kept(nearest(embed(module, ids_NT), NEIGHBOURS), wanted_NK).mean())

    def calibration(self) -> NDArray[np.int64]:
        """Return the tokens of the calibration split."""
        return self._ids("calibration").numpy()

    def held_out_inputs(self, split: str) -> NDArray[np.int64]:
        """Return the tokens of an evaluation split."""
        return self._ids(split).numpy()

    def reference(self, module: nn.Module) -> Vectors:
        """Return the vectors (N, D) of the training-time encoder for the gate split."""
        return embed(module, self._ids("gate").numpy())

    def _ids(self, split: str) -> Tensor:
        return torch.from_numpy(Tokenizer(self.teacher / TOKENIZER).ids_of(load_texts(self.data, split)))


@torch.no_grad()
def embed(module: nn.Module, ids_NT: NDArray[np.int64]) -> Vectors:
    """Return the unit vectors (N, D) of a module in fp32. Texts of similar length run together."""
    module.eval()
    batches = split_by_length(ids_NT, AT_ONCE)
    vectors_ND = torch.cat([module(ready(torch.from_numpy(ids_NT[places]))) for places in batches])
    return vectors_ND.numpy()[np.argsort(np.concatenate(batches))]
