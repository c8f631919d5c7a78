"""What must hold before a night begins. Each function returns a note, or raises a sentence with the remedy."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from stillhouse.models.data.description import with_split_names
from stillhouse.tasks.artifacts.source_digest import ABSENT
from stillhouse.tasks.data.checks.contract import UNCHECKED, find_checker
from stillhouse.tasks.data.format.dataset import MANIFEST, SPLITS, read_description
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.judging import Gate
from stillhouse.tasks.rehearsal.estimate import Estimate, available_bytes
from stillhouse.tasks.rehearsal.rehearse import Rehearsed
from stillhouse.tasks.rehearsal.shorten import EPOCHS
from stillhouse.tasks.reporting.quantities import mebibytes
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.validate import judge, name_failed

LEAST_FALL = 0.001
"""Least share by which a loss falls over the epochs of a rehearsal."""
HALF = 0.5
"""A student of a few epochs has nearly the bytes and the time of a trained one. If it reaches less than this share of a
limit of the gate, the trained one cannot pass.
"""


def expect_rows(data: Path) -> str:
    """Expect every split to have rows."""
    described = read_description(data)
    counts = {name: described["splits"].get(name, {}).get("count", 0) for name in SPLITS}
    if empty := [name for name, count in counts.items() if not count]:
        msg = f"the split {empty[0]} of {described['name']} is empty; build the data with rows in every split"
        raise StillhouseError(msg)
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def expect_apart(data: Path) -> None:
    """Expect no content to be in two splits."""
    manifest = with_split_names(pq.read_table(data / MANIFEST))
    homes: dict[str, set[str]] = {}
    for digest, split in zip(manifest["sha256"].to_pylist(), manifest["split"].to_pylist(), strict=True):
        homes.setdefault(digest, set()).add(split)
    shared = [sorted(splits) for splits in homes.values() if len(splits) > 1]
    if shared:
        first, second = shared[0][:2]
        msg = f"{len(shared)} examples are in {first} and in {second}; take them out of one and build the data again"
        raise StillhouseError(msg)


def expect_contract(data: Path, scratch: Path) -> str:
    """Expect the data to meet every expectation."""
    described = read_description(data)
    if find_checker() == ABSENT:
        return UNCHECKED
    from stillhouse.tasks.data.checks.data_tables import tables_of

    outcomes = judge(tables_of(data, described), described, scratch / "docs", scratch, lambda _: None)
    if failed := [outcome for outcome in outcomes if not outcome["success"]]:
        msg = f"the data fails {len(failed)} of {len(outcomes)} expectations: {name_failed(failed)}; mend the data"
        raise StillhouseError(msg)
    return f"{len(outcomes)} expectations"


def expect_learned(found: Rehearsed) -> str:
    """Expect a stage to run and, if it trains, its loss to fall."""
    if found.fault:
        raise StillhouseError(found.fault)
    if not found.losses:
        return f"{found.seconds:.0f} s"
    first, last = found.losses[0], found.losses[-1]
    if first - last < LEAST_FALL * abs(first):
        msg = (
            f"the loss does not fall: {first:.4g} in the first of {EPOCHS} short epochs, {last:.4g} in the last; "
            "change the learning rate, or look whether the labels belong to the examples"
        )
        raise StillhouseError(msg)
    return f"loss {first:.4g} to {last:.4g}, {found.seconds:.0f} s"


def expect_reachable(gate: Gate, evaluated: Path) -> str:
    """Expect the student of the rehearsal to come near the limits of the gate on bytes and time.

    Args:
        gate: the limits.
        evaluated: output of the rehearsed stage `evaluate`.
    """
    ratios = json.loads((evaluated / "evaluation.json").read_text(encoding="utf-8"))["ratios"]
    smaller, faster = ratios["bytes"], ratios["latency"]["interval"][1]
    for name, ratio, limit, what in (
        ("bytes", smaller, gate.bytes, "smaller"),
        ("latency", faster, gate.latency, "faster"),
    ):
        if ratio < HALF * limit:
            msg = (
                f"gate.{name} asks for {limit:g}x, and the rehearsed student is {ratio:.3g}x {what}; name a smaller "
                f"student or a further step, or lower gate.{name}"
            )
            raise StillhouseError(msg)
    return f"the rehearsed student is {smaller:.3g}x smaller and up to {faster:.3g}x faster"


def expect_room(needed: Estimate) -> str:
    """Expect the machine to have the memory and the disk of a night."""
    free, disk = available_bytes(), shutil.disk_usage(load_settings().root).free
    if needed.bytes > free:
        msg = (
            f"the night needs {mebibytes(needed.bytes)} of memory and {mebibytes(free)} are free; lower "
            "augmented_views or batch_size, or take a larger machine"
        )
        raise StillhouseError(msg)
    if disk < needed.bytes:
        msg = f"the disk has {mebibytes(disk)} left; free {mebibytes(needed.bytes)} for the outputs of the night"
        raise StillhouseError(msg)
    return f"a first night takes about {needed.minutes:.0f} minutes here, and {mebibytes(needed.bytes)} of memory"
