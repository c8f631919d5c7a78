"""Pack the deployable as an .xz file: a smaller file to transfer, unpacked when it is loaded.

Any tool that knows .xz opens it: `xz -d student.onnx.xz`. The container has a SHA-256 of the plain file. Sorting all
integer weights together before packing saved only 0.3 % on an exported student, so nothing is reordered.
"""

import lzma
import os
from pathlib import Path

from stillhouse.models.aside import write_aside
from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.old_packing import OLD_MAGIC, OLD_SUFFIX, unpack_old
from stillhouse.models.runtime.weights import weights_of

MAGIC = b"\xfd7zXZ\0"
SUFFIX = ".xz"
CONTEXTS = tuple((lc, lp) for lp in (0, 2) for lc in range(5 - lp))
"""LZMA's literal (lc) and position (lp) context bits that are tried.

Integer bytes pack best with lp 0, floats of four bytes with lp 2.
"""
SAMPLE = 4 * 1024 * 1024
"""Bytes that are packed with every context. A file of 23 MB takes 10 seconds for each."""
SMALLEST_DICTIONARY = 4096
LARGEST = 2**31
"""Most bytes of a plain file, which is the most that ONNX has in one file."""
ZSTD_LEVEL, ZSTD_LEVEL_OF_LARGE = 19, 3
ZSTD_LARGE = 256 * 1024 * 1024
"""Bytes of a file from which on the second level is used. A gigabyte would take ten minutes at the first."""


def ship(path: Path, packing: str | None) -> Path:
    """Pack an exported plain file, or leave it plain. The file of the other form is removed.

    A file whose weights lie beside it is left plain.

    Returns:
        Path of the shipped file.
    """
    if packing and not weights_of(path).is_file():
        return pack(path)
    for suffix in (SUFFIX, OLD_SUFFIX):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return path


def pack(path: Path) -> Path:
    """Replace a plain `<name>.onnx` by the packed file `<name>.onnx.xz`.

    Returns:
        Path of the packed file. The plain file is removed.
    """
    plain = path.read_bytes()
    packed = path.with_name(path.name + SUFFIX)
    with write_aside(packed) as aside, aside.open("wb") as stream:
        stream.write(min((_encode(plain, lc, lp) for lc, lp in _contexts_for(plain)), key=len))
        stream.flush()
        os.fsync(stream.fileno())
    path.unlink()
    return packed


def _contexts_for(plain: bytes) -> tuple[tuple[int, int], ...]:
    """Return all contexts for a small file, and for a large one the context that packs its middle best."""
    if len(plain) <= SAMPLE:
        return CONTEXTS
    middle = plain[(len(plain) - SAMPLE) // 2 :][:SAMPLE]
    return (min(CONTEXTS, key=lambda context: len(_encode(middle, *context))),)


def is_packed(path: Path) -> bool:
    """Tell whether a file is packed, by its name or by its first bytes."""
    with path.open("rb") as stream:
        return path.suffix in {SUFFIX, OLD_SUFFIX} or stream.read(len(MAGIC)).startswith((MAGIC, OLD_MAGIC))


def unpack(path: Path) -> bytes:
    """Return the plain ONNX bytes of a packed or a plain file.

    Raises:
        ModelError: a packed file is damaged, or has another version.
    """
    content = path.read_bytes()
    try:
        if not is_packed(path):
            return content
        return unpack_old(content) if content.startswith(OLD_MAGIC) else _decode(content)
    except (lzma.LZMAError, EOFError, ValueError, MemoryError) as error:
        msg = f"{path} is damaged or of another version ({error}); export it again"
        raise ModelError(msg) from error


def deployable(folder: Path, name: str) -> Path:
    """Find the shipped file of a name: `<name>.onnx.xz` if it was packed, otherwise `<name>.onnx`.

    Raises:
        ModelError: neither file exists.
    """
    plain = folder / f"{name}.onnx"
    for path in (plain.with_name(plain.name + SUFFIX), plain.with_name(plain.name + OLD_SUFFIX), plain):
        if path.is_file():
            return path
    msg = f"{folder} has neither {name}.onnx nor {name}.onnx{SUFFIX}; run the stage export again"
    raise ModelError(msg)


def zstd_bytes(path: Path) -> int:
    """Return the size of a file after zstd (RFC 8878) at level 19, as a registry or an image layer transfers it.

    A file of more than 256 MB is compressed at level 3.
    """
    import zstandard

    level = ZSTD_LEVEL if path.stat().st_size <= ZSTD_LARGE else ZSTD_LEVEL_OF_LARGE
    return len(zstandard.ZstdCompressor(level=level).compress(path.read_bytes()))


def _encode(plain: bytes, lc: int, lp: int) -> bytes:
    """Compress with a dictionary as long as the file. Unpacking needs little more memory than that."""
    dictionary = max(len(plain), SMALLEST_DICTIONARY)
    own = {"id": lzma.FILTER_LZMA2, "lc": lc, "lp": lp, "pb": 0, "dict_size": dictionary}
    filters = [own | {"preset": 9 | lzma.PRESET_EXTREME}]
    return lzma.compress(plain, lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, filters=filters)


def _decode(content: bytes) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    plain = decoder.decompress(content, max_length=LARGEST)
    if not decoder.eof or decoder.unused_data or decoder.check != lzma.CHECK_SHA256:
        msg = "it is not one whole stream with a SHA-256"
        raise ValueError(msg)
    return plain
