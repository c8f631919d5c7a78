"""bundle.json: what ships is read from it and from nothing else, and what is not whole is refused in one sentence."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import BUNDLE, Bundle, open_bundle, write_bundle


def written(folder: Path, **components: bytes) -> Bundle:
    """Write a bundle of small files."""
    folder.mkdir(exist_ok=True)
    files = {name: folder / f"{name}.onnx" for name in components}
    for name, path in files.items():
        path.write_bytes(components[name])
    write_bundle(folder, "retrieval", {name: [path] for name, path in files.items()}, space="abc")
    return open_bundle(folder)


def test_a_bundle_says_what_it_holds(tmp_path: Path) -> None:
    """Workload, components in their order, what is said of them, and the bytes of what a deployment loads."""
    bundle = written(tmp_path, image=b"12345", text=b"678")
    assert (bundle.workload, list(bundle.components), bundle.about) == (
        "retrieval",
        ["image", "text"],
        {"space": "abc"},
    )
    assert [path.name for path in bundle.files] == ["image.onnx", "text.onnx"]
    assert bundle.size == 8
    with pytest.raises(ModelError, match="this model has no speech; it has image, text"):
        bundle.file("speech")


def test_a_digest_follows_every_file_and_the_component_it_is_of(tmp_path: Path) -> None:
    """The same files have the same digest wherever they lie; another byte, or files changed over, give another."""
    first, again = written(tmp_path / "a", image=b"1", text=b"2"), written(tmp_path / "b", image=b"1", text=b"2")
    other, swapped = written(tmp_path / "c", image=b"1", text=b"3"), written(tmp_path / "d", image=b"2", text=b"1")
    assert first.digest == again.digest
    assert len({first.digest, other.digest, swapped.digest}) == 3


def test_one_file_has_its_own_digest(tmp_path: Path) -> None:
    """So a student that was registered before there were bundles is the same student."""
    bundle = written(tmp_path, model=b"student")
    alone = tmp_path / "model.onnx"
    assert bundle.digest == open_bundle(alone).digest == hashlib.sha256(b"student").hexdigest()


def change(**content: object) -> Callable[[Path], object]:
    """Change keys of bundle.json."""

    def changed(folder: Path) -> None:
        path = folder / BUNDLE
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | content), encoding="utf-8")

    return changed


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (change(format=2), r"bundle\.json is of format 2, and this version of Stillhouse reads 1; update Stillhouse"),
        (lambda folder: (folder / "text.onnx").unlink(), r"misses text\.onnx; run the stage export again"),
        (lambda folder: (folder / "more.onnx").touch(), r"has beside what it lists more\.onnx; run the stage export"),
        (lambda folder: (folder / "text.onnx").write_bytes(b"x"), r"text\.onnx was altered since it was exported"),
        (lambda folder: (folder / BUNDLE).write_text("{"), r"bundle\.json cannot be read \(.*\); run the stage export"),
        (
            lambda folder: (folder / BUNDLE).write_text("[]"),
            r"bundle\.json cannot be read \(.*\); run the stage export",
        ),
        (change(components={"image": {}}), r"names no workload, no component, or one without a file; run the"),
        (change(components={}), r"bundle\.json names no workload, no component, or one without a file; run the"),
        (change(components=["image"]), r"bundle\.json cannot be read \(.*\); run the stage export again"),
        (change(workload=None), r"bundle\.json names no workload, no component, or one without a file; run the"),
        (lambda folder: (folder / BUNDLE).unlink(), r"is no bundle \(.*\); run the stage export again"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    """A newer format, a missing, further or altered file, and a list that is none end in one sentence."""
    written(tmp_path / "student", image=b"1", text=b"2")
    damage(tmp_path / "student")
    with pytest.raises(ModelError, match=said):
        open_bundle(tmp_path / "student")


def test_towers_from_before_are_read_with_the_digest_of_their_time(tmp_path: Path) -> None:
    """A folder with towers.json, as champions have it, is the bundle that it was registered as."""
    about = json.dumps({"space": "abc", "towers": ["image", "text"]})
    contents = {"towers.json": about.encode(), "image.onnx": b"1", "text.onnx.lzma": b"2"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    bundle = open_bundle(tmp_path)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    expected = hashlib.sha256(json.dumps(digests, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert (bundle.workload, bundle.about["space"], bundle.digest) == ("retrieval", "abc", expected)
    assert [path.name for path in bundle.files] == ["image.onnx", "text.onnx.lzma"]


def test_nothing_is_no_bundle(tmp_path: Path) -> None:
    """A path at which nothing lies is named."""
    with pytest.raises(ModelError, match=r"there is no model at .*gone; run the stage export again"):
        open_bundle(tmp_path / "gone")
