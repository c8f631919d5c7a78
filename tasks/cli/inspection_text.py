"""Write what an inspection found as lines for a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from stillhouse.models.inspection.inspect import Inspection
from stillhouse.models.inspection.labels import placeholders, some
from stillhouse.models.inspection.speed import SIDE, TOKENS, Speed
from stillhouse.tasks.reporting.quantities import milliseconds, size, times

MOST = 12
"""Operators and components that are listed by name."""
TASKS = "image-classification, text-classification, text-embedding, audio-classification, speech-recognition"


def describe(found: Inspection) -> Iterator[str]:
    """Write the model's task, size, components, operators and methods."""
    classes = ", ".join(found.architectures) or "no class named"
    yield f"{found.source.name}: {found.task or 'task unknown'}, {classes}, {found.source.format}"
    yield f"{found.parameters:,} parameters in {len(found.layers)} tensors, {size(found.bytes)}"
    yield from found.ends
    yield from _labels(found)
    yield ""
    rows = list(_components(found))
    yield from _columns([("component", "parameters", "bytes", "share", "blocks"), *rows[:MOST]])
    if len(rows) > MOST:
        yield f"... and {len(rows) - MOST} smaller ones"
    yield ""
    yield "operators: " + ", ".join(f"{name} {count}" for name, count in found.operators[:MOST])
    yield ""
    rows = [(each.method, "yes" if each.applies else "no", each.reason) for each in found.methods]
    yield from _columns([("method", "applies", "why"), *rows])
    if found.missing:
        yield ""
        yield f"The files do not say what the model is for; give --task, one of {TASKS}."


def describe_speed(found: Iterable[Speed]) -> Iterator[str]:
    """Write one line for each shape as soon as it is timed."""
    yield f"One pinned thread; linear layers with {TOKENS} rows, convolutions with {SIDE} x {SIDE} positions."
    yield _line(("kind", "shape", "layers", "fp32", "int8", "int8 is", "fp32 / int8"))
    for speed in found:
        low, high = speed.interval
        shape = " x ".join(str(length) for length in speed.product.shape)
        counts = (speed.product.kind, shape, str(speed.product.layers))
        measured = (milliseconds(speed.fp32_ms), milliseconds(speed.int8_ms), speed.verdict)
        yield _line((*counts, *measured, f"{times(speed.ratio)} ({low:.3g} to {high:.3g})"))


def _labels(found: Inspection) -> Iterator[str]:
    """Tell the labels that the data must have too."""
    if found.other_head:
        yield f"not read by compress: it is {found.other_head}; compress reads a model that chooses one of its labels"
    elif found.labels and found.labels == placeholders(len(found.labels)):
        yield f"{len(found.labels)} labels without names; compress takes them for those of the data, in their order"
    elif found.labels:
        yield f"{len(found.labels)} labels: {some(found.labels)}; the data must have the same"


def _components(found: Inspection) -> Iterator[tuple[str, ...]]:
    for part in sorted(found.components, key=lambda part: -part.bytes):
        share = f"{part.bytes / max(found.bytes, 1):.1%}"
        yield part.name, f"{part.parameters:,}", size(part.bytes), share, str(part.blocks or "")


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _line(cells: Sequence[str]) -> str:
    widths = (12, 20, 7, 10, 10, 14, 1)
    return " ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)).rstrip()
