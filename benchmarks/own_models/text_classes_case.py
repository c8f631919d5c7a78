"""A BERT classifier of WordNet's nouns: `stillhouse compress` beside ONNX Runtime's own dynamic int8, in one run.

Usage: PYTHONPATH=src python benchmarks/own_models/text_classes_case.py FOLDER [MINUTES] [TEXTS] [EPOCHS]

The task is real and hard: tell from a definition which of WordNet's 25 kinds of things it defines, such as `food`.
Kinds with few definitions are left out. A script trains the teacher from MiniLM-L6 on TEXTS definitions and saves it
as people do. `compress` gets half as many others, so the teacher's accuracy is that on new texts. FOLDER gets the
teacher, labels.csv, the result of `compress`, and results.json. What is already there is used again. The script prints
the command and a table.
"""

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from text_case import SCHEDULE, fetch_model, fetch_wordnet, labelled_glosses_of

from stillhouse.models.families.bert_classifier import adopt_text_classifier
from stillhouse.models.inspection.source import find_source
from stillhouse.models.measurement.latency import compare_calls
from stillhouse.models.measurement.statistics import mean_interval
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.bundle import Bundle, open_bundle
from stillhouse.models.runtime.tokens import TOKENIZER
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_classification.runtime import RUNTIME, Split
from stillhouse.tasks.settings import load_settings

FIRST = 4
"""WordNet's number of the first class; the number before has 51 definitions of no kind."""
KINDS = (
    *("act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event", "feeling", "food"),
    *("group", "location", "motive", "object", "person", "phenomenon", "plant", "possession", "process", "quantity"),
    *("relation", "shape", "state", "substance", "time"),
)
TEXTS, EPOCHS, SEED = 48_000, 2, 7
LEAST = 60
"""Definitions that a class needs among those for `compress`."""
BATCH, RATE, WARMUP = 32, 1e-4, 0.1
GOALS = ("--keep", "99%", "--smaller", "4x", "--faster", "2x")
Pairs = list[tuple[str, str]]
"""Texts with their labels."""


