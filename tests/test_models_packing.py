"""Packing: what is unpacked is what was packed, to the bit, or it is refused."""

import hashlib
import lzma
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.old_packing import HEADER
from stillhouse.models.onnx.packing import deployable, is_packed, pack, ship, unpack, zstd_bytes
from stillhouse.models.runtime.session import open_session, predict

IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Write a linear model of small integers: logits = flat pixels @ weight."""
    weight = np.random.default_rng(0).integers(-8, 8, (6, 500)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images_NCHW"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logits_NK"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images_NCHW", TensorProto.UINT8, ["batch", 1, 2, 3])],
        [helper.make_tensor_value_info("logits_NK", TensorProto.FLOAT, ["batch", 500])],
        [numpy_helper.from_array(weight, "weight")],
    )
    path = tmp_path / "student.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_a_packed_file_unpacks_to_the_same_bytes(plain: Path) -> None:
    """The plain bytes come back, the packed file is smaller, and it alone is left."""
    content = plain.read_bytes()
    packed = pack(plain)
    assert packed.name == "student.onnx.xz"
    assert unpack(packed) == content
    assert packed.stat().st_size < len(content) / 2
    assert list(plain.parent.iterdir()) == [packed]


def test_a_packed_file_answers_as_the_plain_one(plain: Path) -> None:
    """The runtime opens both and gives the same logits, to the bit."""
    expected = predict(open_session(plain), IMAGES)
    assert np.array_equal(predict(open_session(pack(plain)), IMAGES), expected)


def test_packing_twice_gives_the_same_file(plain: Path) -> None:
    """The packed bytes depend on nothing but the plain ones."""
    content = plain.read_bytes()
    first = pack(plain).read_bytes()
    plain.write_bytes(content)
    assert pack(plain).read_bytes() == first


def test_any_tool_that_knows_xz_opens_it(plain: Path) -> None:
    """`xz -d` gives the plain file back, and its list names the check SHA-256."""
    content = plain.read_bytes()
    packed = pack(plain)
    listed = subprocess.run(["xz", "--list", "--robot", packed], capture_output=True, text=True, check=True).stdout
    assert "SHA-256" in listed
    subprocess.run(["xz", "-d", packed], check=True)
    assert plain.read_bytes() == content


def test_a_file_that_an_older_version_packed_is_read(tmp_path: Path) -> None:
    """Its header has magic, version 1, LZMA's properties, the length and the SHA-256 of the plain file."""
    content, path = b"an old model " * 50, tmp_path / "student.onnx.lzma"
    own = {"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 0, "dict_size": 4096}
    head = HEADER.pack(b"SHLZ", 1, 3, len(content), hashlib.sha256(content).digest())
    path.write_bytes(head + lzma.compress(content, lzma.FORMAT_RAW, filters=[own]))
    assert deployable(tmp_path, "student") == path
    assert unpack(path) == content
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"student.onnx.lzma is damaged"):
        unpack(path)


def test_a_stream_without_a_digest_is_refused(tmp_path: Path) -> None:
    """A check of four bytes, xz's own default, does not do."""
    path = tmp_path / "student.onnx.xz"
    path.write_bytes(lzma.compress(b"a model", check=lzma.CHECK_CRC32))
    with pytest.raises(ModelError, match="not one whole stream with a SHA-256"):
        unpack(path)


def test_any_damaged_byte_is_refused(plain: Path) -> None:
    """Every byte of the beginning and of the end counts, and every 20th between; the refusal names the remedy."""
    packed = pack(plain)
    content = packed.read_bytes()
    for place in [*range(42), *range(42, len(content), 20), *range(len(content) - 80, len(content))]:
        packed.write_bytes(content[:place] + bytes([content[place] ^ 0x11]) + content[place + 1 :])
        with pytest.raises(ModelError, match=r"^[^\n]*student.onnx.xz is damaged [^\n]*; export it again$"):
            unpack(packed)


@pytest.mark.parametrize("kept", [0, 3, 41, 42, 100, -1])
def test_a_file_cut_short_is_refused(plain: Path, kept: int) -> None:
    """A packed file of which only a part was written is not taken for whole."""
    packed = pack(plain)
    packed.write_bytes(packed.read_bytes()[:kept])
    with pytest.raises(ModelError, match="is damaged"):
        open_session(packed)


def test_bytes_after_the_end_are_refused(plain: Path) -> None:
    """Nothing may hide behind the stream."""
    packed = pack(plain)
    packed.write_bytes(packed.read_bytes() + b"x")
    with pytest.raises(ModelError, match="is damaged"):
        unpack(packed)


def test_a_plain_file_is_its_own_unpacked_form(plain: Path) -> None:
    """Unpacking a plain ONNX file gives its bytes, and only packed files count as packed."""
    assert unpack(plain) == plain.read_bytes()
    assert not is_packed(plain)
    assert is_packed(pack(plain))


def test_only_one_form_ships(plain: Path) -> None:
    """A file exported again in the other form replaces the first, so that a stale one is never found."""
    content = plain.read_bytes()
    assert ship(plain, "xz").name == "student.onnx.xz"
    plain.write_bytes(content)
    assert ship(plain, None) == plain
    assert list(plain.parent.iterdir()) == [plain]


def test_the_deployable_is_found_under_either_name(plain: Path) -> None:
    """The plain file ships until it is packed; where there is neither, the refusal says so."""
    assert deployable(plain.parent, "student") == plain
    packed = pack(plain)
    assert deployable(plain.parent, "student") == packed
    with pytest.raises(ModelError, match=r"neither teacher.onnx nor teacher.onnx.xz; run the stage export again"):
        deployable(plain.parent, "teacher")


def test_zstd_finds_nothing_in_a_packed_file(plain: Path) -> None:
    """Zstd shortens the plain file, and adds some bytes to one that is packed already."""
    assert zstd_bytes(plain) < plain.stat().st_size / 2
    packed = pack(plain)
    assert packed.stat().st_size < zstd_bytes(packed) < packed.stat().st_size + 32


def test_a_large_file_is_packed_with_the_context_of_its_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back as it was, and no larger than with all contexts by more than a hundredth."""
    content = b"".join(number.to_bytes(4, "little") for number in range(0, 300_000, 3))
    sizes = {}
    for sample in (1_000_000, 40_000):
        monkeypatch.setattr("stillhouse.models.onnx.packing.SAMPLE", sample)
        plain = tmp_path / "model.onnx"
        plain.write_bytes(content)
        packed = pack(plain)
        assert unpack(packed) == content
        sizes[sample] = packed.stat().st_size
    assert sizes[40_000] <= 1.01 * sizes[1_000_000]
