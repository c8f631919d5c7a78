"""Check a SavedModel before TensorFlow loads it: no operator of its graphs may run Python or touch other files.

A SavedModel is a program, and TensorFlow has no safe mode for it. So its operators are read from `saved_model.pb`
first. TensorFlow knows which operators have effects. Of these, only those that handle the model's variables are
accepted.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError

HARMLESS = {
    "AssignVariableOp", "DisableCopyOnRead", "MutableHashTableV2", "NoOp", "PartitionedCall", "Placeholder",
    "ReadVariableOp", "StatefulPartitionedCall", "VarHandleOp", "VarIsInitializedOp", "While", "If",
}  # fmt: skip
"""Operators with effects that concern the model's own variables only."""
OF_SAVER = {"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"}
"""Operators that read and write the checkpoint. They are accepted in the functions that save and restore only."""
SAVERS = ("__inference__traced_save_", "__inference__traced_restore_")
READS_FILES = {"ReadFile", "MatchingFiles"}
"""Operators that TensorFlow counts among those without effects, although they read files."""


def check_operators(folder: Path) -> None:
    """Read the graphs of a SavedModel and refuse what its operators could do beside arithmetic.

    Raises:
        ModelError: the folder holds no whole SavedModel of TensorFlow 2, or one with other operators.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2  # type: ignore[import-untyped]

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (DecodeError, OSError) as error:
        msg = f"{folder} has no whole saved_model.pb ({error}); export the model again with model.export"
        raise ModelError(msg) from error
    if not saved.meta_graphs or not saved.meta_graphs[0].HasField("object_graph_def"):
        msg = f"{folder} is of TensorFlow 1; load it there and save it again with tf.saved_model.save of TensorFlow 2"
        raise ModelError(msg)
    for operator, function in _operators(saved):
        if not _is_harmless(operator, function):
            msg = f"{folder} uses the operator {operator}, which is more than arithmetic; export the model without it"
            raise ModelError(msg)


def _operators(saved: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - protobuf publishes no types
    """Yield (operator, name of its function, empty outside of functions) of all graphs."""
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        for node in graph.node:
            yield node.op, ""
        for function in graph.library.function:
            for node in function.node_def:
                yield node.op, function.signature.name


def _is_harmless(operator: str, function: str) -> bool:
    from tensorflow.python.framework import op_def_registry  # type: ignore[import-untyped]

    if operator in OF_SAVER:
        return not function or function.startswith(SAVERS)
    known = op_def_registry.get(operator)
    has_effects = known is None or known.is_stateful or operator in READS_FILES
    return operator in HARMLESS or not has_effects
