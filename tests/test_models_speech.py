"""Recordings as inputs: what counts of them, how they are said anew, spelled and heard, and what is asked of them."""

import io

import numpy as np
import pytest
import soundfile
import torch
from data_samples import built_stamps_small
from encoder_samples import SPEECH_PLAIN, SPEECH_RESIDUAL

from stillhouse.models.augmentation.misheard import as_heard, chances_of
from stillhouse.models.augmentation.resay import augment_speech
from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.waves import LENGTH, LOUDEST, waves_of
from stillhouse.models.data.text import codes_of
from stillhouse.models.distillation.batches import DistillationBatches
from stillhouse.models.distillation.ctc import spelling_loss
from stillhouse.models.distillation.embedding import contrast_and_spell, taught_letters, taught_vectors
from stillhouse.models.distillation.letters import alphabet_of, letters_of
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.speech import CtcEncoder, FilterBank, FramedFilterBank
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.workloads.retrieval.data import IMAGE, SPEECH, TEXT, load_eval_split
from stillhouse.models.workloads.retrieval.pairs import load_spoken
from stillhouse.models.workloads.retrieval.training import Encoders
from stillhouse.models.workloads.retrieval.written import text_injection_batches

TEXT_TOWER = Architecture("ngram_encoder", {"buckets": 97, "width": 8, "hidden": 8, "dimension": 16}, 1.0, ())


def tone(hertz: float, seconds: float, before: float = 0.0, loud: float = 0.5, rate: int = SAMPLE_RATE) -> bytes:
    """A WAV file of one tone, after some silence."""
    time_T = np.arange(int(seconds * rate)) / rate
    samples_T = np.concatenate([np.zeros(int(before * rate)), loud * np.sin(2 * np.pi * hertz * time_T)])
    stream = io.BytesIO()
    soundfile.write(stream, samples_T, rate, format="WAV")
    return stream.getvalue()


