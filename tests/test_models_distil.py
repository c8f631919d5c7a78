"""What a student learns from its teacher: every loss by hand, hints that leave no trace, answers asked once."""

from pathlib import Path

import pytest
import torch
from data_samples import built_digits
from distillation_samples import logit_distillation
from torch import Tensor, nn

from stillhouse.models.augmentation.augment import erase, mix_up
from stillhouse.models.distillation.batches import DistillationBatches
from stillhouse.models.distillation.features import average_positions, hint_loss, layer_features, project_student
from stillhouse.models.distillation.logit import LOGIT_LOSSES, distillation_loss, mean_logits, teacher_logits
from stillhouse.models.distillation.objectives import add_feature_loss, taught_objective
from stillhouse.models.distillation.relational import angle_loss, distance_loss, relational_loss
from stillhouse.models.distillation.teacher_cache import cache_outputs
from stillhouse.models.errors import ModelError
from stillhouse.models.training.loop import TrainConfig, fit
from stillhouse.models.workloads.image_classification.examples import Blend, LabelledBatches, View, load_examples
from stillhouse.models.workloads.image_classification.training import Classifier
from stillhouse.tasks.recipe.teacher import Network

CLASSIFIER = Classifier(built_digits())
PLAN = TrainConfig(
    epochs=2,
    batch_size=100,
    learning_rate=0.05,
    weight_decay=0.0,
    optimizer="sgd",
    precision="fp32",
    warmup=0.25,
    seed=3,
)
LAYER = "1.conv"
"""The convolution of both seed networks."""


class Witness:
    """Remembers the losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def progress(self, line: str) -> None:
        assert line

    def record(self, _step: int, metrics: dict[str, float]) -> None:
        self.losses.append(metrics["train_loss"])


def network(name: str, **arguments: int) -> nn.Module:
    return CLASSIFIER.architecture(Network(name=name, arguments=arguments)).build_seeded(1).eval()


def teacher() -> nn.Module:
    return network("multimodal_big_model", channels=6, hidden=16)


def student() -> nn.Module:
    return network("multimodal_small_model", channels=4)


def feed(views: int = 2) -> DistillationBatches:
    asked = teacher()

    def ask(images_NCHW: Tensor) -> tuple[Tensor, ...]:
        return teacher_logits(asked, images_NCHW), layer_features(asked, LAYER, images_NCHW)

    return CLASSIFIER.distillation_batches(ask, 17, logit_distillation(augmented_views=views), Witness())


def hinted(module: nn.Module, source: DistillationBatches, checkpoint: Path) -> list[float]:
    """Train with hints and relations; returns the loss of every epoch."""
    witness, objective = Witness(), add_feature_loss(taught_objective("kl", 2.0, 0.5), 1.0, 1.0)
    with project_student(module, LAYER, 6, torch.zeros(1, 1, 8, 8), 5) as learner:
        score = CLASSIFIER.scorer("validation")
        fit(learner, source, objective, PLAN, checkpoint=checkpoint, score=score, watcher=witness)
    return witness.losses


# Student and teacher probabilities, the true class 0: TCKD = 0.8 ln(0.8/0.5) + 0.2 ln(0.2/0.5) = 0.192745,
# NCKD = 0.75 ln(0.75/0.5) + 0.25 ln(0.25/0.5) = 0.130812; KL = TCKD + (1 - 0.8) NCKD, DKD = TCKD + 8 NCKD.
STUDENT, TEACHER = [[0.5, 0.25, 0.25]], [[0.8, 0.15, 0.05]]
# Rows correlate with 1 and 0.332066; columns with 1, 1 and -1: 1 - 1.332066/2 + 1 - 1/3.
STUDENTS, TEACHERS = [[0.6, 0.3, 0.1], [0.1, 0.5, 0.4]], [[0.6, 0.3, 0.1], [0.3, 0.65, 0.05]]


@pytest.mark.parametrize(
    ("loss", "ours", "theirs", "expected"),
    [
        ("kl", STUDENT, TEACHER, 0.192745 + 0.2 * 0.130812),
        ("dkd", STUDENT, TEACHER, 0.192745 + 8 * 0.130812),
        ("dist", STUDENTS, TEACHERS, 1.000634),
        ("kl", TEACHERS, TEACHERS, 0.0),
        ("dkd", TEACHERS, TEACHERS, 0.0),
        ("dist", TEACHERS, TEACHERS, 0.0),
    ],
)
def test_a_logit_loss_is_the_papers(
    loss: str, ours: list[list[float]], theirs: list[list[float]], expected: float
) -> None:
    """Each loss has the value that its paper's formula gives on paper, and none where the student is the teacher."""
    logits, fixed = torch.tensor(ours).log(), torch.tensor(theirs).log()
    labels = torch.zeros(len(ours), dtype=torch.long)
    assert float(LOGIT_LOSSES[loss](logits, fixed, labels, 1.0)) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("loss", LOGIT_LOSSES)
