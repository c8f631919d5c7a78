"""Let timm be imported without torchvision, which does not fit here. timm's networks use nothing of it.

timm imports torchvision for its own transforms and datasets. Here pictures are prepared inside the network instead.
A class of torchvision that a network uses after all takes no argument here, so such a use fails at once.
"""

import sys
from enum import Enum
from types import ModuleType
from typing import Any

MODULES = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.models.feature_extraction",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)
"""What timm imports, the outer modules first."""
WAYS = ("NEAREST", "NEAREST_EXACT", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")


class StandIn(ModuleType):
    """A module in which every name is an empty class."""

    __path__: list[str] = []  # noqa: RUF012 - marks a package

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever is asked for
        """Return an empty class of that name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Enum(name, WAYS) if name == "InterpolationMode" else type(name, (), {})


def stand_in() -> None:
    """Put the stand-in where Python looks for torchvision. Call it once, in a process of its own."""
    for name in MODULES:
        sys.modules[name] = StandIn(name)
        outer, _, inner = name.rpartition(".")
        if outer:
            setattr(sys.modules[outer], inner, sys.modules[name])