def sure(letters_NF: torch.Tensor, chance: float) -> torch.Tensor:
    """Letters as heard, all as sure as each other."""
    return torch.stack([letters_NF.float(), torch.full_like(letters_NF.float(), chance)], dim=1)


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
    one, again, other = (augment_speech(waves_NT, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.abs().max() <= 32768


def test_a_letter_is_heard_in_order_and_mostly_right() -> None:
    """Of 4,000 letters one in seven is missed or mistaken; the others keep their order, each in a frame of its own."""
    letters_NL = torch.tensor([[1, 2, 3, 4, 0]] * 1000)
    heard_NF, sure_NF = as_heard(letters_NL, 20, 9, torch.Generator().manual_seed(1)).unbind(1)
    right = [[letter for letter in row if letter in {1, 2, 3, 4}] for row in heard_NF.tolist()]
    assert heard_NF.shape == (1000, 20)
    assert 0.85 < sum(map(len, right)) / 4000 < 0.88
    assert sum(row == sorted(row) for row in right) > 900
    assert 0 <= sure_NF.min() <= sure_NF.max() <= 1
    assert not as_heard(letters_NL * 0, 20, 9, torch.Generator())[:, 0].any()


def test_letters_that_do_not_fit_are_cut_off() -> None:
    """A long caption fills every frame."""
    heard_NF = as_heard(torch.full((100, 30), 5), 12, 5, torch.Generator().manual_seed(1))[:, 0]
    assert heard_NF.shape == (100, 12)
    assert (heard_NF == 5).float().mean() > 0.8


def test_one_seed_is_heard_alike() -> None:
    """The same seed hears the same."""
    one, again = (as_heard(torch.ones(9, 4, dtype=torch.int64), 9, 3, torch.Generator().manual_seed(2)) for _ in "ab")
    assert torch.equal(one, again)


def test_recordings_and_captions_teach_one_tower() -> None:
    """Every part of the encoder is taught, and how sure a written letter is changes the loss."""
    built = {each.takes: each.build_seeded(1) for each in (TEXT_TOWER, SPEECH_RESIDUAL)}
    encoders, label = Encoders(built, 3, 16, 1), torch.tensor([0, 1])
    text = torch.from_numpy(codes_of(["x", "y"])), label
    waves = torch.from_numpy(waves_of([tone(300, 1), tone(900, 1)])).float()
    letters_NF = torch.randint(0, 3, (2, built[SPEECH].frames)).float()
    batch = (*text, waves, label, torch.tensor([[1, 2], [2, 1]]), sure(letters_NF, 1), label)
    contrast_and_spell(encoders, batch).backward()
    assert all(each.grad is not None for each in built[SPEECH].parameters())
    encoders.zero_grad()
    again = (*batch[:-2], sure(letters_NF, 0), label)
    assert contrast_and_spell(encoders, again) != contrast_and_spell(encoders, batch)


def test_letters_that_are_the_teachers_cost_nothing() -> None:
    """A student that hears, reads and places as its teacher loses nothing; other letters or places cost."""
    student = SPEECH_PLAIN.build_seeded(1).eval()
    assert isinstance(student, CtcEncoder)
    waves, label = torch.from_numpy(waves_of([tone(300, 1), tone(900, 1)])).float(), torch.tensor([0, 1])
    place_BD, chances_BFV = student(waves).detach(), student.spell(waves).softmax(2).detach()
    written_W2F = sure(torch.randint(0, 5, (2, student.frames), generator=torch.Generator().manual_seed(1)), 0.9)
    read_WD = student.read(chances_of(written_W2F, 5)).detach()
    objective = taught_letters(taught_vectors(place_BD, "kl", 1.0, 0.0, 4.0), 2.0)
    batch = [waves, label, place_BD, chances_BFV, written_W2F, label, read_WD]
    assert objective(student, tuple(batch)).item() == pytest.approx(0, abs=1e-5)
    for place, other in ((2, -place_BD), (3, chances_BFV.roll(1, 2)), (6, -read_WD)):
        assert objective(student, (*batch[:place], other, *batch[place + 1 :])) > 0.001


def test_every_part_of_a_student_that_spells_is_taught() -> None:
    """Letters teach what hears, written captions what reads."""
    student, label = SPEECH_PLAIN.build_seeded(1), torch.tensor([0, 1])
    assert isinstance(student, CtcEncoder)
    waves = torch.from_numpy(waves_of([tone(300, 1), tone(900, 1)])).float()
    wrong_BFV = torch.full((2, student.frames, 5), 0.2)
    batch = waves, label, torch.eye(16)[:2], wrong_BFV, sure(torch.ones(2, student.frames), 1), label, torch.eye(16)[:2]
    taught_letters(taught_vectors(torch.eye(16), "kl", 1.0, 0.0, 4.0), 1.0)(student, batch).backward()
    assert all(each.grad is not None for each in student.parameters())


@pytest.mark.parametrize(
    ("student", "reason"),
    [(SPEECH_PLAIN, r"in \d+ frames, its teacher 5 in 7; choose"), (TEXT_TOWER, "is for a speech encoder")],
)
def test_letters_in_other_frames_are_refused(student: Architecture, reason: str) -> None:
    """The sentence says both numbers of frames; an encoder that does not spell is refused too."""
    waves, label, place = torch.zeros(1, LENGTH), torch.tensor([0]), torch.eye(16)[:1]
    batch = waves, label, place, torch.ones(1, 7, 5), sure(torch.ones(1, 7), 1), label, place
    with pytest.raises(ModelError, match=reason):
        taught_letters(taught_vectors(torch.eye(16), "kl", 1.0, 0.0, 4.0), 1.0)(student.build_seeded(1), batch)


@pytest.mark.parametrize("hertz", [200, 1000, 4000])
def test_a_students_frames_hear_what_a_teachers_do(hertz: float) -> None:
    """Side by side or not, a tone is loudest in the same band, give or take one, in as many frames."""
    waves_NT = torch.from_numpy(waves_of([tone(hertz, 1)]))
    overlapping_BF, side_by_side_BF = (bank(waves_NT)[0] for bank in (FilterBank(32, 160), FramedFilterBank(32, 160)))
    assert side_by_side_BF.shape == overlapping_BF.shape
    assert 0 <= side_by_side_BF.min() <= side_by_side_BF.max() < 2
    assert abs(int(side_by_side_BF[:, 20].argmax()) - int(overlapping_BF[:, 20].argmax())) <= 1


def test_a_recording_is_a_whole_number_of_frames() -> None:
    """Frames side by side that leave samples over are refused, with a remedy."""
    with pytest.raises(ModelError, match=r"no whole number of frames of 300; set hop to a divisor"):
        FramedFilterBank(24, 300)


def test_captions_come_with_what_the_teacher_read() -> None:
    """Two beside every recording, the same whenever an epoch is asked, each with its own answer."""
    views, letters_VNFV = torch.zeros(1, 5, LENGTH, dtype=torch.int16), torch.zeros(1, 5, 51, 30)
    heard = DistillationBatches(views, (torch.zeros(1, 5, 16), letters_VNFV), torch.arange(5), 1)
    feed = text_injection_batches(built_stamps_small(), heard, lambda heard_N2F: heard_N2F.sum(2))
    (*_, first), again = feed.epoch(0, 4), list(feed.epoch(0, 4))
    written_W2F, labels_W, read_WD = first[4:]
    assert len(again) == feed.batches_per_epoch(4) == 2
    assert written_W2F.shape == (2, 2, 51)
    assert torch.equal(read_WD, written_W2F.sum(2))
    assert all(map(torch.equal, first, again[1]))
    assert not torch.equal(again[0][4][:2], written_W2F)
    assert labels_W.max() < 40


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


def test_a_split_of_recordings_asks_three_ways() -> None:
    """Each pair asks for its picture by voice and in writing, and for its caption by voice."""
    split = load_eval_split(built_stamps_small(), "gate")
    assert {way.encoders for way in split.query_sets} == {(SPEECH, IMAGE), (TEXT, IMAGE), (SPEECH, TEXT)}
    asked = np.bincount(np.concatenate([way.examples_Q for way in split.query_sets]))
    assert asked.tolist() == [3] * split.count
    assert all((way.target_ids_Q[:, None] == way.gallery_ids_G).any(1).all() for way in split.query_sets)


def test_one_sentence_is_not_filled_up() -> None:
    """What is timed by itself is one picture, one recording and one sentence of its own length."""
    one = load_eval_split(built_stamps_small(), "gate").one_of_each()
    assert {encoder: len(raw) for encoder, raw in one.items()} == {IMAGE: 1, TEXT: 1, SPEECH: 1}
    assert (one[TEXT] > 0).all()


def test_no_judged_sentence_was_trained_on() -> None:
    """A recording of the gate says what no training recording says in its language."""
    of = {split: load_spoken(built_stamps_small(), split).waves_NT.numpy() for split in ("train", "gate")}
    assert not set(map(bytes, of["train"])) & set(map(bytes, of["gate"]))
