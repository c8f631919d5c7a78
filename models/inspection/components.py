"""Divide a model's tensors into components, by their names, and count what each holds.

In an ONNX file the names may say nothing. Then all layers of one kind are a component.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stillhouse.models.inspection.layers import Layer

NUMBER = re.compile(r"\.(\d+)\.")
WRAPPERS = (
    *("bert", "roberta", "distilbert", "vit", "deit", "model", "base_model", "module", "backbone"),
    *("wav2vec2", "hubert", "wavlm", "audio_spectrogram_transformer"),
)
"""First words of a tensor's name that only wrap the model."""


@dataclass(frozen=True)
class Component:
    """A part of a model: a table, a stack of blocks, or a head."""

    name: str
    parameters: int
    bytes: int
    blocks: int
    """Repeated blocks of equal form; 0 if the part is no stack."""


def components_of(layers: Iterable[Layer]) -> list[Component]:
    """Group tensors by the part of the model, in the order in which the parts appear."""
    groups: dict[str, list[Layer]] = {}
    for layer in layers:
        part = _part_of(layer.name) if "." in layer.name else layer.kind
        groups.setdefault(part, []).append(layer)
    return [_count(name, members) for name, members in groups.items()]


def _part_of(name: str) -> str:
    words = name.split(".")
    while len(words) > 2 and words[0] in WRAPPERS:  # noqa: PLR2004 - a part and a tensor must be left
        words = words[1:]
    stacked = NUMBER.search("." + ".".join(words))
    return ".".join(words)[: stacked.start() - 1] if stacked and stacked.start() else words[0]


def _count(name: str, members: list[Layer]) -> Component:
    forms: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for layer in members:
        if number := NUMBER.search(layer.name):
            forms.setdefault(number[1], []).append((layer.name[number.end() :], layer.shape))
    kinds = [tuple(sorted(form)) for form in forms.values()]
    blocks = max((kinds.count(kind) for kind in set(kinds)), default=0)
    parameters, size = sum(layer.parameters for layer in members), sum(layer.bytes for layer in members)
    return Component(name, parameters, size, blocks if blocks > 1 else 0)
