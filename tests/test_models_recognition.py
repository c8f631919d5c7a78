"""The networks of speech recognition, their batches and their losses."""

import numpy as np
import pytest
import torch
from torch import nn

from stillhouse.models.augmentation.respeak import change_pace, hide, respeak
from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.distillation.frames import ctc_loss, frame_loss, spoken_frames
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.recognition.bank import LogBank
from stillhouse.models.networks.recognition.conformer import Conformer
from stillhouse.models.networks.recognition.listener import Listener
from stillhouse.models.training.muon import Muon
from stillhouse.models.workloads.speech_recognition.batches import (
    PLAIN_EPOCHS,
    TranscribedBatches,
    answer,
    ask_about_takes,
)
from stillhouse.models.workloads.speech_recognition.lengths import GRAIN, TAIL, group_equal, group_similar, pad_together
from stillhouse.models.workloads.speech_recognition.listening import LONGEST, cut

FRAME = 640
"""Samples of a frame of both networks: 40 ms."""


def _networks() -> list[nn.Module]:
    torch.manual_seed(3)
    return [
        Conformer(letters=5, width=16, heads=2, hidden=32, kernel=5, depth=1, bands=8).eval(),
        Listener(letters=5, bands=8, hop=160, stem=[8, 12], widths=[12, 16], kernel=5).eval(),
    ]


def _speech(*seconds: float) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    return [generator.normal(0, 3000, int(SAMPLE_RATE * each)).astype(np.int16) for each in seconds]


