"""Recordings that a classifier can tell apart, and tiny audio classifiers as people save them with transformers."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

RATE = 16_000
CLASSES = ("buzz", "hum", "whistle")
PITCHES = {"buzz": 300.0, "hum": 900.0, "whistle": 2700.0}
"""Class -> hertz of its tone."""
SPEECH: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
    "conv_dim": [16, 16, 16], "conv_stride": [5, 4, 4], "conv_kernel": [10, 8, 8], "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "classifier_proj_size": 16, "vocab_size": 8,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "wav2vec2": SPEECH,
    "hubert": SPEECH | {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    "wavlm": SPEECH,
    "audio-spectrogram-transformer": {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
        "max_length": 64, "num_mel_bins": 32,
    },
}  # fmt: skip
"""Type of model -> its configuration."""


def tone(number: int, name: str, seconds: float = 0.5, rate: int = RATE) -> NDArray[np.float64]:
    """Return samples_T of a tone of a class in noise. No other number has the same."""
    generator = np.random.default_rng([number, len(name)])
    times_T = np.arange(round(seconds * rate)) / rate
    pitch = PITCHES[name] * generator.uniform(0.85, 1.15)
    loud_T = generator.uniform(0.2, 0.6) * np.sin(2 * np.pi * pitch * times_T + generator.uniform(0, 6))
    return loud_T + generator.normal(0, 0.05, len(times_T))


def encode(samples: NDArray[Any], kind: str = "WAV", subtype: str | None = None, rate: int = RATE) -> bytes:
    """Encode samples (T,) or (T, C) as a file."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def recordings(root: Path, count: int = 60, seconds: float = 0.5) -> Path:
    """Write a folder for each class, with WAV files of its tones."""
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number:03d}.wav").write_bytes(encode(tone(number, name, seconds)))
    return root


def make_classifier(kind: str, labels: Sequence[str] = CLASSES, **changes: Any) -> Any:
    """Build a classifier of the library with fixed random weights."""
    from transformers import AutoConfig, AutoModelForAudioClassification

    names = dict(enumerate(labels))
    found = {name: number for number, name in names.items()}
    config = AutoConfig.for_model(kind, **(CONFIGS[kind] | {"id2label": names, "label2id": found} | changes))
    torch.manual_seed(3)
    model = AutoModelForAudioClassification.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0.0, parameter[0].numel() ** -0.5)
    return model.eval()


def make_extractor(kind: str, changes: Mapping[str, Any] | None = None) -> Any:
    """Build the feature extractor of a type of model."""
    from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor

    if kind == "audio-spectrogram-transformer":
        return ASTFeatureExtractor(**({"num_mel_bins": 32, "max_length": 64} | dict(changes or {})))
    return Wav2Vec2FeatureExtractor(**dict(changes or {}))


def save_classifier(
    folder: Path,
    kind: str,
    labels: Sequence[str] = CLASSES,
    extractor: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Save a classifier and its feature extractor as `save_pretrained` writes them."""
    make_classifier(kind, labels, **changes).save_pretrained(folder)
    make_extractor(kind, extractor).save_pretrained(folder)
    return folder
