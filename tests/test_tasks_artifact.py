"""Stage outputs: whole when their manifest is written, and not when anything differs from it."""

import threading
from pathlib import Path

import pytest

from stillhouse.tasks.artifacts.artifact import MANIFEST, VOLATILE, Artifact, seal, verify
from stillhouse.tasks.artifacts.folders import find, install, move_into
from stillhouse.tasks.errors import ArtifactError


@pytest.mark.parametrize("spoil", ["truncate", "add", "remove", "manifest"])
def test_an_incomplete_artifact_is_refused(tmp_path: Path, spoil: str) -> None:
    """A folder that differs from its manifest in any way, or has none, is not taken for whole."""
    (tmp_path / "a.bin").write_bytes(b"12345")
    seal(tmp_path, {"x": 1.0})
    assert verify(tmp_path).metrics == {"x": 1.0}
    match spoil:
        case "truncate":
            (tmp_path / "a.bin").write_bytes(b"1234")
        case "add":
            (tmp_path / "b.bin").write_bytes(b"")
        case "remove":
            (tmp_path / "a.bin").unlink()
        case "manifest":
            (tmp_path / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(ArtifactError, match="run the stage again"):
        verify(tmp_path)


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    """Equal files have one digest wherever they lie, and pages with times in them do not count."""
    digests = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / VOLATILE).mkdir(parents=True)
        (folder / "a.bin").write_bytes(b"12345")
        (folder / VOLATILE / "index.html").write_text(name, encoding="utf-8")
        digests.add(seal(folder, {}, stage=name).digest)
    assert len(digests) == 1
    (tmp_path / "two" / "a.bin").write_bytes(b"123456")
    assert seal(tmp_path / "two", {}).digest not in digests


def made(folder: Path, **files: str) -> Artifact:
    """Make an artifact of these files."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return seal(folder, {})


def test_the_same_work_done_again_leaves_the_folder_that_is_read(tmp_path: Path) -> None:
    """Forced work that makes the same bytes touches no file of the folder."""
    made(tmp_path / "key", weights="1")
    before = (tmp_path / "key" / "weights").stat()
    made(tmp_path / "new", weights="1")
    assert install(tmp_path / "new", tmp_path / "key").path == tmp_path / "key"
    assert (tmp_path / "key" / "weights").stat() == before
    assert not (tmp_path / "new").exists()


def test_other_bytes_of_a_key_lie_beside_the_folder_that_is_read(tmp_path: Path) -> None:
    """Whoever reads the first folder keeps all its files, and each digest is found."""
    first = made(tmp_path / "key", weights="1", only_in_the_first="1")
    second = install(made(tmp_path / "new", weights="2").path, tmp_path / "key")
    assert (tmp_path / "key" / "only_in_the_first").read_text(encoding="utf-8") == "1"
    assert second.path == tmp_path / f"key-{second.digest[:12]}"
    for artifact in (first, second):
        found = find(tmp_path / "key", artifact.digest)
        assert found is not None
        assert found.path == artifact.path
    assert find(tmp_path / "key", "0" * 64) is None
    again = install(made(tmp_path / "new", weights="2").path, tmp_path / "key")
    assert again.path == second.path


@pytest.mark.parametrize("spoil", ["truncate", "add", "remove", "manifest", "no manifest"])
def test_a_damaged_folder_is_mended(tmp_path: Path, spoil: str) -> None:
    """A folder damaged in any way is whole again, at its own place."""
    digest = made(tmp_path / "key", weights="12345").digest
    {
        "truncate": lambda: (tmp_path / "key" / "weights").write_text("1", encoding="utf-8"),
        "add": lambda: (tmp_path / "key" / "more").write_text("1", encoding="utf-8"),
        "remove": (tmp_path / "key" / "weights").unlink,
        "manifest": lambda: (tmp_path / "key" / MANIFEST).write_text("[]", encoding="utf-8"),
        "no manifest": (tmp_path / "key" / MANIFEST).unlink,
    }[spoil]()
    found = install(made(tmp_path / "new", weights="12345").path, tmp_path / "key")
    assert (found.path, found.digest) == (tmp_path / "key", digest)
    assert verify(tmp_path / "key").digest == digest


def test_no_file_is_missing_while_a_folder_is_mended(tmp_path: Path) -> None:
    """Somebody who opens a file again and again, while its folder is replaced 50 times, always finds it."""
    made(tmp_path / "key", weights="1")
    done, missed = threading.Event(), list[OSError]()

    def read() -> None:
        while not done.is_set():
            try:
                (tmp_path / "key" / "weights").read_bytes()
            except OSError as error:
                missed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        move_into(made(tmp_path / f"new{number}", weights="1").path, tmp_path / "key")
    done.set()
    reader.join()
    assert missed == []
