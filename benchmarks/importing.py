"""How fast, in how much memory and how resumable is an import? 100,000 small PNG files, and a Parquet file of them.

`python benchmarks/importing.py FOLDER [COUNT]` needs 3 GB in FOLDER and about ten minutes. The plain loop reads each
file, hashes it and writes the same bytes to a file. Each measurement is a process of its own, and they take turns. What
earlier ones wrote is on the disk before a measurement begins; what it writes itself may stay in the page cache. Other
processes slow an import more than the loop, as it uses all cores: the load is shown, and the fastest turn with the
median.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.settings import Settings

COUNT, FEW, CLASSES, SIDE, TURNS = 100_000, 10, 10, 32, 3
SHAPE = (3, SIDE, SIDE)


def main() -> None:
    """Make the pictures, measure in turns, kill and resume, print."""
    root, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else COUNT  # noqa: PLR2004
    for number in (count // FEW, count):
        make_pictures(root / f"photos-{number}", root / f"photos-{number}.parquet", number)
    few = [measure(root, what, f"{root}/photos-{count // FEW}{ending}") for what, ending in IMPORTS]
    turns = [
        {
            "loop": measure(root, "loop", f"{root}/photos-{count}"),
            "append": measure(root, "append", f"{root}/photos-{count}"),
            **{f"import{ending}": measure(root, what, f"{root}/photos-{count}{ending}") for what, ending in IMPORTS},
        }
        for _ in range(TURNS)
    ]
    for name in turns[0]:
        report(name, [turn[name] for turn in turns], [turn["loop"] for turn in turns], count)
    for (_, ending), found in zip(IMPORTS, few, strict=True):
        print(f"import{ending}: {count // FEW:,} pictures peak at {found['peak'] / 1e6:.0f} MB")
    resume(root, count)


IMPORTS = (("import", ""), ("import", ".parquet"))


def report(name: str, found: list[dict[str, float]], loops: list[dict[str, float]], count: int) -> None:
    """Print the medians over the turns, the fastest, and the rates relative to the plain loop."""
    wall, cpu, peak = (median(each[key] for each in found) for key in ("wall", "cpu", "peak"))
    rates = {
        key: median(loop[key] / each[key] for loop, each in zip(loops, found, strict=True)) for key in ("wall", "cpu")
    }
    fastest, of_loops = (min(each["wall"] for each in turns) for turns in (found, loops))
    print(
        f"{name}: {wall:.1f} s, {count / wall:,.0f} pictures/s, {cpu:.1f} s of CPU, peak {peak / 1e6:.0f} MB; "
        f"{rates['wall']:.0%} of the loop's rate, {rates['cpu']:.0%} by CPU seconds; "
        f"fastest {fastest:.1f} s, {of_loops / fastest:.0%} of the fastest loop's rate"
    )


def make_pictures(folder: Path, table: Path, count: int) -> None:
    """Write different pictures as a folder for each class, and as one Parquet file."""
    if table.is_file():
        return
    schema = pa.schema({"image": pa.binary(), "label": pa.string()})
    for number in range(CLASSES):
        (folder / f"class {number}").mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(table.with_suffix(".partial"), schema) as writer:
        for start in range(0, count, 1000):
            rows = [_picture(folder, index) for index in range(start, min(start + 1000, count))]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    table.with_suffix(".partial").rename(table)


def _picture(folder: Path, index: int) -> dict[str, Any]:
    noise = np.random.default_rng(index).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    label = f"class {index % CLASSES}"
    path = folder / label / f"{index:06d}.png"
    Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    return {"image": path.read_bytes(), "label": label}


def measure(root: Path, what: str, source: str) -> dict[str, float]:
    """Do one thing in a process of its own; returns seconds, CPU seconds and peak bytes."""
    shutil.rmtree(root / "work", ignore_errors=True)
    (root / "work").mkdir()
    os.sync()
    load = os.getloadavg()[0]
    ran = subprocess.run(command(root, what, source), check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    print(what, source, found, f"load {load:.1f}", file=sys.stderr)
    return found


def command(root: Path, what: str, source: str) -> list[str]:
    """Give the command of a measurement."""
    return [sys.executable, __file__, str(root), what, source]


def do(root: Path, what: str, source: Path) -> None:
    """Do one thing, and print what it took."""
    begun = time.monotonic()
    {"loop": copy_files, "append": append_files, "import": import_pictures}[what](root / "work", source)
    used, status = os.times(), Path("/proc/self/status").read_text("ascii")
    found = {
        "wall": time.monotonic() - begun,
        "cpu": used.user + used.system + used.children_user + used.children_system,
        "peak": float(status.split("VmHWM:")[1].split()[0]) * 1024,
    }
    print(json.dumps(found))


def files_of(source: Path) -> Iterator[Path]:
    """List the pictures."""
    for folder in sorted(source.iterdir()):
        yield from sorted(folder.iterdir())


def copy_files(work: Path, source: Path) -> None:
    """Read, hash and write each file."""
    for path in files_of(source):
        content = path.read_bytes()
        hashlib.sha256(content).hexdigest()
        (work / path.name).write_bytes(content)


def append_files(work: Path, source: Path) -> None:
    """Read and hash each file, and write all into one file."""
    with (work / "all").open("wb") as stream:
        for path in files_of(source):
            content = path.read_bytes()
            hashlib.sha256(content).hexdigest()
            stream.write(content)


def import_pictures(work: Path, source: Path) -> None:
    """Import the pictures, and print each step."""
    settings = Settings(work, work / "state", work / "runs", "")
    found = import_local(settings, Wanted("pictures", source, SHAPE, "CC0"), lambda line: print(line, flush=True))
    print(sum(found.counts.values()), found.digest)


def resume(root: Path, count: int) -> None:
    """Kill an import with SIGKILL at half of its rows, and count what the next one reads again."""
    shutil.rmtree(root / "work", ignore_errors=True)
    (root / "work").mkdir()
    source = f"{root}/photos-{count}"
    child = subprocess.Popen(command(root, "import", source), stdout=subprocess.PIPE, text=True)
    for line in child.stdout or ():
        if line.startswith("reading ") and int(line.split()[1].replace(",", "")) >= count // 2:
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = len(list((root / "work" / "state" / "imports" / "pictures").glob("*.parquet")))
    ran = subprocess.run(command(root, "import", source), check=True, stdout=subprocess.PIPE, text=True)
    again = sum(line.startswith("reading ") for line in ran.stdout.splitlines())
    seconds = json.loads(ran.stdout.splitlines()[-1])["wall"]
    print(f"killed with {kept} chunks on disk; the next import read the {again} others and took {seconds:.1f} s")


if __name__ == "__main__":
    if len(sys.argv) > 3:  # noqa: PLR2004
        do(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    else:
        main()
