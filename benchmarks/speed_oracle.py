"""Ask the speed oracle of `stillhouse inspect --speed` about real models, and measure whether it is right.

`PYTHONPATH=.:src .venv/bin/python -m benchmarks.speed_oracle FOLDER [MODEL ...]`

Each model is exported, and ONNX Runtime quantizes it: convolutions statically, matrix products dynamically. The
reference takes each shape's node out of the fp32 and the int8 graph that the runtime made of the whole model, with the
layout, the fused activation and the input size that it has there, and times both in turns. FOLDER keeps the models and
gets oracle.json. The weights are random, because time does not depend on them.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from benchmarks.optimized_nodes import LINEAR, references
from stillhouse.models.inspection.layers import layers_of
from stillhouse.models.inspection.source import find_source
from stillhouse.models.inspection.speed import products_of, time_products
from stillhouse.models.measurement.latency import Schedule, compare_calls, machine
from stillhouse.models.training.checkpoint import Architecture

CAREFUL = Schedule(repeats=7, most=14, rounds=20, pause_seconds=0.1, confidence=0.95, limit=1.0)
TIE = 0.05
"""A ratio of times this near to 1 is a tie."""


TOKENS, SIDE = 32, 224


TRANSFORMERS: dict[str, dict[str, Any]] = {
    "mobilenet_v2": {},
    "resnet": {
        "embedding_size": 64,
        "hidden_sizes": [64, 128, 256, 512],
        "depths": [2, 2, 2, 2],
        "layer_type": "basic",
    },
    "convnext": {"hidden_sizes": [96, 192, 384, 768], "depths": [1, 1, 1, 1]},
    "vit": {"hidden_size": 384, "num_hidden_layers": 1, "num_attention_heads": 6, "intermediate_size": 1536},
    "mobilenet_v1": {},
    "bert": {"hidden_size": 384, "num_hidden_layers": 1, "num_attention_heads": 12, "intermediate_size": 1536},
}
"""Type of model -> its configuration. One block has all shapes of a model of equal blocks."""
STUDENTS: dict[str, dict[str, Any]] = {
    "plain": {"widths": [32, 64, 96, 128], "strides": [2, 2, 2, 1], "pool": 4, "channels": 3},
    "residual": {"stem": 32, "widths": [32, 64, 128], "strides": [1, 2, 2], "channels": 3},
    "separable": {"stem": 32, "widths": [32, 64, 128], "strides": [1, 2, 2], "block": "separable", "channels": 3},
}


class Alone(nn.Module):
    """A model of transformers that gives one tensor."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Give the first output."""
        first: Tensor = self.model(inputs, return_dict=False)[0]
        return first


class Repeated(CalibrationDataReader):  # type: ignore[misc] # untyped
    """The same input twice."""

    def __init__(self, feed: Mapping[str, NDArray[Any]]) -> None:
        """Keep the input."""
        self.feeds = iter([feed] * 2)

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        """Give the next input."""
        return next(self.feeds, None)


