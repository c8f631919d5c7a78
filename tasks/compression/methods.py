"""Method name -> function of the method. This module is heavy: it is imported only when a step runs."""

from collections.abc import Callable

from stillhouse.tasks.compression.distil import distil
from stillhouse.tasks.compression.pack import pack
from stillhouse.tasks.compression.prune import prune_structured, prune_unstructured
from stillhouse.tasks.compression.quantize import quantize
from stillhouse.tasks.compression.step_context import Compressed
from stillhouse.tasks.compression.structure import drop_layers, fold, low_rank

METHODS: dict[str, Callable[..., Compressed]] = {
    "distil": distil,
    "prune_unstructured": prune_unstructured,
    "prune_structured": prune_structured,
    "drop_layers": drop_layers,
    "low_rank": low_rank,
    "fold": fold,
    "quantize": quantize,
    "pack": pack,
}
