"""A child process that ends when its parent ends for any reason, so that no orphan works on (Linux only)."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with(parent: int, how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to end this process with its parent.

    Args:
        parent: process id. If it has ended already, this process ends now.
        how: signal that this process gets.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        sys.exit(0)
