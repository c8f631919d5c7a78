"""What a training step frees stays with the process."""

import resource
import subprocess
import sys

PROGRAM = """
import resource, sys
from stillhouse.models.training.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
length = 40_000_000
for _ in range(20):
    b"x" * length
    length += 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=True, text=True)
    return int(done.stdout)


def test_freed_memory_is_used_again() -> None:
    """Twenty texts of 40 MB, one after the other, need the pages of one text."""
    page = resource.getpagesize()
    assert _faults("keep") + 10 * 40_000_000 // page < _faults("give back")
