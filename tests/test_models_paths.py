"""Text to image: the losses of a student of few steps, and of a teacher that predicts the picture."""

import math

import pytest
import torch
from torch import nn

from stillhouse.models.networks.generation.denoiser import Denoiser
from stillhouse.models.networks.generation.picture_judge import PictureJudge
from stillhouse.models.networks.pixels import Pixels
from stillhouse.models.workloads.text_to_image.flow import DIMENSION
from stillhouse.models.workloads.text_to_image.objectives import Generator, flow_objective
from stillhouse.models.workloads.text_to_image.paths.batches import SolvedBatches
from stillhouse.models.workloads.text_to_image.paths.gap import Gap
from stillhouse.models.workloads.text_to_image.paths.objective import Critic, EndLoss, end_objective


class _Towards(nn.Module):
    """A network whose velocity is a constant."""

    def __init__(self, steps: int, velocity: float) -> None:
        super().__init__()
        self.sampler = {"steps": steps, "guidance": 1.0, "solver": "euler"}
        self.velocity = nn.Parameter(torch.tensor(velocity))

    def forward(self, states_NK: torch.Tensor) -> torch.Tensor:
        return self.velocity.expand(len(states_NK), 4)


def _critic() -> Critic:
    torch.manual_seed(0)
    return Critic(nn.Sequential(Pixels(255.0, 1), PictureJudge([4], 4, classes=2)), (1, 2, 2))


@pytest.mark.parametrize(
    ("steps", "velocity", "loss"),
    [(1, 2.0, 0.0), (2, 2.0, 0.0), (1, 1.0, 1.0), (2, 1.0, (1.0 + 1.0) / 2), (1, 0.0, 4.0)],
)
def test_the_loss_is_the_distance_to_the_end(steps: int, velocity: float, loss: float) -> None:
    """Each step is measured at the end to which it points, from where the student's own step before it ended."""
    objective = end_objective(EndLoss(_critic(), 0.0))
    batch = (torch.zeros(3, 4), torch.zeros(3, 1), torch.full((3, 4), 2.0), torch.tensor(0))
    assert objective(_Towards(steps, velocity), batch).item() == pytest.approx(loss)


def test_the_critic_adds_to_the_loss_and_does_not_learn() -> None:
    """The loss grows by the error of the critic's maps, and only the student has a gradient."""
    critic, student = _critic(), _Towards(1, 0.5)
    batch = (torch.zeros(3, 4), torch.zeros(3, 1), torch.full((3, 4), 1.0), torch.tensor(0))
    loss = end_objective(EndLoss(critic, 1.0))(student, batch)
    loss.backward()
    assert loss.item() > end_objective(EndLoss(critic, 0.0))(student, batch).item()
    assert student.velocity.grad is not None
    assert all(parameter.grad is None for parameter in critic.network.parameters())


def _features(mean: float, spread: float, count: int = 2_000) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(int(10 * mean + 100 * spread))
    return [mean + spread * torch.randn(count, width, generator=generator) for width in (2, 3)]


@pytest.mark.parametrize(("mean", "spread"), [(1.0, 1.0), (0.0, 0.3), (0.0, 2.0), (-0.5, 0.5)])
def test_the_gap_moves_features_to_the_real_ones(mean: float, spread: float) -> None:
    """Steps against its gradient bring the mean and the spread of features to those of real pictures."""
    gap, maps = Gap(_features(0.0, 1.0)), [each.requires_grad_() for each in _features(mean, spread)]
    for _ in range(300):
        gap.restart()
        slopes = torch.autograd.grad(gap.loss(maps), maps)
        with torch.no_grad():
            for each_NC, slope_NC in zip(maps, slopes, strict=True):
                each_NC.sub_(20.0 * slope_NC)
    found = torch.cat(maps, dim=1).detach()
    assert found.mean(0) == pytest.approx(0, abs=0.1)
    assert found.std(0) == pytest.approx(1, abs=0.1)


def test_the_gap_of_an_epoch_does_not_depend_on_the_one_before() -> None:
    """The first batch of an epoch begins anew, so that a training that was killed goes on as it would have gone."""
    student = _Towards(1, 0.5)
    objective = end_objective(EndLoss(_critic(), 1.0, Gap([torch.randn(500, 4)]), 0.1))
    batches = [(torch.randn(20, 4), torch.zeros(20, 1), torch.randn(20, 4), torch.tensor(place)) for place in range(3)]
    first = [objective(student, batch).item() for batch in batches]
    assert [objective(student, batch).item() for batch in batches] == first


