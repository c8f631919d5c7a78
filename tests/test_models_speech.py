"""Recordings as inputs: what counts of them, how they are said anew, spelled and heard, and what is asked of them."""

import io

import numpy as np
import pytest
import soundfile
import torch
from data_samples import built_stamps_small
from tower_samples import SPEECH_SPELLING

from models.checkpoint import Architecture
from models.compression.spaces import anchored_and_spelled
from models.compression.spelling import spelling_loss
from models.errors import ModelError
from models.inputs.audio import SAMPLE_RATE
from models.inputs.letters import alphabet_of, letters_of
from models.inputs.misheard import as_heard
from models.inputs.resay import said_anew
from models.inputs.text import codes_of
from models.inputs.waves import LENGTH, LOUDEST, waves_of
from models.networks.speech import FilterBank
from models.ways import IMAGE, SPEECH, TEXT, load_role
from models.workloads.pairs import load_spoken
from models.workloads.retrieval import Towers

TEXT_TOWER = Architecture("ngram_tower", {"buckets": 97, "width": 8, "hidden": 8, "dimension": 16}, 1.0, ())


def tone(hertz: float, seconds: float, before: float = 0.0, loud: float = 0.5, rate: int = SAMPLE_RATE) -> bytes:
    """A WAV file of one tone, after some silence."""
    time_T = np.arange(int(seconds * rate)) / rate
    samples_T = np.concatenate([np.zeros(int(before * rate)), loud * np.sin(2 * np.pi * hertz * time_T)])
    stream = io.BytesIO()
    soundfile.write(stream, samples_T, rate, format="WAV")
    return stream.getvalue()


