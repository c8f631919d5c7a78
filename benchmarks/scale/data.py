"""Seconds of a core of the data's ways against their size: DVC's push and pull, digests, Great Expectations.

`.venv/bin/python benchmarks/scale/data.py` needs 4 GB in the folder of temporary files. The remote is a folder, so its
disk and processor count, and no network does.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from points import keep

MEGABYTES = (128, 256, 512, 1024)
FILES = (1_000, 2_500, 5_000, 10_000)
ROWS = (25_000, 50_000, 100_000, 200_000)
SHARD = 64 * 2**20
SMALL = 3_000


def main(folder: Path) -> None:
    """Print and keep the points of all ways."""
    os.environ |= {"STILLHOUSE_STATE": str(folder / "state"), "STILLHOUSE_RUNS": str(folder / "runs")}
    os.environ |= {"GX_ANALYTICS_ENABLED": "false"}
    shards = [{"megabytes": size, **move(folder / f"shards_{size}", shard_sizes(size))} for size in MEGABYTES]
    keep("data_shards", shards)
    files = [{"files": count, **move(folder / f"files_{count}", [SMALL] * count)} for count in FILES]
    keep("data_files", files)
    rows = [{"rows": count, **validate(folder / f"rows_{count}", count)} for count in ROWS]
    keep("data_rows", rows)


def shard_sizes(megabytes: int) -> list[int]:
    """Return the sizes of shards that have so many megabytes together."""
    return [SHARD] * (megabytes * 2**20 // SHARD)


def move(folder: Path, sizes: list[int]) -> dict[str, float]:
    """Digest, push and pull files of noise with these sizes."""
    from stillhouse.tasks.artifacts.artifact import file_digest
    from stillhouse.tasks.data.store.build_data import push_folder
    from stillhouse.tasks.data.store.remote import list_folder, open_remote
    from stillhouse.tasks.settings import load_settings

    generator = np.random.default_rng(len(sizes))
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        (folder / f"{number:05}").write_bytes(generator.bytes(size))
    remote, listing = open_remote(load_settings()), dict[str, str]()
    found = {"sha256": seconds(lambda: [file_digest(path) for path in folder.iterdir()])}
    found["md5"] = seconds(lambda: listing.update(list_folder(folder)))
    found["push"] = seconds(lambda: push_folder(folder, listing, remote, lambda _: None))
    target = folder.with_name("target")
    found["pull"] = seconds(lambda: [remote.fetch(oid, target, name) for name, oid in listing.items()])
    for path in (target, *folder.iterdir()):
        path.unlink()
    print(folder.name, json.dumps(found), flush=True)
    return found


def validate(folder: Path, count: int) -> dict[str, float]:
    """Write a dataset of pictures of noise, and run the stage `validate` on it in a new process."""
    from stillhouse.tasks.artifacts.artifact import file_digest, write_json
    from stillhouse.tasks.data.format.dataset import DESCRIPTION
    from stillhouse.tasks.settings import load_settings

    write(folder / "data", count)
    digest = file_digest(folder / "data" / DESCRIPTION)
    cache = load_settings().data_cache / digest
    cache.parent.mkdir(parents=True, exist_ok=True)
    (folder / "data").rename(cache)
    (folder / "pull").mkdir()
    write_json(folder / "pull" / "data.json", {"dataset": "digits", "dvc_md5": "", "digest": digest})
    for name in ("out", "scratch"):
        (folder / name).mkdir()
    child = [sys.executable, __file__, "--validate", str(folder)]
    done = subprocess.run(child, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(count, json.dumps(found), flush=True)
    return found


def validate_here(folder: Path) -> None:
    """Run the stage, and print its seconds and this process's largest memory."""
    import resource

    import great_expectations  # noqa: F401 - so that its import is not timed

    from stillhouse.tasks.data.checks import data_tables  # noqa: F401 - likewise
    from stillhouse.tasks.pipeline.job import Job
    from stillhouse.tasks.stages.validate import validate_data

    job = Job(
        settings={},
        inputs={"data": folder / "pull"},
        out=folder / "out",
        scratch=folder / "scratch",
        shared=folder / "shared",
        progress=lambda _: None,
        record=lambda *_: None,
    )
    found = {"validate": seconds(lambda: validate_data(job))}
    found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def write(folder: Path, count: int) -> None:
    """Write a dataset as that of the digits, with pictures of noise."""
    from stillhouse.tasks.data.format.dataset import Example, read_description, write_dataset
    from stillhouse.tasks.data.store.build_data import PLANS

    model = folder.with_name("digits")
    if not model.exists():
        PLANS["digits"].build(model, "digits", lambda _: None)
    described, generator = read_description(model), np.random.default_rng(count)
    pixels = int(np.prod(described["image_shape"]))
    images = generator.integers(0, described["value_range"][1] + 1, (count, pixels), dtype=np.uint8)
    examples = [Example(f"noise/{number}", image.tobytes(), number % 10) for number, image in enumerate(images)]
    total = sum(split["count"] for split in described["splits"].values())
    splits, first = {}, 0
    for name, split in described["splits"].items():
        last = first + count * split["count"] // total
        splits[name], first = examples[first:last], last
    about = {key: value for key, value in described.items() if key not in {"splits", "manifest", "licence_file"}}
    folder.mkdir(parents=True)
    write_dataset(folder, about, b"licence", splits, {})


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds of a core that some work takes. Other work on the machine changes them little."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    if sys.argv[1:2] == ["--validate"]:
        validate_here(Path(sys.argv[2]))
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
