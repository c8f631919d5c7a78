"""Answer what a Keras file or a SavedModel consists of, in TensorFlow's environment. The model is not built.

`python -m stillhouse.models.keras.header REQUEST ANSWER` with `model`, a path.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.json_process import answer_or_refuse
from stillhouse.models.keras.config import layers_in
from stillhouse.models.keras.weights import read_keras


def read_header(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tensors` with (name, shape, bytes), and `layers` with (name, class), which a SavedModel does not have.

    Raises:
        ModelError: the model is refused.
    """
    path = Path(request["model"])
    if path.is_dir():
        return {"tensors": _variables(path), "layers": []}
    found = read_keras(path)
    return {"tensors": found["tensors"], "layers": layers_in(found["config"])}


def _variables(path: Path) -> list[tuple[str, list[int], int]]:
    import tensorflow as tf  # type: ignore[import-untyped] # TensorFlow's environment has it

    try:
        reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        msg = f"{path.name} has no whole variables ({error}); export the model again with model.export"
        raise ModelError(msg) from error
    kinds, shapes = reader.get_variable_to_dtype_map(), reader.get_variable_to_shape_map()
    names = [name for name in sorted(kinds) if kinds[name] != tf.string and "optimizer" not in name]
    # Keras's export stores each variable twice, once under this name.
    names = [name for name in names if name.startswith("_all_variables/")] or names
    return [(name, shapes[name], prod(shapes[name]) * kinds[name].size) for name in names]


if __name__ == "__main__":
    answer_or_refuse(read_header)
