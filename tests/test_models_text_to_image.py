"""Text to image: the sampler, the networks, prompts and pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stillhouse.models.errors import ModelError
from stillhouse.models.networks.generation.denoiser import SPREAD, Denoiser, groups_of, precondition
from stillhouse.models.workloads.text_to_image.batches import PromptedBatches, by_key
from stillhouse.models.workloads.text_to_image.components import Denoiser as DenoiserComponent
from stillhouse.models.workloads.text_to_image.components import encoder_architecture
from stillhouse.models.workloads.text_to_image.flow import Rows, Sampler, noise_of, path, raw, sample, scaled, states_of
from stillhouse.models.workloads.text_to_image.judging.guidance import Found, best_guidance
from stillhouse.models.workloads.text_to_image.judging.judges import open_judges
from stillhouse.models.workloads.text_to_image.judging.png import grid_of, png_of
from stillhouse.models.workloads.text_to_image.judging.shown import shown
from stillhouse.models.workloads.text_to_image.objectives import vector_objective
from stillhouse.models.workloads.text_to_image.paths.settings import settings_of
from stillhouse.models.workloads.text_to_image.prompts import Prompts, keys_of, style_names
from stillhouse.models.workloads.text_to_image.runtime import prompt_of
from stillhouse.models.workloads.text_to_image.scoring import expect_variety

NOISE = np.array([[1.0, -1.0]], np.float32)
CONDITION = np.array([[3.0]], np.float32)


def _constant(states_NK: Rows) -> Rows:
    """Return the condition as the velocity of both pixels."""
    return np.repeat(states_NK[:, 3:], 2, axis=1)


def _moment(states_NK: Rows) -> Rows:
    """Return the moment as the velocity of both pixels."""
    return np.repeat(states_NK[:, 2:3], 2, axis=1)


@pytest.mark.parametrize(
    ("velocity", "sampler", "moved"),
    [
        (_constant, Sampler(1), 3.0),
        (_constant, Sampler(4), 3.0),
        (_constant, Sampler(2, guidance=2.0), 6.0),
        (_constant, Sampler(2, guidance=0.0), 0.0),
        (_moment, Sampler(1), 0.0),
        (_moment, Sampler(2), 0.25),
        (_moment, Sampler(1, solver="heun"), 0.0),
        (_moment, Sampler(4, solver="heun"), 0.46875),
        (_moment, Sampler(4, guidance=3.0, solver="heun"), 0.46875),
    ],
)
def test_the_sampler_follows_the_velocity(velocity: object, sampler: Sampler, moved: float) -> None:
    """Heun moves as the integral says, but in its last step. Guidance stretches what depends on the condition."""
    moved_NP = sample(velocity, NOISE, CONDITION, sampler)  # type: ignore[arg-type]
    np.testing.assert_allclose(moved_NP, NOISE + moved, rtol=1e-6)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_the_sampler_leaves_no_noise_on_its_way_to_a_known_picture(solver: str) -> None:
    """A velocity that points to one picture, and knows nothing more when it is there, ends at that picture."""
    picture_NP = np.full_like(NOISE, 0.25)

    def velocity(states_NK: Rows) -> Rows:
        pixels_NP, moments_N1 = states_NK[:, : NOISE.shape[1]], states_NK[:, NOISE.shape[1], None]
        left_N1 = 1 - moments_N1
        return np.where(left_N1 > 0, (picture_NP - pixels_NP) / np.maximum(left_N1, 1e-6), picture_NP)

    found_NP = sample(velocity, NOISE, CONDITION, Sampler(4, solver=solver))  # type: ignore[arg-type]
    np.testing.assert_allclose(found_NP, picture_NP, atol=1e-6)


def test_a_path_has_one_point_for_each_step() -> None:
    """The last point of the path is the picture."""
    points = list(path(_constant, NOISE, CONDITION, Sampler(3)))
    assert [float(point[0, 0]) for point in points] == pytest.approx([2.0, 3.0, 4.0])


def test_noise_depends_on_the_seed_alone() -> None:
    """The same seed gives the same noise in any company."""
    np.testing.assert_array_equal(noise_of([5], 4)[0], noise_of([1, 5], 4)[1])
    assert not np.array_equal(*noise_of([1, 5], 4))


def test_a_raw_picture_survives_scaling() -> None:
    """Scaling to -1 to 1 and back changes no pixel, and what lies outside is cut."""
    images_NCHW = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    np.testing.assert_array_equal(raw(scaled(images_NCHW)).reshape(images_NCHW.shape), images_NCHW)
    np.testing.assert_array_equal(raw(np.array([[-3.0, 3.0]], np.float32)), [[0, 255]])


def _denoiser(**changes: object) -> Denoiser:
    torch.manual_seed(1)
    arguments = {"widths": [8, 12], "depths": [1, 1, 1], "embedding": 8, "steps": 2, "dimension": 3}
    return Denoiser(**{**arguments, "image_shape": (1, 8, 8), **changes}).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 12)])
def test_a_denoiser_answers_with_a_picture(shape: tuple[int, int, int]) -> None:
    """The velocity has as many numbers as the picture, grey or in colours."""
    pixels = int(np.prod(shape))
    assert _denoiser(image_shape=shape)(torch.zeros(2, pixels + 1 + 3)).shape == (2, pixels)


def test_a_canvas_draws_each_place_by_itself() -> None:
    """What the canvas adds to a picture differs from place to place, and depends on the condition."""
    network, generator = _denoiser(canvas=2), torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    states_2K = torch.cat([torch.zeros(2, 65), torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])], dim=1)
    drawn_2P = network(states_2K)
    network.canvas[0].weight.data.zero_()
    added_2P = drawn_2P - network(states_2K)
    assert added_2P.std(1).min() > 0.001
    assert not torch.allclose(added_2P[0], added_2P[1], atol=0.001)


def test_a_denoiser_reads_picture_moment_and_condition() -> None:
    """A change in any of the three parts of the state changes the velocity."""
    network, generator = _denoiser(), torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    state_1K = torch.randn(1, 64 + 1 + 3, generator=generator)
    before = network(state_1K)
    for place in (0, 64, 66):
        changed_1K = state_1K.clone()
        changed_1K[:, place] += 1
        assert not torch.allclose(network(changed_1K), before, atol=1e-4), place


@pytest.mark.parametrize(("width", "groups"), [(8, 8), (12, 6), (7, 7), (13, 1), (64, 8)])
def test_groups_divide_the_width(width: int, groups: int) -> None:
    """A norm has the most groups, up to eight, that divide its channels."""
    assert groups_of(width) == groups


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.5, 1.0])
def test_the_linear_guess_leaves_no_correlation(moment: float) -> None:
    """What the guess misses of the velocity has the expected spread, and does not depend on the pixels."""
    generator = torch.Generator().manual_seed(1)
    noise_P, picture_P = (torch.randn(400_000, generator=generator) for _ in range(2))
    picture_P = picture_P * SPREAD
    pixels_P = torch.lerp(noise_P, picture_P, moment)
    guess_N1, shrink_N1 = precondition(torch.tensor([[moment]]))
    missed_P = (picture_P - noise_P - guess_N1[0] * pixels_P) / (SPREAD * shrink_N1[0])
    both_2P = torch.stack([pixels_P * shrink_N1[0], missed_P])
    assert torch.allclose(both_2P.cov(), torch.eye(2), atol=0.01)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ({1.0: (0.97, 3.0), 1.5: (0.98, 2.0), 2.0: (0.99, 4.0)}, 1.5),
        ({1.0: (0.90, 1.0), 1.5: (0.97, 2.0), 2.0: (0.99, 4.0)}, 1.5),
        ({1.0: (0.90, 1.0), 1.5: (0.94, 2.0), 2.0: (0.95, 4.0)}, 2.0),
    ],
)
def test_the_best_guidance_is_the_nearest_that_obeys(found: dict[float, tuple[float, float]], chosen: float) -> None:
    """Pictures that do not show what was asked for are never the best, however near to real ones they are."""
    assert best_guidance({guidance: Found(*each) for guidance, each in found.items()}) == chosen


@pytest.mark.parametrize(
    ("extra", "named"), [({"guidance": 2.0}, "guidance"), ({"solver": "heun"}, "solver"), ({"centre": -1.0}, "centre")]
)
def test_a_student_takes_plain_steps(extra: dict[str, object], named: str) -> None:
    """A student's denoiser is trained in its own plain steps, so a recipe that wants others is refused."""

    class Named:
        name = "denoiser"
        arguments = {"widths": [8, 8], "depths": [1, 1, 1], "embedding": 8, "steps": 2, **extra}  # noqa: RUF012 - a stand-in

    with pytest.raises(ModelError, match=f"takes plain steps, so it has no {named}; remove that argument"):
        DenoiserComponent(Path(), Path(), Path()).architecture(Named())  # type: ignore[arg-type]


