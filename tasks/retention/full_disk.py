"""Recognise an error that a full disk caused. Such an error is worth a retry: somebody may free the disk meanwhile."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from stillhouse.tasks.errors import ServiceError, StillhouseError

FREE_IT = "free the disk"
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk, and of a full quota."""


@contextmanager
def retrying_full_disks(stage_name: str) -> Iterator[None]:
    """Turn an error that a full disk caused into a `ServiceError`, because a retry helps once the disk is freed."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:
        if not _is_of_full_disk(error):
            raise
        sentence = " ".join(str(error).split())[:300]
        said = str(error) if isinstance(error, StillhouseError) else f"stage {stage_name}: {sentence}"
        raise ServiceError(said if FREE_IT in said else f"{said}; the disk is full: {FREE_IT}") from error


def _is_of_full_disk(error: BaseException | None) -> bool:
    """Tell whether a full disk is the cause. Some libraries keep only the words of the error number."""
    while error is not None:
        if getattr(error, "errno", None) in FULL or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
