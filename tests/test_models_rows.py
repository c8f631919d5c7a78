"""Rows on disk are those of a tensor, and augmentations run where the examples are."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.flat_memory import SHAPE, peak_of
from stillhouse.models.augmentation.augment import draw_shifts, erase, flip, mix_up, shift
from stillhouse.models.augmentation.redraw import redrawn
from stillhouse.models.augmentation.resay import augment_speech
from stillhouse.models.augmentation.resound import mix_clips, resound
from stillhouse.models.distillation.batches import ask_about_views, seed_generator
from stillhouse.models.training.rows import Rows, parts_of

COUNT = 6
PICTURES = torch.arange(COUNT * 3 * 8 * 8).reshape(COUNT, 3, 8, 8).to(torch.uint8)
SOUNDS = torch.arange(COUNT * 40).reshape(COUNT, 40).to(torch.int16)
EVERY_SECOND = torch.arange(COUNT) % 2 == 0


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32, torch.int64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)], ids=["numbers", "vectors", "boxes"])
def test_rows_are_read_by_their_places_as_those_of_a_tensor(kind: torch.dtype, shape: tuple[int, ...]) -> None:
    """One row, a group, some rows of a group, and rows of several groups, in any order and twice, are equal."""
    groups = [(torch.randn(COUNT, *shape, generator=seed_generator(1, place)) * 50).to(kind) for place in range(3)]
    rows, whole = Rows(COUNT), torch.stack(groups)
    for group in groups:
        rows.append(group)
    assert rows.shape == whole.shape
    group_B, place_B = torch.tensor([2, 0, 2, 1]), torch.tensor([5, 0, 5, 3])
    for where in (0, (1, 2), (0, slice(1)), (0, place_B), (group_B, place_B)):
        assert torch.equal(rows[where], whole[where])
        assert rows[where].dtype == kind


@pytest.mark.parametrize("where", [3, (0, COUNT), (torch.tensor([3]), torch.tensor([0]))])
def test_rows_that_are_not_there_are_refused(where: object) -> None:
    """A place behind the last one is an error, as with a tensor, and never the bytes of another row."""
    rows = Rows(COUNT)
    for _ in range(3):
        rows.append(SOUNDS)
    with pytest.raises(IndexError):
        rows[where]


def test_rows_without_groups_are_those_of_one_long_tensor() -> None:
    """Rows that came in parts of any size are read across the parts."""
    rows = Rows()
    rows.append(SOUNDS[:2])
    rows.append(SOUNDS[2:])
    assert (len(rows), rows.shape) == (COUNT, SOUNDS.shape)
    assert torch.equal(rows[torch.tensor([5, 0, 2])], SOUNDS[[5, 0, 2]])
    assert torch.equal(torch.cat([rows[places] for places in parts_of(COUNT, 4)]), SOUNDS)


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a full disk names the folder of temporary files, because the file itself has no name."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Path("/dev/full").open("wb"))  # noqa: SIM115 - Rows closes it
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{tempfile.gettempdir()}'")):
        Rows().append(SOUNDS)


def test_all_views_lie_on_disk_and_one_at_a_time_in_memory() -> None:
    """A view is made after the view before it was asked about, and the batches have the teacher's answers to it."""
    events = list[str]()

    def make(view: int) -> Tensor:
        events.append(f"make {view}")
        return SOUNDS + view

    def ask(raw_N: Tensor) -> tuple[Tensor, ...]:
        events.append(f"ask {len(raw_N)}")
        return (raw_N[:, :2].float(), raw_N[:, None].float())

    views: list[Callable[[], Tensor]] = [lambda: make(0), lambda: make(1)]
    feed = ask_about_views(views, torch.arange(COUNT), ask, 7, lambda _: None, at_once=4)
    assert events == ["make 0", "ask 4", "ask 2", "make 1", "ask 4", "ask 2"]
    assert isinstance(feed.views, Rows)
    assert [answer.shape for answer in feed.answers] == [(2, COUNT, 2), (2, COUNT, 1, 40)]
    for epoch in range(2):
        for raw_B, labels_B, answers_BK, features_B1D in feed.epoch(epoch, 4):
            assert torch.equal(raw_B[:, :2], answers_BK)
            assert torch.equal(raw_B, features_B1D[:, 0])
            assert set((raw_B[:, 0] - labels_B * 40).tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    "augment",
    [
        lambda device: flip(PICTURES.to(device), EVERY_SECOND),
        lambda device: shift(PICTURES.to(device), *draw_shifts(COUNT, seed_generator(1, 2))),
        lambda device: erase(PICTURES.to(device), seed_generator(1, 2)),
        lambda device: mix_up(PICTURES.to(device), seed_generator(1, 2)),
        lambda device: redrawn(PICTURES.to(device), seed_generator(1, 2)),
        lambda device: resound(SOUNDS.to(device), seed_generator(1, 2)),
        lambda device: mix_clips(SOUNDS.to(device), seed_generator(1, 2)),
        lambda device: augment_speech(SOUNDS.to(device), seed_generator(1, 2)),
    ],
    ids=["flip", "shift", "erase", "mix up", "redraw", "resound", "mix clips", "resay"],
)
def test_an_augmentation_runs_where_the_examples_are(augment: Callable[[str], Tensor]) -> None:
    """The result lies on the device of the examples. `meta` is one, and torch refuses most sums over two devices."""
    there, here = augment("meta"), augment("cpu")
    assert there.device.type == "meta"
    assert (there.shape, there.dtype) == (here.shape, here.dtype)


@pytest.mark.long
def test_a_training_on_four_times_the_data_needs_no_more_memory() -> None:
    """Teacher and student train on shards of 50 and of 200 MB of pixels with the same peak, but for a tenth."""
    smaller, larger = (peak_of(times * 50 * 2**20 // (SHAPE[1] * SHAPE[2])) for times in (1, 4))
    assert larger < 1.1 * smaller
