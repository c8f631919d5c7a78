"""The training loop: repeatable, resumable, and honest about divergence."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from data_samples import built_digits
from torch import Tensor, nn

from stillhouse.models.distillation.objectives import cross_entropy_objective
from stillhouse.models.errors import ModelError
from stillhouse.models.training.loop import Batch, TrainConfig, fit, learning_rate
from stillhouse.models.workloads.image_classification.examples import LabelledBatches, load_examples
from stillhouse.models.workloads.image_classification.training import Classifier
from stillhouse.tasks.recipe.teacher import Network

PLAN = TrainConfig(
    epochs=4,
    batch_size=64,
    learning_rate=0.05,
    weight_decay=0.001,
    optimizer="sgd",
    precision="fp32",
    warmup=0.25,
    seed=3,
)
CLASSIFIER = Classifier(built_digits())


class Killed(BaseException):
    """Stands for a kill: nothing in the loop may catch it."""


class Witness:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def progress(self, line: str) -> None:
        assert line

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        assert step > 0
        self.losses.append(metrics["train_loss"])


class Interrupted(LabelledBatches):
    """A feed whose process dies in the middle of an epoch."""

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        for number, batch in enumerate(super().epoch(epoch, batch_size)):
            if epoch == 2 and number == 5:
                raise Killed
            yield batch


def network() -> nn.Module:
    big = Network(name="multimodal_big_model", arguments={"channels": 4, "hidden": 16})
    return CLASSIFIER.architecture(big).build_seeded(PLAN.seed)


def feed(kind: type[LabelledBatches] = LabelledBatches) -> LabelledBatches:
    return kind(load_examples(built_digits(), "train"), PLAN.seed, augment=True, resolutions=None)


def train(
    checkpoint: Path, plan: TrainConfig = PLAN, source: LabelledBatches | None = None
) -> tuple[nn.Module, Witness]:
    module, witness = network(), Witness()
    fit(
        module,
        source or feed(),
        cross_entropy_objective(0.0),
        plan,
        checkpoint=checkpoint,
        score=CLASSIFIER.scorer("validation"),
        watcher=witness,
    )
    return module, witness


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("optimizer", "precision"), [("sgd", "fp32"), ("adamw", "fp32"), ("muon", "fp32"), ("muon_all", "bf16")]
)
def test_a_killed_training_ends_with_the_same_weights(tmp_path: Path, optimizer: str, precision: str) -> None:
    """Killed inside an epoch and started again, training gives bit for bit the weights of an undisturbed run."""
    plan = TrainConfig(**{**PLAN.__dict__, "optimizer": optimizer, "precision": precision, "learning_rate": 0.01})
    undisturbed, whole = train(tmp_path / "a.safetensors", plan)
    with pytest.raises(Killed):
        train(tmp_path / "b.safetensors", plan, feed(Interrupted))
    resumed, rest = train(tmp_path / "b.safetensors", plan)
    assert same(undisturbed, resumed)
    assert rest.losses == whole.losses[2:]


def test_training_learns(tmp_path: Path) -> None:
    """Four epochs on digits take the loss down and the validation quality far above chance."""
    plan = TrainConfig(**{**PLAN.__dict__, "learning_rate": 0.2, "batch_size": 32})
    source = LabelledBatches(load_examples(built_digits(), "train"), plan.seed, augment=False, resolutions=None)
    module, witness = train(tmp_path / "a.safetensors", plan, source)
    assert witness.losses[-1] < witness.losses[0] / 2
    assert CLASSIFIER.scorer("validation")(module) > 0.6


def test_a_loss_that_is_no_number_stops_training(tmp_path: Path) -> None:
    """A NaN loss raises one sentence with the epoch, the step and the remedy, and leaves no checkpoint."""

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        return model(batch[0]).mean() * float("nan")

    with pytest.raises(ModelError, match=r"the loss became nan in epoch 1, step 1; lower the learning rate"):
        fit(
            network(),
            feed(),
            objective,
            PLAN,
            checkpoint=tmp_path / "a.safetensors",
            score=lambda _: 0.0,
            watcher=Witness(),
        )
    assert not (tmp_path / "a.safetensors").exists()


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    """A truncated checkpoint is refused with its path, not read."""
    train(tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"a\.safetensors is damaged"):
        train(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0.0, 0.0025), (0.5, 0.02625), (1.0, 0.05), (2.5, 0.025), (4.0, 0.0)],
)
def test_the_learning_rate_rises_and_falls(position: float, expected: float) -> None:
    """The rate climbs from a twentieth of its peak over the warm-up and follows a half cosine to zero."""
    assert learning_rate(PLAN, position) == pytest.approx(expected)


def test_early_epochs_may_use_smaller_images() -> None:
    """With resolutions, each epoch's images have that epoch's side."""
    source = LabelledBatches(load_examples(built_digits(), "train"), 0, augment=False, resolutions=(4, 8))
    sides = [next(source.epoch(epoch, 8))[0].shape for epoch in range(2)]
    assert sides == [(8, 1, 4, 4), (8, 1, 8, 8)]


def test_an_epoch_shows_every_example_once() -> None:
    """One epoch contains each label exactly as often as the training split does."""
    source = feed()
    labels = torch.cat([labels for _, labels in source.epoch(1, 50)])
    assert torch.equal(labels.bincount(), source.examples.labels_N.bincount())


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "the GPU has no memory left; lower batch_size"),
        (torch.AcceleratorError("CUDA error: device lost"), r"the GPU does not answer \(CUDA error: device lost\)"),
    ],
)
def test_a_gpu_that_fails_ends_the_training_with_a_sentence(tmp_path: Path, error: Exception, sentence: str) -> None:
    """The sentence names the remedy, and no checkpoint is left of the epoch."""

    def objective(_model: nn.Module, _batch: Batch) -> Tensor:
        raise error

    path = tmp_path / "a.safetensors"
    with pytest.raises(ModelError, match=sentence):
        fit(network(), feed(), objective, PLAN, checkpoint=path, score=lambda _: 0.0, watcher=Witness())
    assert not path.exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon", "muon_all"])
def test_a_gpu_trains_nearly_the_same_weights(tmp_path: Path, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32 a GPU's weights differ from the CPU's by less than a hundredth, and they come back to the CPU."""
    plan = TrainConfig(**{**PLAN.__dict__, "optimizer": optimizer, "precision": "fp32", "learning_rate": 0.01})
    on_gpu, _ = train(tmp_path / "gpu.safetensors", plan)
    monkeypatch.setattr("stillhouse.models.training.loop.training_device", lambda: torch.device("cpu"))
    on_cpu, _ = train(tmp_path / "cpu.safetensors", plan)
    for ours, theirs in zip(on_gpu.parameters(), on_cpu.parameters(), strict=True):
        assert ours.device.type == "cpu"
        assert float((ours - theirs).norm() / theirs.norm()) < 0.01
