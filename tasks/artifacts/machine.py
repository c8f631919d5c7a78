"""On which kind of machine something was measured: a time of one processor says little of another.

A machine is its processor's model, the instructions it has and the cores that may be used; not its name, so that
hosts of one kind share what they measured.
"""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
NAMES = ("model name", "cpu", "Processor", "Hardware")
NUMBERS = ("cpu family", "model", "CPU implementer", "CPU part")
"""A virtual machine often hides the name; these tell processors of one name apart."""
INSTRUCTIONS = ("flags", "Features", "isa")
"""What x86, Arm and RISC-V call the list."""


@cache
def machine() -> str:
    """Name this machine in one line: `Intel(R) Xeon(R) Processor, model 207, 2 cores, instructions 1a2b3c4d`."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8")
    except OSError:
        text = ""
    return describe(text, len(os.sched_getaffinity(0)))


def describe(cpu_info: str, cores: int) -> str:
    """Name a machine.

    Args:
        cpu_info: what Linux tells of its processors; only the first counts.
        cores: those that may be used.
    """
    first = cpu_info.strip().split("\n\n", 1)[0]
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    name = next((fields[name] for name in NAMES if fields.get(name)), platform.processor() or platform.machine())
    numbers = [f"{number} {fields[number]}" for number in NUMBERS if number in fields]
    instructions = sorted({word for kind in INSTRUCTIONS for word in fields.get(kind, "").split()})
    digest = hashlib.sha256(" ".join(instructions).encode()).hexdigest()[:8]
    return ", ".join([name, *numbers, f"{cores} cores", f"instructions {digest}"])
