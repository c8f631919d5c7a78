"""Unpack files of older versions: a header of 42 bytes, then one raw LZMA1 stream. Nothing writes them any more.

| bytes | content |
|---|---|
| 4 | `SHLZ` |
| 1 | version of this format, 1 |
| 1 | LZMA's properties, `lp * 9 + lc` (pb is 0) |
| 4 | length of the plain file, little-endian |
| 32 | SHA-256 of the plain file |
"""

import hashlib
import lzma
import struct

OLD_MAGIC, OLD_SUFFIX = b"SHLZ", ".lzma"
VERSION = 1
HEADER = struct.Struct("<4sBBI32s")
SMALLEST_DICTIONARY = 4096


def unpack_old(content: bytes) -> bytes:
    """Return the plain bytes.

    Raises:
        ValueError: the file has another version, or does not unpack to what its header says.
        lzma.LZMAError: the stream is damaged.
    """
    head = content[: HEADER.size].ljust(HEADER.size, b"\0")
    magic, version, properties, length, digest = HEADER.unpack(head)
    if (magic, version) != (OLD_MAGIC, VERSION):
        msg = f"it does not begin as packing version {VERSION} does"
        raise ValueError(msg)
    lp, lc = divmod(properties, 9)
    dictionary = max(length, SMALLEST_DICTIONARY)
    own = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": 0, "dict_size": dictionary}
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[own])
    plain = decoder.decompress(content[HEADER.size :], max_length=length + 1)
    if not decoder.eof or decoder.unused_data or len(plain) != length or hashlib.sha256(plain).digest() != digest:
        msg = "it does not unpack to the bytes that were packed"
        raise ValueError(msg)
    return plain