def main() -> None:
    """Ask and measure for each model, and print a line for each shape and the share of hits."""
    work, asked = Path(sys.argv[1]).resolve(), sys.argv[2:] or [*TRANSFORMERS, *STUDENTS]
    work.mkdir(parents=True, exist_ok=True)
    print(f"load of the machine: {os.getloadavg()[0]:.2f}")
    # A shape counts in each model, because its size and its activation are others there.
    rows = [row for name in asked for row in compare(name, work)]
    content = {"machine": machine(), "load": os.getloadavg(), "rows": rows}
    (work / "oracle.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(f"load of the machine: {os.getloadavg()[0]:.2f}")
    print(say(rows))


def compare(name: str, work: Path) -> Iterator[dict[str, Any]]:
    """Ask the oracle about a model, then measure each of its shapes."""
    files = make(name, work)
    began = time.monotonic()
    said = {
        (each.product.kind, each.product.shape): each
        for each in time_products(products_of(layers_of(find_source(files["fp32"]))))
    }
    print(f"{name}: the oracle took {time.monotonic() - began:.0f} s for {len(said)} shapes", flush=True)
    for key, graphs in references(files).items():
        if key not in said:
            print(f"{name}: the oracle says nothing of {key}")
            continue
        found = compare_calls((graphs[0].open, graphs[1].open), CAREFUL)
        row = {"model": name, "kind": key[0], "shape": key[1], "oracle": said[key].verdict, "said": said[key].ratio}
        row |= {"measured": found.ratio, "interval": found.interval, "fp32_ms": found.baseline.p10}
        row["verdict"] = judge(row["oracle"], found.ratio)
        print(_line(row), flush=True)
        yield row


def judge(said: str, ratio: float) -> str:
    """Compare what was said with a ratio of times: `tie`, `hit` or `miss`."""
    if abs(ratio - 1) <= TIE:
        return "tie"
    return "hit" if said == ("faster" if ratio > 1 else "slower") else "miss"


def say(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write the share of hits, how often `slower` was right, and how many of the slower shapes it names."""
    found = list(rows)
    counts = {verdict: sum(row["verdict"] == verdict for row in found) for verdict in ("hit", "miss", "tie")}
    clear = [row for row in found if row["verdict"] != "tie"]
    right = sum((row["oracle"] == "slower") == (row["measured"] < 1) for row in clear)
    slower = [row for row in clear if row["oracle"] == "slower"]
    named, true = (sum(row["measured"] < 1 for row in some) for some in (slower, clear))
    return (
        f"{len(found)} shapes, {len({(row['kind'], tuple(row['shape'])) for row in found})} of them distinct: "
        f"{counts['hit']} hits, {counts['miss']} misses, {counts['tie']} ties; "
        f"slower or not is right in {right} of {len(clear)} ({right / max(len(clear), 1):.1%}); "
        f"'slower' is right in {named} of {len(slower)}, and names {named} of {true}"
    )


def _line(row: Mapping[str, Any]) -> str:
    shape = " x ".join(map(str, row["shape"]))
    low, high = row["interval"]
    numbers = f"said {row['said']:6.3g}, measured {row['measured']:6.3g} ({low:.3g} to {high:.3g})"
    return f"{row['model']:14} {row['kind']:12} {shape:20} {row['oracle']:14} {numbers}  {row['verdict']}"


def make(name: str, work: Path) -> dict[str, Path]:
    """Export a model, quantize it, and let the runtime optimize each graph, unless that is done already.

    Returns:
        `fp32` is the exported file; `plain`, `static` and `dynamic` are the optimized graphs; `sizes` has the shapes.
    """
    files = {kind: work / f"{name}_{kind}.onnx" for kind in ("fp32", "sizes", "plain", "static", "dynamic")}
    if all(file.exists() for file in files.values()):
        return files
    module, inputs = build(name)
    torch.onnx.export(module, (inputs,), str(files["fp32"]), dynamo=True, external_data=False, verbose=False)
    whole = name == "bert"  # the runtime cannot optimize its own optimized graph of a BERT
    quant_pre_process(str(files["fp32"]), str(files["sizes"]), skip_optimization=whole, skip_symbolic_shape=True)
    feed = {onnx.load(files["fp32"]).graph.input[0].name: inputs.numpy()}
    kinds: dict[str, Any] = {"per_channel": True, "weight_type": QuantType.QInt8}
    raw = work / "quantized.onnx"
    _optimize(files["sizes"], files["plain"])
    quantize_static(str(files["sizes"]), str(raw), Repeated(feed), activation_type=QuantType.QUInt8, **kinds)
    _optimize(raw, files["static"])
    quantize_dynamic(str(files["sizes"]), str(raw), op_types_to_quantize=list(LINEAR), **kinds)
    _optimize(raw, files["dynamic"])
    return files


def build(name: str) -> tuple[nn.Module, Tensor]:
    """Build a model with random weights, and an input."""
    torch.manual_seed(1)
    if name in STUDENTS:
        network = "residual" if name == "separable" else name
        return Architecture(network, STUDENTS[name], 255.0, (3, 32, 32)).build_seeded(1).eval(), torch.rand(
            1, 3, 32, 32
        )
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    config = AutoConfig.for_model(name, **TRANSFORMERS[name])
    if name == "bert":
        return Alone(AutoModel.from_config(config)).eval(), torch.ones(1, TOKENS, dtype=torch.int64)
    return Alone(AutoModelForImageClassification.from_config(config)).eval(), torch.rand(1, 3, SIDE, SIDE)


def _optimize(source: Path, target: Path) -> None:
    options = _options()
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options


if __name__ == "__main__":
    main()
