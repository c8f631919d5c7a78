"""Which function does each method of a recipe's steps. Heavy: imported only when there is work to do."""

from collections.abc import Callable

from tasks.methods.bench import Compressed
from tasks.methods.distil import distil
from tasks.methods.pack import pack
from tasks.methods.prune import prune_structured, prune_unstructured
from tasks.methods.quantize import quantize
from tasks.methods.structure import drop_layers, fold, low_rank

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
