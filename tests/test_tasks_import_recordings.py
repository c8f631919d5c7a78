"""A user's own recordings: class folders and tables, in every kind that recorders write, and what cannot be used."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from import_samples import import_from, reasons_of, settings_of, write_csv, write_jsonl
from sound_samples import CLASSES, PITCHES, encode, recordings, tone

from stillhouse.models.data.sound.clips import Clips, clip_of, load_clips, missing_bytes, seconds_of
from stillhouse.models.errors import ModelError
from stillhouse.tasks.data.checks.contract import find_checker
from stillhouse.tasks.data.checks.data_tables import tables_of
from stillhouse.tasks.data.format.dataset import SPLITS, fault_of, read_description
from stillhouse.tasks.data.importing import readers
from stillhouse.tasks.data.importing.deal import split_of
from stillhouse.tasks.data.importing.wanted import Imported
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.stages.validate import judge

TASK = "audio-classification"
NUMBER = 700
"""A tone that is not among those of `recordings`."""


def clips_in(root: Path, found: Imported) -> dict[str, Clips]:
    folder = settings_of(root).data_cache / found.digest
    return {split: load_clips(folder, split) for split in SPLITS}


def pitch_of(clip_T: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(clip_T)).argmax() * 16_000 / len(clip_T))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings(tmp_path_factory.mktemp("source") / "sounds", 70)


def test_class_folders_become_clips(tmp_path: Path, source: Path) -> None:
    """Every clip is in the split of its digest, under its class, and the kind is told by the endings."""
    found = import_from(tmp_path, source)
    assert found.read_as.startswith("recordings, a folder for each class: 3 classes, 210 files; each is mixed to one ")
    assert "to 0.5 s (19 of 20 are no longer; tell another length by --seconds)" in found.read_as
    assert (sum(found.counts.values()), found.labels, found.rejected) == (210, CLASSES, 0)
    for split, clips in clips_in(tmp_path, found).items():
        assert clips.samples_NT.shape[1:] == (8_000,)
        assert {split_of(hashlib.sha256(clip_T.tobytes()).hexdigest()) for clip_T in clips.samples_NT} == {split}
        for clip_T, label in zip(clips.samples_NT, clips.labels_N, strict=True):
            assert 0.84 < pitch_of(clip_T) / PITCHES[CLASSES[label]] < 1.16


@pytest.mark.skipif(find_checker() == "absent", reason="Great Expectations is not installed")
def test_imported_recordings_meet_the_data_contract(tmp_path: Path, source: Path) -> None:
    """Every expectation of the stage `validate` holds, and the bytes are those of dataset.json."""
    found = import_from(tmp_path, source, task=TASK)
    folder = settings_of(tmp_path).data_cache / found.digest
    described = read_description(folder)
    outcomes = judge(tables_of(folder, described), described, tmp_path / "docs", tmp_path, lambda _: None)
    assert not [outcome for outcome in outcomes if not outcome["success"]]
    assert any(outcome["columns"] == "audio_bytes" for outcome in outcomes)
    assert fault_of(folder, found.digest) == ""


@pytest.mark.parametrize(("told", "samples"), [(0.25, 4_000), (1.5, 24_000)])
def test_the_told_length_is_that_of_the_clips(tmp_path: Path, source: Path, told: float, samples: int) -> None:
    """A longer recording is cut at its end, and a shorter one is filled with silence."""
    clips = clips_in(tmp_path, import_from(tmp_path, source, task=TASK, seconds=told))["train"]
    assert clips.samples_NT.shape[1] == samples
    assert (clips.samples_NT[:, 8_000:] == 0).all()
    assert (np.abs(clips.samples_NT[:, :4_000]).max(1) > 3_000).all()


def csv_of(root: Path, source: Path) -> Path:
    shutil.copytree(source, root / "sounds")
    paths = sorted((root / "sounds").rglob("*.wav"))
    rows = [(path.relative_to(root).as_posix(), path.parent.name) for path in paths]
    return write_csv(root / "list.csv", [("path", "label"), *rows])


def jsonl_of(root: Path, source: Path) -> Path:
    csv_of(root, source)
    paths = sorted((root / "sounds").rglob("*.wav"))
    rows = [{"audio": path.relative_to(root).as_posix(), "label": path.parent.name} for path in paths]
    return write_jsonl(root / "list.jsonl", rows)


def parquet_of(root: Path, source: Path) -> Path:
    """Write bytes as Hugging Face's `Audio` does, with its own description."""
    root.mkdir(parents=True, exist_ok=True)
    paths = sorted(source.rglob("*.wav"))
    features = {"audio": {"_type": "Audio"}, "label": {"_type": "ClassLabel", "names": list(CLASSES)}}
    table = pa.table(
        {
            "audio": [{"bytes": path.read_bytes(), "path": path.name} for path in paths],
            "label": [CLASSES.index(path.parent.name) for path in paths],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, root / "hub.parquet")
    return root / "hub.parquet"


@pytest.mark.parametrize(
    ("make", "task", "read_as"),
    [
        (csv_of, TASK, "recordings from list.csv: column `path`, labels `label`"),
        (jsonl_of, None, "recordings from list.jsonl: column `audio`, labels `label`"),
        (parquet_of, None, "recordings from hub.parquet: column `audio`, labels `label`, 210 rows"),
    ],
)
def test_a_table_holds_what_class_folders_hold(
    tmp_path: Path, source: Path, make: Callable[[Path, Path], Path], task: Any, read_as: str
) -> None:
    """The clips of a table are those of the folders, split by split."""
    found = import_from(tmp_path / "table", make(tmp_path / "in", source), task=task)
    whole = import_from(tmp_path / "folders", source)
    assert found.read_as.startswith(read_as)
    assert (found.counts, found.labels, found.rejected) == (whole.counts, CLASSES, 0)


KINDS: dict[str, Callable[[], bytes]] = {
    "stereo": lambda: encode(np.stack([tone(NUMBER, "hum")] * 2, 1)),
    "24 bits": lambda: encode(tone(NUMBER, "hum"), subtype="PCM_24"),
    "32-bit floats": lambda: encode(tone(NUMBER, "hum"), subtype="FLOAT"),
    "8,000 Hz": lambda: encode(tone(NUMBER, "hum", rate=8_000), rate=8_000),
    "44,100 Hz": lambda: encode(tone(NUMBER, "hum", rate=44_100), rate=44_100),
    "flac": lambda: encode(tone(NUMBER, "hum"), "FLAC"),
    "vorbis": lambda: encode(tone(NUMBER, "hum"), "OGG", "VORBIS"),
    "mp3": lambda: encode(tone(NUMBER, "hum"), "MP3"),
    "length unknown": lambda: encode(tone(NUMBER, "hum")).replace(b"data\x80\x3e\0\0", b"data" + b"\xff" * 4, 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_recording_becomes_the_same_sound(kind: str) -> None:
    """Channels, depths, rates and coders are brought to one form. The name of a file is not looked at."""
    clip_T = clip_of(KINDS[kind](), 8_000)
    assert (clip_T.dtype, clip_T.shape) == (np.int16, (8_000,))
    assert pitch_of(clip_T) == pytest.approx(pitch_of(clip_of(encode(tone(NUMBER, "hum")), 8_000)), rel=0.2)
    assert seconds_of(KINDS[kind]()) == pytest.approx(0.5, abs=0.1)


def nan_inside() -> bytes:
    samples_T = tone(NUMBER, "buzz")
    samples_T[100] = np.nan
    return encode(samples_T, subtype="FLOAT")


def cut(content: bytes, share: float) -> bytes:
    return content[: round(share * len(content))]


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.wav": (lambda: b"", "the file is empty; give a recording"),
    "note.wav": (lambda: b"no sound", "the recording cannot be read (it is of no known kind); give a whole Ogg"),
    "aiff.wav": (lambda: encode(tone(NUMBER, "buzz"), "AIFF"), "the recording cannot be read (it is of no known kind)"),
    "headless.wav": (lambda: encode(tone(NUMBER, "buzz"))[:40], "the recording cannot be read (Error in WAV file"),
    "cut.wav": (lambda: cut(encode(tone(NUMBER, "buzz")), 0.5), "the file is cut off: 8,022 of its bytes are missing"),
    "cut.ogg": (lambda: cut(encode(tone(NUMBER, "buzz", 2), "OGG", "VORBIS"), 0.5), "the file is cut off: "),
    "cut.flac": (lambda: cut(encode(tone(NUMBER, "buzz", 9), "FLAC"), 0.02), "the recording cannot be read (Error : f"),
    "silent.wav": (lambda: encode(np.zeros(8_000)), "the first 0.50 s are silent (their peak is below -60 dBFS); cut"),
    "nan.wav": (nan_inside, "the recording cannot be read (it has samples that are no numbers)"),
    "short.wav": (lambda: encode(tone(NUMBER, "buzz", 0.05)), "the recording lasts 0.05 s; give one of at least 0.1 s"),
    "long.wav": (
        lambda: encode(np.resize(tone(NUMBER, "buzz"), 601 * 8_000), rate=8_000),
        "the recording lasts 601 s; cut it into parts of at most 600 s",
    ),
    "same.wav": (lambda: encode(tone(1, "buzz")), "its samples are those of buzz/001.wav"),
    "other.wav": (lambda: encode(tone(1, "hum")), "its samples are in the class hum too; keep the recording in one"),
}


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path: Path, source: Path) -> None:
    """Unreadable, empty, silent, cut off, too long, twice or in two classes: each file has one sentence."""
    root = shutil.copytree(source, tmp_path / "sounds")
    for name, (make, _) in BAD.items():
        (root / "buzz" / name).write_bytes(make())
    found = import_from(tmp_path, root, task=TASK)
    reasons = reasons_of(found)
    assert {name for name in reasons if not name.startswith("hum/")} == {f"buzz/{name}" for name in BAD}
    for name, (_, reason) in BAD.items():
        assert reasons[f"buzz/{name}"].startswith(reason)
    assert reasons["hum/001.wav"] == "its samples are those of buzz/other.wav"
    assert sum(found.counts.values()) == 209


def test_an_mp3_that_ends_early_is_found_by_its_samples() -> None:
    """The header of an MP3 file tells a length that its samples do not have."""
    whole = encode(tone(NUMBER, "buzz", 4), "MP3")
    with pytest.raises(ModelError, match=r"the recording ends after \d.\d\d of 4.\d\d s; copy the file again"):
        clip_of(cut(whole, 0.4), 64_000)
    assert missing_bytes(whole) == 0


def test_a_killed_import_reads_no_recording_twice(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunks of the first try are found again, and the dataset is that of an import in one go."""
    done, read = [], readers.write_chunk

    def stop(chunk: readers.Chunk) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(chunk.path)
        read(chunk)

    monkeypatch.setattr("stillhouse.tasks.data.importing.spool.CHUNK_ROWS", {"audio": 50})
    monkeypatch.setattr(readers, "write_chunk", stop)
    with pytest.raises(KeyboardInterrupt):
        import_from(tmp_path, source, task=TASK)
    again = []
    monkeypatch.setattr(readers, "write_chunk", lambda chunk: (again.append(chunk.path), read(chunk)))
    found = import_from(tmp_path, source, task=TASK)
    assert len(again) == 4
    assert done[0] not in again
    assert found.digest == import_from(tmp_path / "whole", source, task=TASK).digest


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"task": "text-classification"}, "sounds, read as recordings.*has no texts for text-classification"),
        ({"task": "image-classification"}, "has no pictures that can be used: the first row: the picture cannot be"),
    ],
)
def test_recordings_for_another_task_are_refused(
    tmp_path: Path, source: Path, options: dict[str, Any], sentence: str
) -> None:
    """The task decides what the files are."""
    with pytest.raises(DataError, match=sentence):
        import_from(tmp_path, source, **options)
