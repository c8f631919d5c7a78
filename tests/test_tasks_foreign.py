"""The environment of a foreign tool: made once, from a hash-locked file, whole or not there; and what runs in it."""

import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign import environment, keras_import
from stillhouse.tasks.foreign.convert_once import Conversion, convert_once
from stillhouse.tasks.foreign.inside import run_inside
from stillhouse.tasks.settings import Settings

EMPTY = "# no package\n"
ABSENT = f"--no-index\nno-such-package==1.0 --hash=sha256:{'0' * 64}\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, tmp_path / "state", tmp_path / "runs", "")


def lock_file(folder: Path, text: str = EMPTY) -> Path:
    (folder / "small.lock").write_text(text, encoding="utf-8")
    return folder / "small.lock"


def test_the_environment_is_made_once_by_whoever_comes_first(tmp_path: Path, settings: Settings) -> None:
    """Of two at once one makes it; both get its Python, and it has none of our packages."""
    lock, told, found = lock_file(tmp_path), list[str](), list[Path]()
    threads = [
        threading.Thread(target=lambda: found.append(environment.ensure_environment(settings, told.append, lock)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert found == [environment.environment_folder(settings, lock) / "bin" / "python"] * 2
    with pytest.raises(StillhouseError, match="No module named 'numpy'"):
        run_inside(found[0], "stillhouse.models.keras.convert", {})


def test_a_half_made_environment_is_made_again(tmp_path: Path, settings: Settings) -> None:
    """Whoever is killed before the stamp leaves an environment that the next one clears."""
    lock = lock_file(tmp_path)
    folder = environment.environment_folder(settings, lock)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("half", encoding="ascii")
    (folder / "leftover").touch()
    told: list[str] = []
    assert environment.ensure_environment(settings, told.append, lock) == folder / "bin" / "python"
    assert (len(told), environment.is_whole(folder), (folder / "leftover").exists()) == (1, True, False)


def test_an_installer_that_outlives_its_command_is_waited_for(tmp_path: Path, settings: Settings) -> None:
    """A command that is killed leaves pip behind. It holds the lock, so the next command does not make it at once."""
    lock = lock_file(tmp_path)
    with waiting(environment.environment_folder(settings, lock).with_suffix(".lock")) as held:
        child = subprocess.Popen(["sleep", "1.5"], pass_fds=(held,))
    began = time.monotonic()
    environment.ensure_environment(settings, lambda _line: None, lock)
    assert time.monotonic() - began > 1.0
    assert child.poll() == 0


def test_an_environment_without_its_python_is_not_whole(tmp_path: Path) -> None:
    """A folder of packages for our own Python has none; an environment whose Python is gone must be made again."""
    (tmp_path / environment.STAMP).touch()
    assert environment.is_whole(tmp_path)
    (tmp_path / "pyvenv.cfg").touch()
    assert not environment.is_whole(tmp_path)


def test_what_pip_cannot_install_is_one_sentence(tmp_path: Path, settings: Settings) -> None:
    """The sentence repeats pip's reason, and nothing half-made is left."""
    lock = lock_file(tmp_path, ABSENT)
    with pytest.raises(StillhouseError, match=r"could not be made \(.*no-such-package.*\); mend the network"):
        environment.ensure_environment(settings, lambda _line: None, lock)
    assert not environment.environment_folder(settings, lock).exists()


def test_a_disk_without_space_is_refused_first(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pip is started if its files have no place."""
    monkeypatch.setitem(environment.GIGABYTES, "small", 1e9)
    with pytest.raises(StillhouseError, match="GB of free space and the environment needs"):
        environment.ensure_environment(settings, lambda _line: None, lock_file(tmp_path))


def test_another_lock_has_another_environment(tmp_path: Path, settings: Settings) -> None:
    """The digest of the lock is a part of the folder's name."""
    first = environment.environment_folder(settings, lock_file(tmp_path))
    assert first != environment.environment_folder(settings, lock_file(tmp_path, ABSENT))


def test_a_refusal_inside_comes_out_as_it_is(tmp_path: Path) -> None:
    """The sentence of the module inside is the error's sentence."""
    (tmp_path / "m.keras").write_bytes(b"no zip")
    with pytest.raises(StillhouseError, match=r"m\.keras is no whole \.keras file \(File is not a zip file\); save"):
        run_inside(Path(sys.executable), keras_import.HEADER, {"model": str(tmp_path / "m.keras")})


def test_a_crash_inside_is_one_sentence(tmp_path: Path) -> None:
    """A native library may end the process; the signal and the environment are named."""
    python = tmp_path / "tool-0123" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nkill -SEGV $$\n", encoding="ascii")
    python.chmod(0o755)
    with pytest.raises(StillhouseError, match=r"m failed \(killed by SIGSEGV: .*try the model in tool alone.*delete"):
        run_inside(python, "m", {})


def test_a_bad_file_is_refused_before_an_environment_is_made(tmp_path: Path, settings: Settings) -> None:
    """Nothing is installed for a file that is refused anyway."""
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("evil.py", "print()")
    with pytest.raises(StillhouseError, match=r"the member 'evil\.py'"):
        keras_import.import_keras(tmp_path / "m.keras", tmp_path / "m.onnx", settings, pytest.fail)
    assert not settings.state.exists()


def test_a_file_is_not_read_without_the_environment(tmp_path: Path, settings: Settings) -> None:
    """To look at a model installs nothing; the message says what would."""
    (tmp_path / "m.h5").touch()
    with pytest.raises(StillhouseError, match="is not there; stillhouse convert makes it"):
        keras_import.read_header(tmp_path / "m.h5", settings)


Copied = tuple[Conversion, list[Path]]


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    """A conversion, and the models that it converted. What TensorFlow does takes a minute; a copy stands for it."""
    found: list[Path] = []

    def convert(path: Path, out_onnx: Path, *_: object) -> None:
        found.append(path)
        out_onnx.write_bytes(next(each for each in (path, path / "saved_model.pb") if each.is_file()).read_bytes())

    return Conversion(lock_file(tmp_path, ABSENT), keras_import.CONVERT, convert), found


def test_a_model_is_converted_once(tmp_path: Path, settings: Settings, copied: Copied) -> None:
    """The same bytes are known under another name; other bytes, also in a folder, are another model."""
    conversion, converted = copied
    first, again, folder = tmp_path / "a.h5", tmp_path / "b.h5", tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    for path in (first, again):
        path.write_bytes(b"one")
    found = [convert_once(path, conversion, settings, print) for path in (first, again, folder, folder)]
    assert found[0] == found[1] != found[2] == found[3]
    (folder / "variables" / "variables.data-0").write_bytes(b"weights")
    assert convert_once(folder, conversion, settings, print) != found[2]
    again.write_bytes(b"two")
    assert convert_once(again, conversion, settings, print).read_bytes() == b"two"
    assert converted == [first, folder, folder, again]


def test_a_conversion_that_was_cut_or_changed_is_done_again(tmp_path: Path, settings: Settings, copied: Copied) -> None:
    """A file without its manifest, and one that differs from it, are not taken for whole."""
    conversion, converted = copied
    model = tmp_path / "a.h5"
    model.write_bytes(b"one")
    found = convert_once(model, conversion, settings, print)
    (found.parent / "manifest.json").unlink()
    convert_once(model, conversion, settings, print)
    found.write_bytes(b"other")
    (found.parent / ".rest").touch()
    assert convert_once(model, conversion, settings, print).read_bytes() == b"one"
    assert len(converted) == 3
    assert sorted(path.name for path in found.parent.iterdir()) == ["manifest.json", "model.onnx"]


def test_the_shape_of_the_pictures_makes_another_file(tmp_path: Path, settings: Settings, copied: Copied) -> None:
    """What else decides a file is a part of its key."""
    conversion, converted = copied
    model = tmp_path / "a.h5"
    model.write_bytes(b"one")
    shapes = ([3, 32, 32], [3, 64, 64], [3, 32, 32])
    found = [convert_once(model, replace(conversion, about={"shape": shape}), settings, print) for shape in shapes]
    assert found[0] == found[2] != found[1]
    assert len(converted) == 2