def test_a_recording_begins_with_its_first_sound() -> None:
    """Silence before it and its loudness do not count; it is filled up with silence."""
    soon, late = waves_of([tone(440, 0.5), tone(440, 0.5, before=0.7, loud=0.1)])
    assert soon.shape == (LENGTH,)
    assert np.abs(soon).max() == LOUDEST
    assert np.abs(soon.astype(int) - late)[: SAMPLE_RATE // 2].max() < 0.02 * LOUDEST
    assert not soon[SAMPLE_RATE * 6 // 10 :].any()


def test_a_long_recording_is_cut_off() -> None:
    """What comes after the window is not heard."""
    assert waves_of([tone(440, 4)])[0][-SAMPLE_RATE // 100 :].any()


@pytest.mark.parametrize(
    ("content", "reason"), [(tone(440, 1, loud=0), "silent"), (tone(440, 0.01), "lasts"), (b"RIFF", "cannot be read")]
)
def test_a_recording_that_says_nothing_is_refused(content: bytes, reason: str) -> None:
    """Silence, a click and a broken file are each named."""
    with pytest.raises(ModelError, match=reason):
        waves_of([content])


@pytest.mark.parametrize("hertz", [200, 1000, 4000])
def test_a_tone_is_loudest_in_its_own_band(hertz: float) -> None:
    """Bands are ordered by pitch, evenly in mel, from 60 to 7,600 hertz."""
    levels_BF = FilterBank(32, 160)(torch.from_numpy(waves_of([tone(hertz, 1)])))[0]
    low, high, heard = (2595 * np.log10(1 + f / 700) for f in (60, 7600, hertz))
    expected = (heard - low) / (high - low) * 33 - 1
    assert abs(int(levels_BF[:, 20].argmax()) - expected) <= 1


def test_a_recording_is_said_anew_alike_from_one_seed() -> None:
    """The same seed says the same, another another; samples stay in 16 bits."""
    waves_NT = torch.from_numpy(waves_of([tone(440, 1)] * 3))
    one, again, other = (said_anew(waves_NT, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.abs().max() <= 32768


def test_a_letter_is_heard_in_order_and_mostly_right() -> None:
    """Of 4,000 letters one in seven is missed or mistaken; the others keep their order, each in a frame of its own."""
    letters_NL = torch.tensor([[1, 2, 3, 4, 0]] * 1000)
    heard_NF, sure_NF = as_heard(letters_NL, 20, 9, torch.Generator().manual_seed(1))
    right = [[letter for letter in row if letter in {1, 2, 3, 4}] for row in heard_NF.tolist()]
    assert heard_NF.shape == (1000, 20)
    assert 0.85 < sum(map(len, right)) / 4000 < 0.88
    assert sum(row == sorted(row) for row in right) > 900
    assert 0 <= sure_NF.min() <= sure_NF.max() <= 1
    assert not as_heard(letters_NL * 0, 20, 9, torch.Generator())[0].any()


def test_letters_that_do_not_fit_are_cut_off() -> None:
    """A long caption fills every frame."""
    heard_NF, _ = as_heard(torch.full((100, 30), 5), 12, 5, torch.Generator().manual_seed(1))
    assert heard_NF.shape == (100, 12)
    assert (heard_NF == 5).float().mean() > 0.8


def test_one_seed_is_heard_alike() -> None:
    """The same seed hears the same."""
    one, again = (as_heard(torch.ones(9, 4, dtype=torch.int64), 9, 3, torch.Generator().manual_seed(2)) for _ in "ab")
    assert all(map(torch.equal, one, again))


def test_recordings_and_captions_teach_one_tower() -> None:
    """Every part of the tower is taught, and how sure a written letter is changes the loss."""
    built = {each.takes: each.build_seeded(1) for each in (TEXT_TOWER, SPEECH_SPELLING)}
    towers, label = Towers(built, 3, 16, 1), torch.tensor([0, 1])
    text = torch.from_numpy(codes_of(["x", "y"])), label
    waves = torch.from_numpy(waves_of([tone(300, 1), tone(900, 1)])).float()
    written = torch.randint(0, 3, (2, built[SPEECH].frames)), torch.ones(2, built[SPEECH].frames), label
    batch = (*text, waves, label, torch.tensor([[1, 2], [2, 1]]), *written)
    anchored_and_spelled(towers, batch).backward()
    assert all(each.grad is not None for each in built[SPEECH].parameters())
    towers.zero_grad()
    again = (*batch[:-3], batch[-3], torch.zeros_like(batch[-2]), batch[-1])
    assert anchored_and_spelled(towers, again) != anchored_and_spelled(towers, batch)


def test_letters_have_no_accents_and_no_case() -> None:
    """Numbers follow the order of the letters that occur; one that is not known is left out, many are too many."""
    alphabet = alphabet_of(["\u00c9a!", "b a 2"])
    assert letters_of(["\u00c9a!", "b a 2"], alphabet).tolist() == [[4, 2, 0, 0], [3, 1, 2, 1]]
    assert letters_of(["abeabz", "zoo"], alphabet).tolist() == [[2, 3, 4, 2, 3], [0, 0, 0, 0, 0]]


def test_spelling_costs_nothing_where_every_letter_is_heard() -> None:
    """Sure and right is free, sure and wrong is not, and a recording without letters does not count."""
    letters_NL = torch.tensor([[1, 2], [0, 0]])
    logits_NFV = torch.full((2, 3, 3), -20.0)
    for frame, letter in enumerate([1, 0, 2]):
        logits_NFV[0, frame, letter] = 20
    assert spelling_loss(logits_NFV, letters_NL).item() == pytest.approx(0, abs=1e-4)
    assert spelling_loss(logits_NFV, letters_NL.flip(1)).item() > 5
    assert spelling_loss(logits_NFV, letters_NL[1:].repeat(2, 1)).item() == 0


def test_a_role_of_recordings_asks_three_ways() -> None:
    """Each pair asks for its picture by voice and in writing, and for its caption by voice."""
    role = load_role(built_stamps_small(), "gate")
    assert {way.towers for way in role.ways} == {(SPEECH, IMAGE), (TEXT, IMAGE), (SPEECH, TEXT)}
    asked = np.bincount(np.concatenate([way.examples_Q for way in role.ways]))
    assert asked.tolist() == [3] * role.count
    assert all((way.right_Q[:, None] == way.answers_G).any(1).all() for way in role.ways)


def test_no_judged_sentence_was_trained_on() -> None:
    """A recording of the gate says what no training recording says in its language."""
    of = {role: load_spoken(built_stamps_small(), role).waves_NT.numpy() for role in ("train", "gate")}
    assert not set(map(bytes, of["train"])) & set(map(bytes, of["gate"]))
