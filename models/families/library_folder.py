"""Read a classifier's folder as transformers writes it. No code of it is run and nothing is unpickled."""

import json
from typing import Any

from torch import nn

from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.source import Source
from stillhouse.models.networks.library.plain_attention import register_attention

UNUSED = (
    *("_name_or_path", "transformers_version", "dtype", "problem_type", "id2label", "label2id"),
    *("stage_names", "out_features", "out_indices"),
)
"""Keys of config.json that do not describe the classifier's layers."""


def read_config(source: Source) -> Any:  # noqa: ANN401 - a class of the library
    """Let the library read config.json.

    Raises:
        ModelError: it cannot.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises nothing narrower
        raise _unreadable(source, error) from error


def load_weights(source: Source, auto: str) -> nn.Module:
    """Let the library read the folder: it knows the names that older versions gave to the weights.

    Args:
        source: the folder.
        auto: name of the library's class that finds the model's class.

    Raises:
        ModelError: a file is damaged or a weight is missing.
    """
    import transformers
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()  # type: ignore[no-untyped-call]
    set_verbosity_error()  # type: ignore[no-untyped-call]  # it prints a table of weights that training alone needs
    try:
        model, found = getattr(transformers, auto).from_pretrained(
            source.path,
            attn_implementation=register_attention(),
            dtype="float32",
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except Exception as error:  # the library raises nothing narrower
        raise _unreadable(source, error) from error
    if missing := sorted(found["missing_keys"]):
        msg = f"{source.path} has no weights for {', '.join(missing[:3])}; save the whole model again"
        raise ModelError(msg)
    return model  # type: ignore[no-any-return]


def _unreadable(source: Source, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:200]
    return ModelError(f"{source.path} cannot be read ({reason}); save the model again with save_pretrained")


def plain_config(config: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of the library
    """Return the keys of a configuration that describe the layers, as JSON."""
    found: dict[str, Any] = json.loads(config.to_json_string())
    kept = {key: value for key, value in found.items() if key not in UNUSED}
    return kept | {"num_labels": config.num_labels}


def names_of(config: Any) -> list[str]:  # noqa: ANN401 - a class of the library
    """Return the names of a classifier's classes, in the order of its logits."""
    return [str(config.id2label[number]) for number in range(config.num_labels)]