@pytest.mark.parametrize("number", [0, 1])
def test_a_recording_of_any_length_has_25_frames_a_second(number: int) -> None:
    """The logits have one row for each 40 ms."""
    network = _networks()[number]
    for samples in (GRAIN, 3 * GRAIN, 20 * GRAIN):
        assert network(torch.zeros(1, samples)).shape == (1, samples // FRAME + 1, 5)


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_causal_network_knows_nothing_of_later_sound(ahead: int) -> None:
    """What comes later than it looks ahead changes no earlier letters, and the number of frames stays."""
    torch.manual_seed(3)
    network = Listener(
        letters=5, bands=8, hop=160, stem=[8, 12], widths=[12, 12], kernel=5, causal=True, ahead=ahead
    ).eval()
    samples_1T = torch.randn(1, 4 * GRAIN) * 1000
    later_1T = samples_1T.clone()
    later_1T[:, 2 * GRAIN :] = 0
    first, other = network(samples_1T), network(later_1T)
    assert first.shape == (1, 4 * GRAIN // FRAME + 1, 5)
    heard = 2 * GRAIN // FRAME - ahead
    assert torch.allclose(first[:, :heard], other[:, :heard], atol=1e-5)
    assert not torch.allclose(first[:, heard + 1], other[:, heard + 1], atol=1e-2)


def test_only_a_causal_network_looks_ahead() -> None:
    """Any other network hears all that follows, so the argument is refused."""
    with pytest.raises(ModelError, match="ahead 2 needs causal: true"):
        Listener(letters=5, bands=8, hop=160, stem=[8], widths=[8], kernel=5, ahead=2)


def test_heads_must_divide_the_width() -> None:
    """A wrong number of heads ends in a sentence that names both numbers."""
    with pytest.raises(ModelError, match="heads 3 must divide width 16"):
        Conformer(letters=5, width=16, heads=3, hidden=32, kernel=5, depth=1)


def test_a_network_gives_the_same_letters_in_any_batch() -> None:
    """The answer to a recording does not depend on the recordings of its batch."""
    speech = _speech(0.5, 0.52, 1.4)
    for network in _networks():
        alone = [answer(network, [each])[0] for each in speech]
        together = answer(network, speech)
        for one, other in zip(alone, together, strict=True):
            assert np.abs(one - other).max() < 1e-4


def test_recordings_are_padded_to_whole_grains_with_a_tail() -> None:
    """Silence fills a batch, and every recording has some at its end."""
    padded_NT = pad_together(_speech(0.3, 1.0))
    assert padded_NT.shape == (2, 4 * GRAIN)
    assert not padded_NT[:, -TAIL:].any()


def test_equal_lengths_share_batches_and_all_places_occur_once() -> None:
    """Both groupings divide the recordings without rest, within the limit."""
    speech = _speech(*np.linspace(0.2, 3.0, 40))
    most = 4 * SAMPLE_RATE
    for batches in (
        group_equal(speech, most),
        group_similar(np.array([len(each) for each in speech]), most, np.random.default_rng(2)),
    ):
        assert sorted(place for batch in batches for place in batch) == list(range(40))
        assert all(pad_together([speech[place] for place in batch]).size <= most for batch in batches)


def test_an_epoch_is_the_same_at_every_call_and_differs_from_the_next() -> None:
    """Batches depend on the seed and the number of the epoch only, so that training can go on after a kill."""
    feed = TranscribedBatches(_speech(0.4, 0.8, 0.6), torch.tensor([[1, 2], [3, 0], [4, 4]]), 7, augment=True)
    first, again, second = (list(feed.epoch(PLAIN_EPOCHS + number, 1)) for number in (0, 0, 1))
    assert all(torch.equal(one[0], other[0]) for one, other in zip(first, again, strict=True))
    assert not all(
        one[0].shape == other[0].shape and torch.equal(one[0], other[0])
        for one, other in zip(first, second, strict=False)
    )


def test_the_first_epochs_hear_the_recordings_as_they_are() -> None:
    """Before a network knows letters, each recording comes unchanged."""
    speech = _speech(0.4, 0.8)
    feed = TranscribedBatches(speech, torch.tensor([[1], [2]]), 7, augment=True)
    for samples_BT, letters_NL in feed.epoch(PLAIN_EPOCHS - 1, 1):
        assert len(samples_BT) == len(letters_NL)
        for row_T, (letter,) in zip(samples_BT, letters_NL.tolist(), strict=True):
            assert torch.equal(row_T[: len(speech[letter - 1])], torch.from_numpy(speech[letter - 1]).float())


def test_takes_hold_the_answers_of_the_teacher_to_them() -> None:
    """The first take is the recordings themselves. Every batch pairs samples with the answers to just these samples."""
    speech, told = _speech(0.4, 0.8), list[str]()
    taught = ask_about_takes(
        speech, torch.tensor([[1, 2], [3, 0]]), 2, lambda samples_NT: (samples_NT[:, None, :4].float(),), 7, told.append
    )
    assert told == ["asking the teacher, take 1/2", "asking the teacher, take 2/2"]
    for epoch in range(2):
        for samples_BT, _, teacher_BFV in taught.epoch(epoch, 1):
            assert torch.equal(samples_BT[:, None, :4].half(), teacher_BFV.half())
    firsts = {tuple(samples_BT[0, :4].tolist()) for samples_BT, _, _ in taught.epoch(0, 1)}
    assert firsts == {tuple(map(float, each[:4])) for each in speech}


def test_another_take_keeps_the_loudness_and_changes_the_length() -> None:
    """A take is as long as its pace says, at most as loud as before, and of whole 16-bit numbers."""
    (speech,) = _speech(1.0)
    lengths = set()
    for seed in range(8):
        taken = respeak(speech, np.random.default_rng(seed))
        lengths.add(len(taken))
        assert taken.dtype == np.int16
        assert np.abs(taken.astype(int)).max() <= np.abs(speech.astype(int)).max() + 1
        assert 0.8 * len(speech) < len(taken) < 1.25 * len(speech)
    assert len(lengths) > 1


def test_a_faster_pace_shortens() -> None:
    """Twice as fast is half as long."""
    ramp = np.arange(100, dtype=np.float32)
    assert change_pace(ramp, 2.0).tolist() == ramp[::2].tolist()


def test_hidden_moments_are_silent() -> None:
    """Some moments of a hidden recording are zero, and its length stays."""
    (speech,) = _speech(2.0)
    hidden = hide(speech, np.random.default_rng(4))
    assert len(hidden) == len(speech)
    assert (hidden == 0).mean() > 0.005


def test_the_loss_is_that_of_torch_per_letter() -> None:
    """A network that is sure of the right letters has a small loss, a wrong one a large one."""
    letters_NL = torch.tensor([[1, 2, 0]])
    right_NFV = torch.zeros(1, 4, 4)
    right_NFV[0, [0, 1, 2, 3], [1, 0, 2, 0]] = 12.0
    assert ctc_loss(right_NFV, letters_NL) < 1e-3
    assert ctc_loss(right_NFV, torch.tensor([[3, 3, 0]])) > 3
    assert ctc_loss(torch.zeros(1, 2, 4), torch.tensor([[1, 1, 1]])) == 0


def test_frames_beside_spoken_ones_count_as_spoken() -> None:
    """One frame before and one after a letter are chosen on both sides of it."""
    chances_NFV = torch.zeros(1, 6, 3)
    chances_NFV[:, :, 0] = 1.0
    chances_NFV[0, 2] = torch.tensor([0.1, 0.9, 0.0])
    assert spoken_frames(chances_NFV)[0].tolist() == [False, True, True, True, False, False]


def test_a_student_like_its_teacher_has_no_loss() -> None:
    """The loss is 0 for equal logits, and above 0 for others."""
    teacher_NFV = torch.randn(2, 5, 4)
    assert frame_loss(teacher_NFV, teacher_NFV, 2.0) == pytest.approx(0, abs=1e-6)
    assert frame_loss(-teacher_NFV, teacher_NFV, 2.0) > 0.1


def test_a_long_recording_is_cut_where_it_is_quiet() -> None:
    """The pieces are at most as long as allowed, lose no sample, and end in silence."""
    (speech,) = _speech(30.0)
    for second in (9, 18, 27):
        speech[second * SAMPLE_RATE : second * SAMPLE_RATE + 4000] = 0
    pieces = cut(speech)
    assert [len(each) / SAMPLE_RATE for each in pieces] == pytest.approx([9.05, 9.05, 11.9], abs=0.01)
    assert all(len(each) <= LONGEST * SAMPLE_RATE for each in pieces)
    assert np.array_equal(np.concatenate(pieces), speech)


def test_muon_steps_along_linear_layers_but_the_last() -> None:
    """With `linear`, a matrix that is not the last gets a step of equal singular values."""
    torch.manual_seed(1)
    first, last = nn.Linear(8, 8, bias=False), nn.Linear(8, 3, bias=False)
    before = first.weight.detach().clone()
    muon = Muon([*first.parameters(), *last.parameters()], lr=0.1, weight_decay=0.0, adam=True, linear=True)
    last(first(torch.randn(4, 8))).square().sum().backward()
    assert first.weight.grad is not None
    slopes = torch.linalg.svdvals(first.weight.grad)[:3]
    muon.step()
    steps = torch.linalg.svdvals(first.weight.detach() - before)[:3]
    assert steps.max() / steps.min() < slopes.max() / slopes.min() / 2
    assert [len(group["params"]) for group in muon.param_groups[:3]] == [0, 1, 1]


def test_layers_of_one_shape_step_as_if_each_were_alone() -> None:
    """Orthogonalizing several layers together gives each the step that it gets alone."""
    torch.manual_seed(1)
    layers = [nn.Linear(6, 6, bias=False), nn.Linear(6, 4, bias=False), nn.Linear(6, 6, bias=False)]
    last = nn.Linear(4, 2, bias=False)
    alone = []
    for layer in layers:
        layer.weight.grad = torch.randn_like(layer.weight)
        single = nn.Parameter(layer.weight.detach().clone())
        single.grad = layer.weight.grad.clone()
        Muon([single, last.weight], lr=0.1, weight_decay=0.5, adam=True, linear=True).step()
        alone.append(single)
    weights = [layer.weight for layer in layers]
    Muon([*weights, last.weight], lr=0.1, weight_decay=0.5, adam=True, linear=True).step()
    for together, single in zip(weights, alone, strict=True):
        torch.testing.assert_close(together, single)


def test_training_in_bf16_hears_quiet_sounds() -> None:
    """The filter bank computes in fp32 under autocast, so its levels do not change."""
    bank = LogBank(8, 160, 400)
    samples_1T = torch.from_numpy(_speech(0.5)[0][None])
    with torch.autocast("cpu", torch.bfloat16):
        levels = bank(samples_1T)
    assert torch.equal(levels, bank(samples_1T))
