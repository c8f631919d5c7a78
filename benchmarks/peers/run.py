"""Compress one saved teacher with every peer and set the results beside our students: `make bench`.

`.venv-peers/bin/python -m benchmarks.peers.run --teacher FOLDER --data FOLDER --ours NAME=FILE --out docs`; without
arguments it takes what the newest nightly run left. `--quick` proves that every piece works, and its numbers mean
nothing. Each tool works in a process of its own; what they made is measured by one judge, in turns.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.peers.making import TOOLS, make
from benchmarks.peers.measuring import SPLIT, Effort, measure
from benchmarks.peers.newest import newest_data, newest_student, newest_teacher
from benchmarks.peers.prepare import prepare
from benchmarks.peers.report import write
from stillhouse.models.measurement.latency import machine

ROOT = Path(__file__).parents[2]
FULL = Effort(images=10_000, repeats=10, rounds=60, pause_seconds=5.0, confidence=0.95)
QUICK = Effort(images=500, repeats=2, rounds=10, pause_seconds=0.0, confidence=0.95)


def main() -> None:
    """Find the inputs, let everybody work, measure, write."""
    arguments = _arguments()
    recipe = yaml.safe_load(arguments.recipe.read_text(encoding="utf-8"))
    state = ROOT / ".stillhouse"
    data = arguments.data or newest_data(state, recipe["data"]["dataset"])
    teacher = arguments.teacher or newest_teacher(state, recipe["teacher"]["network"])
    ours = _named(arguments.ours) or {recipe["name"]: newest_student(state, teacher, data)}
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    request = prepare(
        work,
        teacher=teacher,
        data=data.resolve(),
        ours=list(ours.values()),
        recipe=recipe,
        wide_share=arguments.wide_share,
        quick=arguments.quick,
    )
    made, versions = make(work, request, arguments.without)
    made += [_student(name, path) for name, path in ours.items()]
    effort = QUICK if arguments.quick else FULL
    rows = measure(work, data, made, effort)
    write(arguments.out, rows, _about(arguments, versions, effort, time.monotonic() - started), effort.confidence)
    print(f"wrote {arguments.out / 'peers.md'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, help="folder with model.safetensors and architecture.json")
    parser.add_argument("--data", type=Path, help="folder of a materialised dataset")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME=FILE", help="a deployable of ours; repeat")
    parser.add_argument("--recipe", type=Path, default=ROOT / "dags/recipes/image_classification_hour.yaml")
    parser.add_argument("--wide-share", type=float, help="a second share of MACs left by pruning peers")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where peers.md, peers.json, pareto.png go")
    parser.add_argument("--work", type=Path, default=ROOT / ".stillhouse/peers", help="what is kept between runs")
    parser.add_argument("--without", action="append", default=[], choices=list(TOOLS), help="leave a peer out; repeat")
    parser.add_argument("--quick", action="store_true", help="little data, one epoch, few repeats")
    return parser.parse_args()


def _named(pairs: list[str]) -> dict[str, Path]:
    named = dict(pair.partition("=")[::2] for pair in pairs)
    missing = [path for path in named.values() if not Path(path).is_file()]
    if missing:
        sys.exit(f"--ours wants NAME=FILE, and there is no file {missing[0]!r}; export a student or mend the path")
    return {name: Path(path) for name, path in named.items()}


def _student(name: str, path: Path) -> dict[str, Any]:
    """Describe one of ours as the peers describe theirs."""
    return {
        "tool": "Stillhouse",
        "what": name,
        "ours": True,
        "trained": True,
        "runtime": "stillhouse",
        "files": [str(path)],
        "seconds": None,
    }


def _about(arguments: argparse.Namespace, versions: dict[str, str], effort: Effort, seconds: float) -> dict[str, Any]:
    here = machine()
    names = [pair.partition("=")[0] for pair in arguments.ours]
    quick = {"warning": "a --quick run, whose numbers mean nothing"} if arguments.quick else {}
    return quick | {
        "machine": f"{here['cpu']} ({', '.join(here['instructions'])})",
        "versions": ", ".join(f"{name} {number}" for name, number in sorted(versions.items())),
        "measured": f"{effort.images:,} images of the {SPLIT} split, {effort.repeats} repeats of {effort.rounds} turns",
        "recipe": arguments.recipe.stem,
        "command": shlex.join(["make", "bench"]) if not names else "make bench BENCH='--teacher ... --ours ...'",
        "date": time.strftime("%Y-%m-%d"),
        "took": f"{seconds / 60:.0f} minutes",
    }


if __name__ == "__main__":
    main()