def test_the_loss_of_equal_vectors_is_nothing() -> None:
    """A text encoder that gives the teacher's vectors has no loss."""
    vectors_BD = torch.eye(3)
    assert float(vector_objective()(nn.Identity(), (vectors_BD, torch.zeros(3), vectors_BD))) == pytest.approx(0)


def test_a_picture_is_learned_with_a_prompt_of_its_class() -> None:
    """Every batch pairs pictures with prompts of their classes; the same epoch gives the same batches."""
    labels_N = np.array([0, 1, 1, 0, 1])
    feed = PromptedBatches(
        torch.arange(5).view(5, 1, 1, 1), torch.from_numpy(labels_N),
        torch.arange(4)[:, None] * 10, by_key(np.array([0, 1, 0, 1])), 3,
    )  # fmt: skip
    batches = list(feed.epoch(1, 2))
    assert len(batches) == feed.batches_per_epoch(2) == 3
    for _, labels_B, codes_BL, noise_BP, moments_B1, asked_B1 in batches:
        assert [int(code) // 10 % 2 for code in codes_BL[:, 0]] == labels_B.tolist()
        assert noise_BP.shape == moments_B1.shape == asked_B1.shape
        assert ((moments_B1 > 0) & (moments_B1 < 1)).all()
    again = list(feed.epoch(1, 2))
    assert all(
        torch.equal(a, b) for one, two in zip(batches, again, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_a_lower_centre_has_more_noise() -> None:
    """Half of the moments are below the logistic function of the centre."""
    same_N = torch.zeros(4_000, dtype=torch.int64)
    feed = PromptedBatches(same_N[:, None, None, None], same_N, same_N[:1, None], {0: same_N[:1]}, 3, -1.5)
    moments_N1 = next(iter(feed.epoch(0, 4_000)))[4]
    assert float(moments_N1.median()) == pytest.approx(1 / (1 + np.exp(1.5)), abs=0.01)


def test_prompts_are_chosen_by_label() -> None:
    """Each label gets a prompt of its own, and all prompts are used."""
    prompts = Prompts(["a", "b", "c", "d"], np.array([1, 0, 1, 0]), np.array([1, 0, 1, 0]))
    labels_N = np.array([0, 1] * 50)
    places_N = prompts.choose(labels_N, np.random.default_rng(1))
    np.testing.assert_array_equal(prompts.labels_N[places_N], labels_N)
    assert set(places_N) == {0, 1, 2, 3}


def test_prompts_are_spread_over_all_keys() -> None:
    """Each key has as many of the chosen prompts as any other."""
    prompts = Prompts(["a", "b", "c", "d"], np.array([4, 0, 4, 2]), np.array([40, 3, 41, 20]))
    assert np.bincount(prompts.spread(8, np.random.default_rng(1))).tolist() == [2, 2, 2, 2]


def test_class_and_style_are_one_number() -> None:
    """Two pictures have one key if they share class and style; without styles the key is the class."""
    labels_N, styled = np.array([0, 0, 1]), {"name": "icons", "styles": ["thin", "bold"], "labels": ["cat", "dog"]}
    keys_N = keys_of(labels_N, ["bold", "thin", "bold"], styled)
    assert keys_N.tolist() == [1, 0, 3]
    assert style_names(keys_N, styled) == ["bold", "thin", "bold"]
    plain = {"name": "icons", "labels": ["cat", "dog"]}
    assert keys_of(labels_N, [], plain).tolist() == [0, 0, 1]
    assert style_names(labels_N, plain) == ["cat", "cat", "dog"]
    with pytest.raises(ModelError, match="icons has no style 'round'; build the dataset again"):
        keys_of(labels_N, ["thin", "round", "thin"], styled)


@pytest.mark.parametrize(
    ("classes", "place", "is_shown"),
    [(10, 0, True), (10, 1, False), (40, 3, True), (40, 4, False), (1_500, 9, True), (1_500, 10, False), (2, 0, True)],
)
def test_what_is_seen_first_is_shown(classes: int, place: int, is_shown: bool) -> None:  # noqa: FBT001 - a table
    """A picture shows its class if fewer classes than a tenth of all, and than ten, are seen before it."""
    logits_NK = np.arange(classes, 0, -1, dtype=np.float32)[None]
    assert shown(logits_NK, np.array([place])).tolist() == [is_shown]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "is empty"),
        (" \t ", "is empty"),
        ("\u200b", "is empty"),
        (7, "is no text"),
        ({"seed": 1}, "is no text"),
        ({"text": "a bag", "seed": -1}, "the seed '-1' is no whole number from 0 to 4,294,967,295"),
        ({"text": "a bag", "seed": 2**32}, "is no whole number"),
        ({"text": "a bag", "seed": True}, "is no whole number"),
        ({"text": "a bag", "seed": "7"}, "is no whole number"),
    ],
)
def test_a_wrong_prompt_is_refused(prompt: object, said: str) -> None:
    """An empty prompt and a seed out of range end in one sentence."""
    with pytest.raises(ModelError, match=said):
        prompt_of(prompt)


