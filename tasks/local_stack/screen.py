"""Progress output for a person: permanent lines, and temporary lines that a terminal overwrites."""

import time
from typing import TextIO

PASSING_SECONDS = 10.0
"""Without a terminal, a temporary line is written only after this many seconds without output."""


class Screen:
    """Writes lines that begin with the seconds since the start."""

    def __init__(self, stream: TextIO) -> None:
        """Start the clock."""
        self._stream = stream
        self._begin = time.monotonic()
        self._in_place = stream.isatty()
        self._shown = ""
        self._quiet_since = self._begin

    def line(self, text: str) -> None:
        """Write a permanent line."""
        self._wipe()
        self._write(f"{self._stamp()}{text}\n")
        self._quiet_since = time.monotonic()

    def passing(self, text: str) -> None:
        """Show a temporary text. The next text replaces it."""
        if self._in_place:
            self._wipe()
            self._write(f"{self._stamp()}{text}")
        elif text != self._shown and time.monotonic() - self._quiet_since >= PASSING_SECONDS:
            self.line(text)
            self._shown = text

    def plain(self, text: str) -> None:
        """Write text without the time."""
        self._wipe()
        self._write(f"{text}\n")

    def _wipe(self) -> None:
        if self._in_place:
            self._write("\r\x1b[2K")

    def _stamp(self) -> str:
        return f"[{time.monotonic() - self._begin:4.0f} s] "

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