def test_a_logit_loss_softens_by_the_temperature(loss: str) -> None:
    """At temperature T the loss is T^2 times that of logits divided by T, with hard_weight 0."""
    logits, fixed, labels = torch.tensor(STUDENTS).log(), torch.tensor(TEACHERS).log(), torch.tensor([0, 2])
    expected = 16 * LOGIT_LOSSES[loss](logits / 4, fixed / 4, labels, 1.0)
    assert distillation_loss(logits, fixed, labels, 4.0, 0.0, loss) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("loss", LOGIT_LOSSES)
def test_a_loss_has_finite_gradients_where_nothing_varies(loss: str) -> None:
    """Equal logits for every class and example, and a teacher sure beyond rounding, give finite gradients."""
    logits = torch.zeros(3, 4, requires_grad=True)
    fixed = torch.tensor([[200.0, 0.0, 0.0, 0.0]] * 3)
    distillation_loss(logits, fixed, torch.tensor([0, 0, 1]), 1.0, 0.5, loss).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_teachers_are_averaged_in_probability() -> None:
    """Probabilities (0.8, 0.2) and (0.4, 0.6) average to (0.6, 0.4), whatever was added to the logits."""
    logits = [torch.tensor([[0.8, 0.2]]).log() + 7, torch.tensor([[0.4, 0.6]]).log()]
    assert mean_logits(logits).exp()[0].tolist() == pytest.approx([0.6, 0.4])


# Teacher: a triangle of sides 3, 4, 5, in its mean 0.75, 1, 1.25, cosines 0, 0.6, 0.8. Student: sides 1, 1, sqrt 2, in
# their mean 0.878680, 0.878680, 1.242641, cosines 0, 0.707107, 0.707107. Huber below 1 is half the square.
TRIANGLE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
CORNER = torch.tensor([[0.0, 0.0, 5.0], [1.0, 0.0, 5.0], [0.0, 1.0, 5.0]])
DISTANCE = (0.128680**2 + 0.121320**2 + 0.007359**2) / 2 / 3
ANGLE = (0.107107**2 + 0.092893**2) / 27


