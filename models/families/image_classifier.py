"""Read an image classifier from a folder as transformers writes it. No code of it is run and nothing is unpickled."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillhouse.models.data.description import describe
from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.image_processor import PROCESSOR, read_preparation
from stillhouse.models.families.labels import order_labels
from stillhouse.models.families.library_folder import load_weights, names_of, plain_config, read_config
from stillhouse.models.inspection.source import Source
from stillhouse.models.inspection.task import architectures_of
from stillhouse.models.networks.library.transformers_classifier import AUTO, RGB
from stillhouse.models.training.checkpoint import Architecture

NETWORK = "transformers_classifier"
HEAD = "ForImageClassification"


def adopt_classifier(source: Source, data: Path) -> Adopted:
    """Read the folder of an image classifier for a dataset.

    Raises:
        ModelError: it is another model, a part is missing, or it does not fit the dataset. The message says which.
    """
    _refuse_others(source)
    config, description = read_config(source), describe(data)
    channels = int(getattr(config, "num_channels", RGB))
    order, notes = order_labels(source.path, names_of(config), description["labels"])
    shape = tuple(description["image_shape"])
    notes += _note_channels(source, shape[0], channels)
    arguments = {
        "config": plain_config(config),
        "preparation": read_preparation(source.path, shape, channels),
        "order": order,
    }
    architecture, model = Architecture(NETWORK, arguments, 1.0, shape), load_weights(source, AUTO)
    module = architecture.build()
    module.get_submodule("1.model").load_state_dict(model.state_dict())
    _try(source, module.eval(), architecture)
    return Adopted(module, architecture, {}, tuple(notes))


def _try(source: Source, module: nn.Module, architecture: Architecture) -> None:
    try:
        with torch.no_grad():
            module(architecture.example())
    except Exception as error:  # a model may raise anything
        msg = (
            f"{source.path} does not take the pictures that its {PROCESSOR} prepares "
            f"({' '.join(str(error).split())[:200]}); mend the sizes in {PROCESSOR}"
        )
        raise ModelError(msg) from error


def _refuse_others(source: Source) -> None:
    if source.format == "timm":
        msg = (
            f"{source.path} is a timm model; `stillhouse compress` converts it, and the recipe that it writes names "
            "the ONNX file"
        )
        raise ModelError(msg)
    if source.format != "transformers" or not any(HEAD in name for name in architectures_of(source)):
        what = ", ".join(architectures_of(source)) or f"a {source.format} model"
        msg = f"{source.path} is {what}; image classification reads ...{HEAD} of transformers in safetensors"
        raise ModelError(msg)


def _note_channels(source: Source, raw: int, channels: int) -> list[str]:
    if raw == channels:
        return []
    if raw == 1:
        return [f"the pictures are grey and the model expects {channels} channels; the grey channel is repeated"]
    msg = (
        f"{source.path} expects {channels} channels and the pictures have {raw}; import the pictures with as many "
        "channels as the model has"
    )
    raise ModelError(msg)


def derive(teacher: Architecture, given: Mapping[str, Any]) -> Architecture:
    """Describe a student of the teacher's family, with fresh weights.

    Args:
        teacher: the teacher's architecture.
        given: arguments of the network. Its `config` holds the keys of config.json that differ from the teacher's.
    """
    own = teacher.arguments if teacher.network == NETWORK else {"config": {}}
    arguments = {**own, **given, "config": {**own["config"], **given["config"]}}
    return replace(teacher, network=NETWORK, arguments=arguments, edits=(), quantization=None, packing=None)
