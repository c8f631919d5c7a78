"""Read a text file line by line, whatever it has, with no more than one line in memory."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from stillhouse.tasks.data.importing.sources.source import Row, Source, safe_id
from stillhouse.tasks.errors import DataError

LONGEST_LINE = 4 * 1024 * 1024
"""Maximum bytes of a line."""
BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def open_lines(files: Sequence[Path], root: Path) -> Source:
    """Take each line of text files as a text.

    Raises:
        DataError: a file is UTF-16.
    """
    for path in files:
        expect_utf8(path)
    what = files[0].name if len(files) == 1 else f"{len(files):,} files"
    read_as = f"texts, one a line: {safe_id(what)}, no labels"
    name = files[0].name if len(files) == 1 else root.resolve().name
    return Source(safe_id(name), "text", read_as, partial(_rows, files, root), labelled=False)


def read_lines(path: Path) -> Iterator[bytes | None]:
    """Yield the lines of a file without their ends. A line that is too long is None."""
    with path.open("rb") as stream:
        if stream.read(len(BOM)) != BOM:
            stream.seek(0)
        while line := stream.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(LONGEST_LINE)
                yield None
            else:
                yield line.rstrip(b"\r\n")


def expect_utf8(path: Path) -> None:
    """Refuse a file that begins as UTF-16.

    Raises:
        DataError: it does.
    """
    with path.open("rb") as stream:
        if stream.read(2) in UTF16:
            msg = f"{path} is UTF-16; save it as UTF-8"
            raise DataError(msg)


def _rows(files: Sequence[Path], root: Path) -> Iterator[Row]:
    for path in files:
        name = safe_id(path.relative_to(root).as_posix())
        for number, line in enumerate(read_lines(path), start=1):
            reason = "" if line is not None else f"the line has more than {LONGEST_LINE:,} bytes; give a shorter text"
            yield Row(f"{name}:{number}", line, "", reason)
