"""A ResNet of transformers on pictures of clothes: `stillhouse compress` beside ONNX Runtime's own int8, in one run.

Usage: PYTHONPATH=src python benchmarks/own_models/pictures_case.py FOLDER [MINUTES]

FOLDER gets the model, which `transformers_case.py` trains in ten minutes on one core, 18,000 pictures with a table of
their classes, the result of `compress`, and results.json. What is already there is used again. ONNX Runtime's int8 is
what `optimum-cli onnxruntime quantize` and `olive quantize` run: static, per channel, calibrated on 500 pictures.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from transformers_case import EPOCHS, NAME, fetch, train

from stillhouse.models.data.description import describe
from stillhouse.models.data.images import Images, load_images
from stillhouse.models.families.image_classifier import adopt_classifier
from stillhouse.models.inspection.source import find_source
from stillhouse.models.measurement.latency import Schedule, compare_calls
from stillhouse.models.measurement.statistics import accuracy_ratio_interval
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.bundle import Bundle, open_bundle
from stillhouse.models.workloads.image_classification.runtime import RUNTIME
from stillhouse.models.workloads.registry import ALONE
from stillhouse.tasks.settings import load_settings

LIST = "list.csv"
PICTURES, CALIBRATION, CONFIDENCE = 18_000, 500, 0.95
GOALS = ("--keep", "99%", "--smaller", "6x", "--faster", "4x")
SCHEDULE = Schedule(repeats=9, most=9, rounds=40, pause_seconds=1, confidence=CONFIDENCE, limit=1.0)


def main(work: Path, minutes: str) -> None:
    """Make what is missing, judge all files on the gate split, and print the table."""
    work.mkdir(parents=True, exist_ok=True)
    everything = fetch()
    if not (work / NAME / "model.safetensors").exists():
        train(everything, work / NAME, EPOCHS)
    write_pictures(everything, work / "photos")
    result = work / "compressed" / NAME
    if not (result / "report.html").exists():
        command = [sys.executable, "-m", "stillhouse.tasks.cli", "compress", str(work / NAME), *GOALS]
        command += ["--data", str(work / "photos" / LIST), "--side", "28", "--grey", "--minutes", minutes]
        subprocess.run([*command, "--into", str(work / "compressed")], check=True)
    recipe = yaml.safe_load((result / "recipes" / f"{NAME}.yaml").read_text(encoding="utf-8"))
    data = load_settings().data_cache / recipe["data"]["sha256"]
    found = judge({**teachers(work, data), "ours": open_bundle(result / "bundle")}, data)
    (work / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for name, row in found.items():
        print(f"{name:14}", *(f"{key} {value}" for key, value in row.items()), sep="  ")


def write_pictures(data: Path, folder: Path) -> None:
    """Write pictures of the training split as PNG files and a table of their classes, unless they are there."""
    if folder.exists():
        return
    pictures, names = load_images(data, "train"), describe(data)["labels"]
    made = folder.with_name("photos.partial")
    made.mkdir(exist_ok=True)
    with (made / LIST).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "label"))
        for number in range(PICTURES):
            Image.fromarray(pictures.images_NCHW[number, 0]).save(made / f"{number:05d}.png")
            writer.writerow((f"{number:05d}.png", names[pictures.labels_N[number]]))
    made.rename(folder)


def teachers(work: Path, data: Path) -> dict[str, Bundle]:
    """Export the model in fp32, and let ONNX Runtime make it int8."""
    adopted = adopt_classifier(find_source(work / NAME), data)
    pictures = load_images(data, "calibration").images_NCHW[:CALIBRATION]
    files = {name: work / f"{name}.onnx" for name in ("fp32", "int8")}
    export_model(adopted.module, adopted.architecture, pictures, files["fp32"])
    quant_pre_process(str(files["fp32"]), str(work / "prepared.onnx"), skip_symbolic_shape=True)
    reader = Reader(pictures)
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(str(work / "prepared.onnx"), str(files["int8"]), reader, per_channel=True, **kinds)
    return {name: Bundle("image_classification", {ALONE: [file]}, {}) for name, file in files.items()}


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Pictures for the calibration, one at a time."""

    def __init__(self, images_NCHW: NDArray[np.uint8]) -> None:
        """Take raw pictures (N, C, H, W)."""
        self.left: Iterator[NDArray[np.uint8]] = iter(images_NCHW[:, None])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next picture, or None at the end."""
        image_1CHW = next(self.left, None)
        return None if image_1CHW is None else {"images_NCHW": image_1CHW}


def judge(bundles: dict[str, Bundle], data: Path) -> dict[str, dict[str, Any]]:
    """Measure bytes, accuracy and time of each bundle against the first one."""
    split = RUNTIME.load_split(data, "gate")
    pictures: Images = split[0]
    right = {name: RUNTIME.ask(bundle, split) == pictures.labels_N for name, bundle in bundles.items()}
    first = next(iter(bundles))
    request = RUNTIME.one_request(data, split)
    rows: dict[str, dict[str, Any]] = {}
    for name, bundle in bundles.items():
        calls = (partial(RUNTIME.call, bundles[first], request), partial(RUNTIME.call, bundle, request))
        timing = compare_calls(calls, SCHEDULE)
        kept = accuracy_ratio_interval(right[first], right[name], CONFIDENCE)
        rows[name] = {
            "bytes": bundle.size,
            "smaller": round(bundles[first].size / bundle.size, 2),
            "accuracy": round(float(right[name].mean()), 4),
            "kept": round(float(right[name].mean() / right[first].mean()), 4),
            "kept_interval": [round(end, 4) for end in kept],
            "milliseconds": round(timing.candidate.p10, 4),
            "faster": round(timing.ratio, 2),
            "faster_interval": [round(end, 2) for end in timing.interval],
        }
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "20")  # noqa: PLR2004 - the optional one
