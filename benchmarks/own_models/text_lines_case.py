"""A recogniser of text lines, PP-OCR's: `stillhouse compress` beside ONNX Runtime's own dynamic int8, in one run.

Usage: PYTHONPATH=src python benchmarks/own_models/text_lines_case.py FOLDER [MINUTES] [LINES]

The recogniser comes with the package `rapidocr` of PyPI (Apache 2.0), which pip downloads. LINES lines are drawn here:
parts of WordNet's definitions in the fonts of matplotlib, in many sizes and colours, a little turned, blurred and
noisy. FOLDER gets the recogniser, the lines with lines.csv, the result of `compress`, and results.json. What is already
there is used again. The script prints the command and a table.
"""

import csv
import json
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import yaml
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from text_case import SCHEDULE, fetch_glosses

from stillhouse.models.data.written.lines import letters_of
from stillhouse.models.measurement.latency import compare_calls
from stillhouse.models.measurement.statistics import bootstrap_pairs
from stillhouse.models.measurement.transcription import count_errors
from stillhouse.models.onnx.recogniser import LineForm, adopt_recogniser
from stillhouse.models.runtime.bundle import Bundle, open_bundle
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_recognition.runtime import RUNTIME
from stillhouse.models.workloads.transcripts.spelling import LETTERS
from stillhouse.tasks.settings import load_settings

PACKAGE, MODEL = "rapidocr==3.10.0", "PP-OCRv6_rec_small.onnx"
FONTS = ("DejaVuSans*", "DejaVuSerif*", "STIXGeneral*")
SYMBOLS = ("Display", "NonUni", "Size")
"""Parts of the names of fonts without ordinary letters."""
LINES, MOST_WORDS, MOST_LETTERS, SEED, NAME = 10_000, 3, 20, 7, "text_lines"
GOALS = ("--keep", "99%", "--smaller", "4x", "--faster", "2x")
CONFIDENCE = 0.95


def main(work: Path, minutes: str, count: int) -> None:
    """Make what is missing, judge all files on the gate split, and print the table."""
    work.mkdir(parents=True, exist_ok=True)
    model, lines = fetch_recogniser(work), write_lines(work, count)
    result = work / "compressed" / NAME
    if not (result / "report.html").exists():
        command = [sys.executable, "-m", "stillhouse.tasks.cli", "compress", str(model), "--task", "text-recognition"]
        command += ["--data", str(lines), "--name", NAME, *GOALS, "--minutes", minutes]
        print(" ".join(command))
        subprocess.run([*command, "--into", str(work / "compressed")], check=True)
    recipe = yaml.safe_load((result / "recipes" / f"{NAME}.yaml").read_text(encoding="utf-8"))
    data = load_settings().data_cache / recipe["data"]["sha256"]
    found = judge({**teachers(work, model, recipe["teacher"], data), "ours": open_bundle(result / "bundle")}, data)
    (work / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for name, row in found.items():
        print(f"{name:14}", *(f"{key} {value}" for key, value in row.items()), sep="  ")


def fetch_recogniser(work: Path) -> Path:
    """Download the package and unpack its recogniser."""
    path = work / MODEL
    if not path.exists():
        if not list(work.glob("rapidocr*.whl")):
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", work, PACKAGE], check=True
            )
        with zipfile.ZipFile(next(work.glob("rapidocr*.whl"))) as wheel:
            path.write_bytes(wheel.read(f"rapidocr/models/{MODEL}"))
    return path