def test_a_few_pictures_have_no_gap() -> None:
    """Fewer pictures than twice the features give no covariance."""
    assert Gap(_features(0.0, 1.0)).loss([each[:2] for each in _features(1.0, 1.0)]).item() == 0


def test_a_denoiser_that_predicts_pictures_ends_at_one() -> None:
    """In one step from noise its pixels are from -1 to 1, whatever the noise was."""
    arguments = {"widths": (8, 8), "depths": (1, 1, 1), "embedding": 8, "steps": 1, "predicts": "picture"}
    module = Denoiser(**arguments, image_shape=(1, 4, 4), dimension=2)
    noise_NP = 5 * torch.randn(6, 16)
    states_NK = torch.cat([noise_NP, torch.zeros(6, 1), torch.randn(6, 2)], dim=1)
    picture_NP = noise_NP + module(states_NK)
    assert picture_NP.abs().max() <= 1 + 1e-5
    assert module(torch.cat([noise_NP, torch.ones(6, 1), torch.randn(6, 2)], dim=1)).isfinite().all()


def test_solved_paths_stay_together() -> None:
    """Noise, condition and end of a path are in the same row of a batch, and every path is in an epoch once."""
    rows = torch.arange(5.0)[:, None]
    seen = []
    for noise_BP, conditions_BD, ends_BP, number in SolvedBatches(rows, rows + 10, (rows + 20).half(), 1).epoch(0, 2):
        assert int(number) == len(seen) // 2
        assert torch.equal(noise_BP + 10, conditions_BD)
        assert torch.equal(noise_BP + 20, ends_BP)
        seen += noise_BP[:, 0].tolist()
    assert sorted(seen) == [0, 1, 2, 3, 4]


class _Predictor(nn.Module):
    """A denoiser that answers each state with the same velocity."""

    def __init__(self, predicts: str) -> None:
        super().__init__()
        self.predicts = predicts

    def forward(self, states_NK: torch.Tensor) -> torch.Tensor:
        """Return a velocity of 3 for each pixel."""
        return states_NK.new_full((len(states_NK), 4), 3.0)


@pytest.mark.parametrize(
    ("predicts", "moment", "loss"),
    [("velocity", 0.5, 4.0), ("velocity", 0.99, 4.0), ("picture", 0.5, 4.0), ("picture", 0.99, 4.0 * 0.2**2)],
)
def test_the_error_of_a_predicted_picture_counts_less_near_the_end(predicts: str, moment: float, loss: float) -> None:
    """The velocity is 1 in truth and 3 in the answer. The time left of a predicted picture counts as 0.05 or more."""
    networks = Generator({"text_encoder": nn.Embedding(3, 2), "denoiser": _Predictor(predicts)})
    white_BCHW, noise_BP = torch.full((5, 1, 2, 2), 255, dtype=torch.uint8), torch.zeros(5, 4)
    batch = white_BCHW, torch.zeros(5), torch.zeros(5, dtype=torch.int64), noise_BP, torch.full((5, 1), moment)
    found = flow_objective(())(networks, (*batch, torch.ones(5, 1)))
    assert float(found) == pytest.approx(loss, rel=1e-5)


def test_a_text_encoder_also_learns_which_class_and_style_a_prompt_names() -> None:
    """A reader that guesses among 3 classes and 2 styles adds log 3 and log 2; one that is right adds nothing."""
    parts = {"text_encoder": nn.Embedding(1, DIMENSION), "denoiser": _Predictor("velocity")}
    networks, white_BCHW = Generator(parts, answers=5), torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    batch = white_BCHW, torch.tensor([2 * 2 + 1]), torch.tensor([0]), torch.zeros(1, 4), torch.full((1, 1), 0.5)
    added = []
    for answers in ([0.0, 0, 0, 0, 0], [-9.0, -9, 9, -9, 9]):
        nn.init.zeros_(networks.reader.weight)
        networks.reader.bias.data = torch.tensor(answers)
        added.append(float(flow_objective((), 2)(networks, (*batch, torch.ones(1, 1))).detach()) - 4)
    assert added == pytest.approx([math.log(6), 0], abs=1e-5)