@pytest.mark.parametrize("prompt", ["a bag", "x" * 10_000, "карман 包 🎒", {"text": "a bag", "seed": 7}])
def test_any_text_is_a_prompt(prompt: object) -> None:
    """Long texts and other scripts are prompts; a text without a seed has seed 0."""
    assert prompt_of(prompt)[1] == (7 if isinstance(prompt, dict) else 0)


@pytest.mark.parametrize(
    ("pixels_NP", "said"),
    [(np.full((4, 3), np.nan), "NaN or infinity"), (np.full((4, 3), 0.3), "the same picture of everything")],
)
def test_a_collapsed_training_is_caught(pixels_NP: np.ndarray, said: str) -> None:
    """Pictures that are not finite, or all the same, stop a training."""
    with pytest.raises(ModelError, match=said):
        expect_variety(pixels_NP.astype(np.float32))


def test_a_sound_training_is_not_stopped() -> None:
    """Pictures that differ pass."""
    expect_variety(np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32))


def test_a_picture_is_written_as_png(tmp_path: Path) -> None:
    """The file has the pixels of the picture, grey or in colours."""
    for channels in (1, 3):
        image_CHW = np.random.default_rng(1).integers(0, 256, (channels, 4, 5), dtype=np.uint8)
        (tmp_path / "it.png").write_bytes(png_of(image_CHW))
        with Image.open(tmp_path / "it.png") as read:
            levels = np.asarray(read)
        np.testing.assert_array_equal(levels, image_CHW[0] if channels == 1 else image_CHW.transpose(1, 2, 0))