def write_lines(work: Path, count: int) -> Path:
    """Draw the lines and write a table of their texts, unless they are there."""
    table = work / "lines" / "lines.csv"
    if table.exists():
        return table
    glosses = [gloss for gloss in fetch_glosses(work).read_text(encoding="utf-8").splitlines() if gloss.isascii()]
    fonts = [
        path for pattern in FONTS for path in sorted(Path(mpl.get_data_path(), "fonts", "ttf").glob(f"{pattern}.ttf"))
    ]
    fonts = [path for path in fonts if not any(part in path.name for part in SYMBOLS)]
    made = work / "lines.partial"
    made.mkdir(exist_ok=True)
    with (made / "lines.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "text"))
        for number in range(count):
            generator = np.random.default_rng((SEED, number))
            text = part_of(glosses[number % len(glosses)], generator)
            draw(text, fonts, generator).save(made / f"{number:05d}.png")
            writer.writerow((f"{number:05d}.png", text))
    made.rename(table.parent)
    return table


def part_of(gloss: str, generator: np.random.Generator) -> str:
    """Choose some neighbouring words of a definition."""
    words = gloss.split()
    first = int(generator.integers(0, len(words)))
    return " ".join(words[first : first + int(generator.integers(1, MOST_WORDS + 1))])[:MOST_LETTERS].strip()


def draw(text: str, fonts: list[Path], generator: np.random.Generator) -> Image.Image:
    """Draw a line in a random font, size and colours, a little turned, blurred and noisy."""
    font = ImageFont.truetype(str(fonts[int(generator.integers(len(fonts)))]), int(generator.integers(22, 44)))
    left, top, right, bottom = font.getbbox(text)
    margin = [int(each) for each in generator.integers(3, 9, 2)]
    size = (int(right - left) + 2 * margin[0], int(bottom - top) + 2 * margin[1])
    paper, ink = generator.integers(190, 256, 3), generator.integers(0, 110, 3)
    if generator.random() < 0.2:  # noqa: PLR2004 - one of five lines is light on dark
        paper, ink = ink, paper
    image = Image.new("RGB", size, tuple(paper.tolist()))
    ImageDraw.Draw(image).text((margin[0] - left, margin[1] - top), text, tuple(ink.tolist()), font)
    turned = image.rotate(float(generator.normal(0, 0.5)), Image.Resampling.BILINEAR, fillcolor=tuple(paper.tolist()))
    blurred = turned.filter(ImageFilter.GaussianBlur(float(generator.uniform(0, 1))))
    noise_HWC = generator.normal(0, generator.uniform(0, 10), (size[1], size[0], 3))
    return Image.fromarray((np.asarray(blurred) + noise_HWC).clip(0, 255).astype(np.uint8))


def teachers(work: Path, model: Path, asked: dict[str, Any], data: Path) -> dict[str, Bundle]:
    """Adopt the recogniser in fp32, and let ONNX Runtime make it int8."""
    letters, files = letters_of(data), {name: work / f"{name}.onnx" for name in ("fp32", "ort_dynamic")}
    form = LineForm(asked["scale"], asked["offset"], asked["colours"], asked["output"])
    adopt_recogniser(model, files["fp32"], form, letters, RUNTIME.load_split(data, "calibration").images_NCHW)
    quant_pre_process(str(files["fp32"]), str(work / "prepared.onnx"), skip_symbolic_shape=True)
    quantize_dynamic(work / "prepared.onnx", files["ort_dynamic"], weight_type=QuantType.QUInt8)
    return {name: Bundle("text_recognition", {ALONE: [file]}, {LETTERS: letters}) for name, file in files.items()}


def judge(bundles: dict[str, Bundle], data: Path) -> dict[str, dict[str, Any]]:
    """Measure bytes, character error rate and time of each bundle against the first one."""
    split = RUNTIME.load_split(data, "gate")
    errors = {name: count_errors(split.texts, RUNTIME.ask(each, split), "characters") for name, each in bundles.items()}
    first = next(iter(bundles))
    request, lengths_N = RUNTIME.one_request(data, split), errors[first].lengths_N.astype(float)
    rows: dict[str, dict[str, Any]] = {}
    for name, bundle in bundles.items():
        calls = (partial(RUNTIME.call, bundles[first], request), partial(RUNTIME.call, bundle, request))
        timing = compare_calls(calls, SCHEDULE)
        pair = (1 - errors[each].each / lengths_N for each in (first, name))
        _, lost = bootstrap_pairs(*pair, CONFIDENCE, None, lengths_N)
        rows[name] = {
            "bytes": bundle.size,
            "smaller": round(bundles[first].size / bundle.size, 2),
            "cer": round(errors[name].rate, 4),
            "points_more": round(100 * (errors[name].rate - errors[first].rate), 2),
            "points_interval": [round(-100 * end, 2) for end in reversed(lost)],
            "milliseconds": round(timing.candidate.p10, 4),
            "faster": round(timing.ratio, 2),
            "faster_interval": [round(end, 2) for end in timing.interval],
        }
    return rows


if __name__ == "__main__":
    given = sys.argv[2:]
    main(Path(sys.argv[1]).resolve(), given[0] if given else "25", int(given[1]) if len(given) > 1 else LINES)
