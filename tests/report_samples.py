"""A believable nightly run, in numbers measured on Fashion-MNIST, for the tests of gate and report."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from stillhouse.tasks.recipe.judging import Gate
from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.reporting.run_record import RunRecord, StageRecord

RECIPE_YAML = """\
name: image_classification
description: A residual teacher on Fashion-MNIST, compressed to a narrow int8 student. <script>alert(1)</script>
schedule: "0 2 * * *"
seed: 7
data: {dataset: fashion_mnist}
workload: image_classification
teacher:
  network: {name: residual, arguments: {stem: 48, widths: [48, 128], strides: [1, 2]}}
  training: {epochs: 12, batch_size: 128, learning_rate: 0.2, augment: true, precision: bf16}
steps:
  - method: distil
    network: {name: residual, arguments: {stem: 16, widths: [16, 40], strides: [2, 1]}}
    distillation: {training: {epochs: 14, batch_size: 128, learning_rate: 0.2}}
  - method: prune_structured
    macs: 0.6
    finetune: {training: {epochs: 6, batch_size: 128, learning_rate: 0.05}}
  - method: quantize
gate: {quality: 0.99, bytes: 50, latency: 10}
"""
LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
STARTED = datetime(2026, 11, 23, 2, 0, 4, tzinfo=UTC)
GATE = Gate(quality=0.99, bytes=50, latency=10)


def estimate(value: float, low: float, high: float) -> dict[str, Any]:
    """Give a value and its interval, as evaluation.json has them."""
    return {"value": value, "interval": [low, high]}


def serving(unpack_ms: float, load_ms: float, peak_bytes: int, cpu_seconds: float) -> dict[str, Any]:
    """Give what one file takes to serve."""
    return {
        "unpack_ms": unpack_ms,
        "load_ms": load_ms,
        "peak_bytes": peak_bytes,
        "cpu_seconds_per_1000": cpu_seconds,
    }


def pair(  # noqa: PLR0913, PLR0917 - one row of a table
    value: float, low: float, high: float, discordant: list[int], mcnemar_p: float, churn: float
) -> dict[str, Any]:
    """Give what one split says of teacher and student on the same examples."""
    difference = estimate(value, low, high) | {"lower_bound": low}
    return {"difference": difference, "discordant": discordant, "mcnemar_p": mcnemar_p, "churn": churn}


def evaluation() -> dict[str, Any]:
    """Give a fresh evaluation.json in which every check passes."""
    return {
        "teacher": {
            "bytes": 4_651_208,
            "zstd_bytes": 4_309_771,
            "unpacked_bytes": 4_651_208,
            "serving": serving(0.0, 9.28, 26_312_704, 1.26),
            "latency_ms": {"p10": 1.231, "median": 1.262, "p99": 1.604, "interval": [1.221, 1.249]},
            "quality": {"gate": estimate(0.9334, 0.927, 0.9396)},
            "parity": 0.0002,
        },
        "student": {
            "bytes": 65_244,
            "zstd_bytes": 65_257,
            "unpacked_bytes": 71_630,
            "serving": serving(4.41, 12.4, 11_505_664, 0.119),
            "latency_ms": {"p10": 0.1164, "median": 0.1179, "p99": 0.171, "interval": [0.1151, 0.1189]},
            "quality": {"gate": estimate(0.929, 0.9222, 0.9352)},
            "parity": 0.0018,
        },
        "ratios": {
            "bytes": 71.29,
            "latency": estimate(10.58, 10.31, 10.79),
            "quality": {"gate": estimate(0.9953, 0.9917, 0.9989)},
        },
        "paired": {
            "gate": pair(-0.0044, -0.00776, -0.00109, [61, 39], 0.0352, 0.0412),
        },
        "classes": {
            "labels": list(LABELS),
            "teacher": [0.884, 0.986, 0.897, 0.935, 0.894, 0.985, 0.791, 0.978, 0.991, 0.971],
            "student": [0.871, 0.985, 0.889, 0.929, 0.897, 0.982, 0.762, 0.975, 0.990, 0.971],
            "count": [1000] * 10,
        },
        "latency_ratios": [10.61, 10.42, 10.58, 10.79, 10.31, 10.55, 10.66, 10.49, 10.7],
        "machine": {"cpu": "Xeon", "instructions": ["avx512f", "avx512_vnni"], "load_before": 0.4, "core": 1},
    }


def final_test() -> dict[str, Any]:
    """Give the final_test.json of the same student: the second time that the test split was opened."""
    opened = {
        "teacher": estimate(0.9312, 0.9262, 0.936),
        "student": estimate(0.9251, 0.9198, 0.93),
        "ratio": estimate(0.9934, 0.9909, 0.9961),
        "paired": pair(-0.0061, -0.00883, -0.00339, [166, 105], 0.000253, 0.0455),
        "opening": 2,
        "split_digests": {"validation": "5e" * 32, "gate": "6a" * 32, "test": "5d" * 32},
    }
    return {"opened": opened, "skipped": None}


def gate_result() -> dict[str, Any]:
    """Give the gate.json that belongs to a passing evaluation."""
    lines = [
        ("quality", 0.9953, 0.99, "student keeps 99.53 % (99.17 % to 99.89 %) of the teacher's quality"),
        ("bytes", 71.29, 50.0, "student file is 71.3x smaller than the teacher's"),
        ("latency", 10.58, 10.0, "student is 10.6x (10.3x to 10.8x) as fast as the teacher"),
        ("parity", 0.0018, 0.01, "exported and trained student differ on 0.18 % of the gate examples"),
    ]
    keys = ("name", "value", "limit", "reason")
    return {"verdict": "PASS", "checks": [dict(zip(keys, line, strict=True)) | {"verdict": "PASS"} for line in lines]}


def passing_run() -> RunRecord:
    """Give a whole run whose student passed and was registered."""
    return RunRecord(
        recipe=Recipe.model_validate(yaml.safe_load(RECIPE_YAML)),
        recipe_yaml=RECIPE_YAML,
        run_key="nightly_image_classification/scheduled__2026-11-23",
        mlflow_run_id="8c1f0a7be6de4d0f9f1b2a6d0f4f7c11",
        mlflow_url="http://reader:hunter2@127.0.0.1:5000/#/experiments/1/runs/8c1f0a7be6de4d0f9f1b2a6d0f4f7c11",
        code_version="3f2a9d1c0b",
        started=STARTED,
        ended=STARTED + timedelta(seconds=742.3),
        stages=_stages(),
        gate=gate_result(),
        evaluation=evaluation(),
        final_test=final_test(),
        looks={"validation": 31, "gate": 12, "test": 2},
        data=_data(),
        registered={"model": "image_classification", "version": "3", "alias": "candidate"},
        environment={"python": "3.11.9", "torch": "2.13.0", "onnxruntime": "1.32.0", "mlflow": "3.17.2"},
        data_docs_url="http://127.0.0.1:5000/artifacts/data_docs/index.html",
    )


def broken_run() -> RunRecord:
    """Give a run whose second training stage failed, so that nothing after it ran."""
    run = passing_run()
    failed = replace(
        run.stages[4], status="FAILED", seconds=31.0, metrics={}, step=None, error="the loss became NaN <b>here</b>"
    )
    after = tuple(replace(s, status="MISSING", seconds=None, metrics={}, history={}, step=None) for s in run.stages[5:])
    return replace(
        run,
        stages=(*run.stages[:4], failed, *after),
        gate=None,
        evaluation=None,
        final_test=None,
        registered=None,
        data_docs_url=None,
    )


def _stages() -> tuple[StageRecord, ...]:
    return (
        StageRecord("pull", "pull", "FINISHED", 1.9, "aa11", {"rows_train": 51893.0}),
        StageRecord("validate", "validate", "FINISHED", 11.2, "bb22", {"expectations": 41.0}),
        _trained("teacher", "teacher", 331.0, 12, 0.934, 1_162_410, 4_655_104, 30_123_008),
        replace(
            _trained("step_1_distil", "compress", 204.0, 14, 0.9305, 92_010, 370_440, 3_412_224),
            step=_step(-0.0035, (4_692_690, 368_100), (5.1, 5.6)),
        ),
        replace(
            _trained("step_2_prune_structured", "compress", 96.0, 6, 0.9305, 92_010, 370_440, 3_412_224),
            step=_step(-0.031, (368_100, 227_100), (1.2, 1.3), kept=False),
        ),
        replace(
            _trained("step_3_quantize", "compress", 3.1, 0, 0.928, 56_330, 61_980, 2_047_334),
            step=_step(-0.0005, (227_100, 66_200), (1.9, 2.1)),
            history={},
        ),
        StageRecord("export", "export", "FINISHED", 14.8),
        StageRecord("evaluate", "evaluate", "FINISHED", 58.4),
        StageRecord("gate", "gate", "FINISHED", 0.4, None, {"passed": 1.0}),
        StageRecord("final_test", "final_test", "FINISHED", 2.7, None, {"opening": 2.0}),
        StageRecord("register", "register", "FINISHED", 4.4),
        StageRecord("report", "report", "RUNNING"),
    )


def _step(gained: float, sizes: tuple[int, int], speed: tuple[float, float], *, kept: bool = True) -> dict[str, Any]:
    both = dict(zip(("before", "after"), sizes, strict=True))
    cost = {"bytes": both, "zstd_bytes": both, "speedup": {"value": sum(speed) / 2, "interval": list(speed)}}
    reason = f"{'kept' if kept else 'dropped'}: {100 * gained:.2f} points of quality"
    return {"kept": kept, "reason": reason, "gained": gained, "cost": cost}


def _trained(  # noqa: PLR0913, PLR0917 - one row of a table
    name: str, kind: str, seconds: float, epochs: int, accuracy: float, parameters: int, size: int, macs: int
) -> StageRecord:
    metrics = {
        "validation_quality": accuracy,
        "parameters": float(parameters),
        "nonzero_parameters": float(parameters),
        "checkpoint_bytes": float(size),
        "macs": float(macs),
        "epochs": float(epochs),
    }
    shares = [(epoch, epoch / epochs) for epoch in range(1, epochs + 1)]
    history = {
        "train_loss": [(epoch, 0.62 - 0.44 * share**0.4) for epoch, share in shares],
        "validation_quality": [(epoch, accuracy - 0.07 * (1 - share) ** 1.4) for epoch, share in shares],
        "learning_rate": [(epoch, 0.2 * (1 - share)) for epoch, share in shares],
    }
    return StageRecord(name, kind, "FINISHED", seconds, None, metrics, history)


def _data() -> dict[str, Any]:
    counts = {"train": 51_893, "calibration": 1000, "validation": 2000, "gate": 5000, "test": 10_000}
    digests = {split: f"{place:x}" * 64 for place, split in enumerate(counts, start=10)}
    return {
        "dataset": "fashion_mnist",
        "revision": None,
        "dvc_md5": "d41d8cd98f00b204e9800998ecf8427e.dir",
        "digest": "5e" * 32,
        "data_version": "5e5e5e5e5e5e",
        "counts": counts,
        "splits": {split: {"count": counts[split], "digest": digests[split]} for split in counts},
    }
