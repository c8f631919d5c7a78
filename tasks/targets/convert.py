"""Write a model for a target and judge it there: answers, bytes and time beside ONNX Runtime's.

The folder of the result appears when it is whole. Its `target.json` lists the files with their digests, the labels and
other facts of the bundle, and the measurements.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stillhouse.models.aside import ABANDONED_SECONDS, SUFFIX
from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import portable_of
from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.environment import ensure_environment
from stillhouse.tasks.foreign.inside import run_inside
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.targets.inputs import Raws, raw_inputs
from stillhouse.tasks.targets.judged import Converted, Judged, judged_of
from stillhouse.tasks.targets.source import Source
from stillhouse.tasks.targets.targets import Target

MANIFEST = "target.json"
SCHEDULE = {"repeats": 5, "most": 15, "rounds": 20, "pause_seconds": 0.2, "confidence": 0.95, "limit": 1.0}
"""Fields of `models.measurement.latency.Schedule`."""
Progress = Callable[[str], None]


def convert_to(  # noqa: PLR0913, PLR0917 - what, where to, with which data
    target: Target, source: Source, data: Path, into: Path, settings: Settings, progress: Progress
) -> Converted:
    """Write a model for a target and judge it there.

    Args:
        target: the runtime.
        source: the model.
        data: folder of a dataset of the model. Its gate split judges, and its calibration split calibrates.
        into: folder of the result. It must not be there, or be empty.
        settings: the deployment whose state folder holds the environment.
        progress: is told what takes long.

    Returns:
        What each component is like in the target.

    Raises:
        StillhouseError: the target takes no component, or its environment cannot be made.
    """
    _expect_free(into)
    try:
        inputs = raw_inputs(source.bundle, data)
    except ModelError as error:
        raise StillhouseError(str(error)) from error
    with _write_folder_aside(into) as folder:
        judged, refused = dict[str, Judged](), dict[str, str]()
        for name in source.bundle.components:
            try:
                judged[name] = _convert_one(target, source, name, inputs[name], data, folder, settings, progress)
            except (ModelError, StillhouseError) as error:
                refused[name] = str(error)
        if not judged:
            raise StillhouseError(next(iter(refused.values())))
        found = _add_up(target, source.bundle, judged, refused, folder)
        _write_manifest(folder, source.bundle, found)
    return found


def _convert_one(  # noqa: PLR0913, PLR0917 - one component with all that belongs to it
    target: Target,
    source: Source,
    name: str,
    raws: Raws,
    data: Path,
    folder: Path,
    settings: Settings,
    progress: Progress,
) -> Judged:
    with tempfile.TemporaryDirectory() as scratch:
        inputs, answers = Path(scratch) / "inputs.npz", Path(scratch) / "answers.npz"
        prepared = target.prepare(source, name, data, Path(scratch))
        python = ensure_environment(settings, progress, target.lock)
        progress(f"converting {name} to {target.words} and judging it there, on {len(raws)} inputs")
        np.savez(inputs, **{str(place): raw for place, raw in enumerate(raws)})  # type: ignore[arg-type] # names to arrays
        request = {
            "reference": str(source.bundle.file(name).resolve()),
            "source": str(prepared),
            "target": str(folder.resolve() / f"{name}{target.suffix}"),
            "inputs": str(inputs),
            "answers": str(answers),
            "schedule": SCHEDULE,
        }
        found = run_inside(python, target.module, request)
        with np.load(answers) as stored:
            return judged_of(portable_of(source.bundle.workload).answer, stored["reference"], stored["target"], found)


def _expect_free(into: Path) -> None:
    if into.exists() and not (into.is_dir() and not any(into.iterdir())):
        msg = f"{into} is there already and not an empty folder; name a new one with --into, or delete it"
        raise StillhouseError(msg)


@contextmanager
def _write_folder_aside(into: Path) -> Iterator[Path]:
    """Yield a folder beside `into`. It is renamed to `into` unless the block raises.

    What a killed process left there a day ago is removed.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    for old in into.parent.glob(f".{into.name}.*{SUFFIX}"):
        if time.time() - old.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{into.name}.", suffix=SUFFIX, dir=into.parent))
    try:
        yield aside
        aside.chmod(0o755)
        aside.rename(into)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _add_up(
    target: Target, bundle: Bundle, judged: Mapping[str, Judged], refused: Mapping[str, str], folder: Path
) -> Converted:
    """Copy the files that ship beside the networks, such as a tokenizer, and count all bytes of both sides."""
    ours = [path for name in judged for path in bundle.components[name]]
    for path in (path for name in judged for path in bundle.components[name][1:]):
        shutil.copyfile(path, folder / path.name)
    there, here = (sum(path.stat().st_size for path in paths) for paths in (folder.iterdir(), ours))
    return Converted(target.name, target.words, there, here, judged, refused)


def _write_manifest(folder: Path, bundle: Bundle, found: Converted) -> None:
    content: Mapping[str, object] = {
        "target": found.target,
        "workload": bundle.workload,
        "made_of": bundle.digest,
        "files": {path.name: file_digest(path) for path in sorted(folder.iterdir())},
        "about": dict(bundle.about),
        "measured": asdict(found),
    }
    write_json(folder / MANIFEST, content)
