"""Recordings as inputs: what counts of them, how they are said anew, spelled and heard, and what is asked of them."""

import io

import numpy as np
import pytest
import soundfile
import torch
from data_samples import built_stamps_small

from models.checkpoint import Architecture
from models.compression.spaces import anchored_and_spelled
from models.compression.spelling import spelling_loss
from models.errors import ModelError
from models.inputs.audio import SAMPLE_RATE
from models.inputs.letters import letters_of
from models.inputs.resay import hidden_pitches, said_anew
from models.inputs.text import codes_of
from models.inputs.waves import LENGTH, LOUDEST, waves_of
from models.networks.speech import FilterBank
from models.ways import IMAGE, SPEECH, TEXT, load_role
from models.workloads.pairs import load_spoken
from models.workloads.retrieval import Towers

TEXT_TOWER = Architecture("ngram_tower", {"buckets": 97, "width": 8, "hidden": 8, "dimension": 16}, 1.0, ())
SPEECH_TOWER = Architecture(
    "speech_residual_tower",
    {"dimension": 16, "bands": 16, "hop": 320, "stem": [16], "widths": [16, 24], "strides": [1, 2]},
    1.0,
    (LENGTH,),
)


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


def test_ranges_of_pitch_are_hidden_alike_from_one_seed() -> None:
    """Ranges lie within all pitches, are at most a quarter wide, and are the same from the same seed."""
    one, again = (hidden_pitches(500, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, again)
    assert one.min() >= 0
    assert one.max() <= 1
    assert 0.24 < (one[..., 1] - one[..., 0]).max() <= 0.25


def test_a_hidden_pitch_is_not_heard() -> None:
    """Where all pitches are hidden, any two recordings cost the same; where half are, they do not."""
    built = {each.takes: each.build_seeded(1).eval() for each in (TEXT_TOWER, SPEECH_TOWER)}
    towers = Towers(built, 3, 16, 1, letters=3)
    written = torch.from_numpy(codes_of(["x"])), torch.tensor([0])

    def loss(hertz: float, low: float, high: float) -> float:
        waves_NT = torch.from_numpy(waves_of([tone(hertz, 1)])).float()
        hidden_BR2 = torch.tensor([[[low, high]]])
        batch = (*written, waves_NT, torch.tensor([0]), torch.tensor([[1, 2]]), hidden_BR2)
        return float(anchored_and_spelled(towers, batch).detach())

    assert loss(300, 0, 1.1) == loss(5000, 0, 1.1)
    assert loss(300, 0, 0.5) != loss(5000, 0, 0.5)


def test_letters_have_no_accents_and_no_case() -> None:
    """Numbers follow the order of the letters that occur."""
    assert letters_of(["\u00c9a!", "b a 2"]).tolist() == [[4, 2, 0, 0], [3, 1, 2, 1]]


def test_spelling_costs_nothing_where_every_letter_is_heard() -> None:
    """Sure and right is free, sure and wrong is not, and a recording without letters does not count."""
    letters_NL = torch.tensor([[1, 2], [0, 0]])
    logits_NVF = torch.full((2, 3, 3), -20.0)
    for frame, letter in enumerate([1, 0, 2]):
        logits_NVF[0, letter, frame] = 20
    assert spelling_loss(logits_NVF, letters_NL).item() == pytest.approx(0, abs=1e-4)
    assert spelling_loss(logits_NVF, letters_NL.flip(1)).item() > 5
    assert spelling_loss(logits_NVF, letters_NL[1:].repeat(2, 1)).item() == 0


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
