"""Stage outputs: whole when their manifest is written, and not when anything differs from it."""

from pathlib import Path

import pytest

from tasks.artifact import MANIFEST, VOLATILE, seal, verify
from tasks.errors import ArtifactError


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
