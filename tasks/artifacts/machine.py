"""The kind of machine that a measurement ran on: times of one processor say little about another processor.

A machine is the processor's model, its instruction set and the number of usable cores. The host name does not count,
so hosts of one kind share their measurements.
"""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
NAMES = ("model name", "cpu", "Processor", "Hardware")
NUMBERS = ("cpu family", "model", "CPU implementer", "CPU part")
"""Numbers that tell apart processors of one name; a virtual machine often hides the name."""
INSTRUCTIONS = ("flags", "Features", "isa")
"""The names of the list of instructions on x86, Arm and RISC-V."""


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
        cpu_info: Linux's description of the processors; only the first one counts.
        cores: number of usable cores.
    """
    first = cpu_info.strip().split("\n\n", 1)[0]
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    name = next((fields[name] for name in NAMES if fields.get(name)), platform.processor() or platform.machine())
    numbers = [f"{number} {fields[number]}" for number in NUMBERS if number in fields]
    instructions = sorted({word for kind in INSTRUCTIONS for word in fields.get(kind, "").split()})
    digest = hashlib.sha256(" ".join(instructions).encode()).hexdigest()[:8]
    return ", ".join([name, *numbers, f"{cores} cores", f"instructions {digest}"])