def main(work: Path, minutes: str, texts: int, epochs: int) -> None:
    """Make what is missing, judge all files on the gate split, and print the table."""
    work.mkdir(parents=True, exist_ok=True)
    known, new = divide(work, texts)
    labels = sorted({label for _, label in new})
    teacher = train(work, [pair for pair in known if pair[1] in labels], labels, epochs)
    result = compress(work, teacher, write_table(work, new), minutes)
    recipe = yaml.safe_load((result / "recipes" / "text_classes.yaml").read_text(encoding="utf-8"))
    data = load_settings().data_cache / recipe["data"]["sha256"]
    bundles = {**export_teacher(work, teacher, data), "ours": open_bundle(result / "bundle")}
    found = judge(bundles, RUNTIME.load_split(data, "gate"))
    (work / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for name, row in found.items():
        print(f"{name:28}", *(f"{key} {value}" for key, value in row.items()), sep="  ")


def divide(work: Path, texts: int) -> tuple[Pairs, Pairs]:
    """Return definitions for the teacher, and half as many others for `compress`. Rare classes are left out there."""
    file = next(path for path in fetch_wordnet(work) if path.name == "data.noun")
    named = {f"{number:02d}": kind for number, kind in enumerate(KINDS, start=FIRST)}
    pairs = sorted({(gloss, named[label]) for label, gloss in labelled_glosses_of(file) if label in named})
    order = np.random.default_rng(SEED).permutation(len(pairs))
    known, new = ([pairs[place] for place in part] for part in (order[:texts], order[texts : texts + texts // 2]))
    counts = Counter(label for _, label in new)
    return known, [pair for pair in new if counts[pair[1]] >= LEAST]


def write_table(work: Path, pairs: Pairs) -> Path:
    """Write texts and labels as people have them."""
    path = work / "labels.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *pairs])
    return path


def train(work: Path, pairs: Pairs, labels: list[str], epochs: int) -> Path:
    """Train a classifier from MiniLM with transformers, and save it with its tokenizer."""
    folder, aside = work / "teacher", work / "teacher.part"
    if folder.exists():
        return folder
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(SEED)
    source, named = fetch_model(work), dict(enumerate(labels))
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        source, local_files_only=True, id2label=named, label2id={name: number for number, name in named.items()}
    )
    fit(model, tokenizer, pairs, labels, epochs)
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    return aside.rename(folder)


def fit(model: Any, tokenizer: Any, pairs: Pairs, labels: list[str], epochs: int) -> None:  # noqa: ANN401 - classes of the library
    """Train all weights with AdamW; the rate rises, and falls to zero."""
    steps = epochs * -(-len(pairs) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=WARMUP)
    model.train()
    for epoch in range(epochs):
        right = 0
        for index_B in torch.randperm(len(pairs)).split(BATCH):
            batch = [pairs[place] for place in index_B.tolist()]
            tokens = tokenizer([text for text, _ in batch], padding=True, truncation=True, return_tensors="pt")
            known_B = torch.tensor([labels.index(label) for _, label in batch])
            found = model(**tokens, labels=known_B)
            found.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            right += int((found.logits.argmax(1) == known_B).sum())
        print(f"epoch {epoch + 1} of the teacher: {right / len(pairs):.2%} of the training texts", flush=True)


def compress(work: Path, teacher: Path, table: Path, minutes: str) -> Path:
    """Run the command that a user would type. Returns the folder of its result."""
    result = work / "compressed" / "text_classes"
    if not (result / "report.html").exists():
        arguments = [
            "compress",
            teacher,
            "--task",
            "text-classification",
            "--data",
            table,
            *GOALS,
            "--minutes",
            minutes,
        ]
        arguments += ["--name", "text_classes", "--into", work / "compressed"]
        print("stillhouse", *arguments, flush=True)
        subprocess.run([sys.executable, "-m", "stillhouse.tasks.cli", *map(str, arguments)], check=True)
    return result


def export_teacher(work: Path, teacher: Path, data: Path) -> dict[str, Bundle]:
    """Export the teacher in fp32, and let ONNX Runtime make it int8 with a scale for each channel."""
    adopted = adopt_text_classifier(find_source(teacher), data)
    (work / TOKENIZER).write_bytes(adopted.files[TOKENIZER])
    files = {name: work / f"{name}.onnx" for name in ("fp32", "dynamic int8, per channel")}
    first, second = files.values()
    export_model(adopted.module, adopted.architecture, np.ones((1, 8), np.int64), first)
    quant_pre_process(str(first), str(work / "prepared.onnx"), skip_symbolic_shape=True)
    quantize_dynamic(str(work / "prepared.onnx"), str(second), per_channel=True, weight_type=QuantType.QInt8)
    return {name: Bundle("text_classification", {ALONE: [file, work / TOKENIZER]}, {}) for name, file in files.items()}


def judge(bundles: dict[str, Bundle], gate: Split) -> dict[str, dict[str, Any]]:
    """Measure bytes, accuracy and time of each bundle against the first one."""
    right = {name: RUNTIME.ask(bundle, gate).argmax(1) == gate[1] for name, bundle in bundles.items()}
    first, request = next(iter(bundles)), RUNTIME.one_request(Path(), gate)
    rows: dict[str, dict[str, Any]] = {}
    for name, bundle in bundles.items():
        calls = (partial(RUNTIME.call, bundles[first], request), partial(RUNTIME.call, bundle, request))
        timing = compare_calls(calls, SCHEDULE)
        rows[name] = {
            "bytes": bundle.size,
            "smaller": round(bundles[first].size / bundle.size, 2),
            "accuracy": round(float(right[name].mean()), 4),
            "accuracy_interval": [round(end, 4) for end in mean_interval(right[name].astype(np.float64), 0.95)],
            "kept": round(float(right[name].mean() / right[first].mean()), 4),
            "milliseconds": round(timing.candidate.p10, 3),
            "faster": round(timing.ratio, 2),
            "faster_interval": [round(end, 2) for end in timing.interval],
        }
    return rows


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    main(Path(given[0]).resolve(), given.get(1, "30"), int(given.get(2, TEXTS)), int(given.get(3, EPOCHS)))
