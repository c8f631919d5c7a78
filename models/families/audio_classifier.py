"""Read an audio classifier from a folder as transformers writes it. No code of it is run and nothing is unpickled."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.labels import order_labels
from stillhouse.models.families.library_folder import load_weights, names_of, plain_config, read_config
from stillhouse.models.families.sound_extractor import read_preparation
from stillhouse.models.inspection.methods import LEADING
from stillhouse.models.inspection.source import Source
from stillhouse.models.inspection.task import architectures_of
from stillhouse.models.networks.library.flat_convolutions import flatten_convolutions
from stillhouse.models.networks.library.transformers_audio import AUTO
from stillhouse.models.training.checkpoint import Architecture

NETWORK = "transformers_audio"
SPECTROGRAMS = "audio-spectrogram-transformer"
AUDIO_LIKE = ("wav2vec2", "hubert", "wavlm", SPECTROGRAMS)
"""Types of models that are read."""
HEADS = ("ForSequenceClassification", "ForAudioClassification")
SINGLE = (None, "single_label_classification")
"""Values of `problem_type` of a model that gives one class to a recording."""


def adopt_audio(source: Source, data: Path) -> Adopted:
    """Read the folder of an audio classifier for a dataset.

    Raises:
        ModelError: it is another model, a part is missing, or it does not fit the dataset. The message says which.
    """
    refuse_others(source)
    config, described = read_config(source), describe(data)
    _refuse_several_answers(source, config)
    order, notes = order_labels(source.path, names_of(config), described["labels"])
    samples = int(described["clips"]["samples"])
    notes.append(f"the model hears {samples / SAMPLE_RATE:g} s, and the silence that fills a shorter recording too")
    arguments = {
        "config": plain_config(config),
        "preparation": read_preparation(source.path, str(config.model_type) == SPECTROGRAMS, samples),
        "order": order,
    }
    architecture = Architecture(NETWORK, arguments, 1.0, (samples,))
    module, model = architecture.build(), load_weights(source, AUTO)
    module.get_submodule("model").load_state_dict(flatten_convolutions(model).state_dict())
    _try(source, module.eval(), architecture)
    return Adopted(module, architecture, {}, tuple(notes))


def refuse_others(source: Source) -> None:
    """Refuse a folder of another kind of model.

    Raises:
        ModelError: it is one.
    """
    kind = str(source.config.get("model_type"))
    heads = [name for name in architectures_of(source) if name.endswith(HEADS)]
    if source.format != "transformers" or kind not in AUDIO_LIKE or not heads:
        what = ", ".join(architectures_of(source)) or f"a {source.format} model"
        msg = (
            f"{source.path} is {what}; audio classification reads classifiers of {', '.join(AUDIO_LIKE)} of "
            "transformers in safetensors"
        )
        raise ModelError(msg)


def blocks_of(source: Source) -> int:
    """Return the number of blocks of which some can be dropped. The first block of a WavLM serves all others."""
    return 0 if source.config.get("model_type") == LEADING else int(source.config.get("num_hidden_layers") or 0)


def _refuse_several_answers(source: Source, config: Any) -> None:  # noqa: ANN401 - a class of the library
    if config.problem_type not in SINGLE:
        msg = (
            f"{source.path} is for {config.problem_type}, and audio classification gives one class to a recording; "
            "train it with problem_type single_label_classification"
        )
        raise ModelError(msg)
    if config.num_labels < 2:  # noqa: PLR2004 - a choice
        msg = f"{source.path} has {config.num_labels} label, and a classifier needs two; train it with more"
        raise ModelError(msg)


def _try(source: Source, module: nn.Module, architecture: Architecture) -> None:
    try:
        with torch.no_grad():
            module(architecture.example())
    except Exception as error:  # a model may raise anything
        seconds = architecture.image_shape[0] / SAMPLE_RATE
        msg = (
            f"{source.path} does not take recordings of {seconds:g} s ({' '.join(str(error).split())[:200]}); import "
            "them longer with --seconds, or save the model again"
        )
        raise ModelError(msg) from error