def test_a_grid_has_every_picture() -> None:
    """Three pictures in two columns make two rows, with white between them."""
    images_NCHW = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
    sheet_CHW = grid_of(images_NCHW, 2)
    assert sheet_CHW.shape == (1, 5, 5)
    assert sheet_CHW[0, 0].tolist() == [0, 0, 255, 1, 1]
    assert sheet_CHW[0, 3].tolist() == [2, 2, 255, 255, 255]


class _Options:
    def __init__(self, settings: dict[str, object]) -> None:
        self.settings = settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pairs": 3}, "pairs"),
        ({"critic_weight": -1.0}, "critic_weight"),
        ({"gap_weight": -1.0}, "gap_weight"),
        ({"pears": 20}, "pears"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], said: str) -> None:
    """A setting that is unknown or out of range is refused by its name."""
    with pytest.raises(ModelError, match=rf"distillation\.settings\.{said}"):
        settings_of(_Options(settings))  # type: ignore[arg-type]


def test_a_text_encoder_of_another_dimension_is_refused() -> None:
    """The condition of a denoiser has 64 numbers."""

    class Named:
        name = "ngram_encoder"
        arguments = {"dimension": 32}  # noqa: RUF012 - a stand-in

    with pytest.raises(ModelError, match="dimension 32 cannot condition a denoiser; set its dimension to 64"):
        encoder_architecture(Named())  # type: ignore[arg-type]


def test_missing_judges_are_named(tmp_path: Path) -> None:
    """Without its judges, an export cannot be evaluated, and the message says what to do."""
    with pytest.raises(ModelError, match=r"frechet_judge\.onnx and no prompt_judge\.onnx; run the stage export again"):
        open_judges(tmp_path, 10)


def test_states_hold_their_three_parts() -> None:
    """A state is the picture, then the moment, then the condition."""
    assert states_of(NOISE, 0.5, CONDITION).tolist() == [[1.0, -1.0, 0.5, 3.0]]