def test_relations_are_the_papers() -> None:
    """The relational loss is 1 x distances + 2 x angles, and knows neither scale, turn nor width."""
    assert float(distance_loss(CORNER, TRIANGLE)) == pytest.approx(DISTANCE, rel=1e-4)
    assert float(angle_loss(CORNER, TRIANGLE)) == pytest.approx(ANGLE, rel=1e-4)
    assert float(relational_loss(CORNER, TRIANGLE)) == pytest.approx(DISTANCE + 2 * ANGLE, rel=1e-4)
    assert float(relational_loss(-3 * TRIANGLE.flip(1), TRIANGLE)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("count", [1, 4])
def test_relations_of_equal_examples_have_finite_gradients(count: int) -> None:
    """A batch of one, or of equal examples, has a finite relational loss with finite gradients."""
    features = torch.ones(count, 3, requires_grad=True)
    loss = relational_loss(features, torch.eye(4)[:count])
    loss.backward()
    assert features.grad is not None
    assert loss.isfinite()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize(("ours", "expected"), [([[0.0, 2.0]], 2.0), ([[5.0, 0.0]], 0.0), ([[-1.0, 0.0]], 4.0)])
def test_a_hint_compares_directions(ours: list[list[float]], expected: float) -> None:
    """Features at a right angle cost 2, parallel ones nothing, opposite ones 4, whatever their lengths."""
    assert float(hint_loss(torch.tensor(ours), torch.tensor([[3.0, 0.0]]))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shape", "expected"), [((1, 2, 1, 2), [0.5, 2.5]), ((1, 2, 2), [1.0, 2.0]), ((1, 4), [0.0, 1.0, 2.0, 3.0])]
)
def test_features_are_averaged_over_positions(shape: tuple[int, ...], expected: list[float]) -> None:
    """Maps (N, C, H, W) and tokens (N, T, C) become (N, C); what has no positions stays."""
    assert average_positions(torch.arange(4.0).reshape(shape))[0].tolist() == expected


def test_an_unknown_layer_is_named() -> None:
    """A layer nobody has, on either side, is refused with some that exist."""
    with pytest.raises(ModelError, match=r"no layer '1\.convv' to listen to; name one of 0, 1, 1\.conv, 1\.fc"):
        layer_features(teacher(), "1.convv", torch.zeros(1, 1, 8, 8))
    with (
        pytest.raises(ModelError, match=r"no layer 'blocks' to listen to; name one of 0, 1, 1\.conv"),
        project_student(student(), "blocks", 6, torch.zeros(1, 1, 8, 8), 0),
    ):
        pass


def test_a_projection_leaves_no_trace(tmp_path: Path) -> None:
    """After training with hints the student has its own tensors only, no hook, and has learned twice the same."""
    one, other, source = student(), student(), feed()
    names, random = list(one.state_dict()), torch.random.get_rng_state()
    losses = hinted(one, source, tmp_path / "one.safetensors")
    assert hinted(other, source, tmp_path / "other.safetensors") == losses
    assert losses[1] < losses[0]
    assert list(one.state_dict()) == names
    assert not any(module._forward_hooks for module in one.modules())  # noqa: SLF001 - torch shows them nowhere else
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_hints_reach_the_listened_layer() -> None:
    """The loss on features alone has gradients in the student's layer and in the projection."""
    module = student()
    objective = add_feature_loss(lambda model, batch: 0 * model(batch[0]).sum(), 1.0)
    with project_student(module, LAYER, 6, torch.zeros(1, 1, 8, 8), 0) as learner:
        objective(learner, next(feed(1).epoch(0, 50))).backward()
        for weight in (module.get_submodule(LAYER).weight, learner.projection.weight):
            assert isinstance(weight, Tensor)
            assert weight.grad is not None
            assert float(weight.grad.abs().sum()) > 0


def test_a_batch_carries_what_was_asked() -> None:
    """Every image comes with its label, and the teacher's logits and features of the very view it is shown in."""
    asked = teacher()
    images, labels, logits, features = next(feed().epoch(1, 50))
    assert (labels.shape, logits.shape, features.shape) == ((50,), (50, 10), (50, 6))
    assert torch.allclose(asked(images), logits, atol=1e-4)
    assert torch.allclose(average_positions(asked.get_submodule(LAYER)(asked[0](images))), features, atol=1e-3)


def test_a_teacher_is_asked_once(tmp_path: Path) -> None:
    """The same images are answered from disk; other images and other questions are asked."""
    images, calls = torch.zeros(2, 1, 2, 2, dtype=torch.uint8), []

    def ask(images_NCHW: Tensor) -> Tensor:
        calls.append(len(images_NCHW))
        return images_NCHW.float().sum((1, 2, 3))

    logits, features = (
        cache_outputs(ask, tmp_path / "teacher"),
        cache_outputs(ask, tmp_path / "teacher", "features_NC of 1.conv"),
    )
    for _ in range(2):
        assert logits(images).tolist() == features(images).tolist() == [0.0, 0.0]
        assert logits(images[:1] + 1).tolist() == [4.0]
    assert calls == [2, 2, 1]
    logits(images.reshape(1, 1, 2, 4))
    assert calls == [2, 2, 1, 1]  # the same bytes in another shape are another question


def test_half_of_the_images_lose_a_square() -> None:
    """Of white 10x10 images about half lose exactly one 3x3 square, the same for the same generator."""
    images = torch.full((400, 2, 10, 10), 255, dtype=torch.uint8)
    found = erase(images, torch.Generator().manual_seed(1))
    lost_N = (found == 0).sum((1, 2, 3))
    assert set(lost_N.tolist()) == {0, 18}
    assert 0.4 < float((lost_N > 0).float().mean()) < 0.6
    rows_N, columns_N = ((found == 0).any(axis).any(1).sum(1) for axis in (3, 2))
    assert set(rows_N.tolist()) == set(columns_N.tolist()) == {0, 3}
    assert torch.equal(found, erase(images, torch.Generator().manual_seed(1)))


def test_erasing_changes_pixels_only() -> None:
    """With erase a labelled feed has the same order and labels, and repeats itself by (seed, epoch)."""
    feeds = [
        LabelledBatches(load_examples(built_digits(), "train"), 3, augment=True, resolutions=None, erase=erase)
        for erase in (False, True, True)
    ]
    for plain, one, other in zip(*(source.epoch(1, 64) for source in feeds), strict=True):
        assert torch.equal(plain[1], one[1])
        assert torch.equal(one[0], other[0])
        assert bool((one[0] != plain[0]).any())
        assert bool(((one[0] == plain[0]) | (one[0] == 0)).all())


def test_a_blend_is_mostly_its_own_image() -> None:
    """Each blended image lies between its own and another one, never nearer to the other, and in bytes."""
    images = torch.tensor([[[[0]]], [[[100]]], [[[200]]]], dtype=torch.uint8).repeat(200, 1, 1, 1)
    mixed = mix_up(images, torch.Generator().manual_seed(3))
    assert mixed.dtype == torch.uint8
    moved = (mixed.float() - images.float()).abs().flatten()
    assert 0 < moved.mean() < moved.max() <= 100
    assert torch.equal(mixed, mix_up(images, torch.Generator().manual_seed(3)))


def test_the_teacher_is_asked_about_blends_too() -> None:
    """Blends follow the views as further views, each another one, with the teacher's answers to what it was shown."""
    asked = teacher()
    options = logit_distillation(mixup_views=2, hard_weight=0)
    found = CLASSIFIER.distillation_batches(lambda images: (teacher_logits(asked, images),), 17, options, Witness())
    images = View(found.views[0], 17, 0)[:]
    expected = [images, Blend(images, 17, 0)[:], Blend(images, 17, 1)[:]]
    for view, shown in enumerate(expected):
        assert torch.equal(found.views[view], shown)
        assert torch.equal(found.answers[0][view], teacher_logits(asked, shown))
    assert not torch.equal(expected[1], expected[2])
