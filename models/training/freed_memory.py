"""Keep the memory that this process frees, for its next tensors.

The C library gives the memory of large tensors back to the system at once. The next training step asks for it again,
and the system clears it page by page: a quarter of the time of a Conformer's step.
"""

import ctypes

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Numbers of two options of mallopt(3)."""


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory. Returns whether it can: others than glibc have no such option."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
