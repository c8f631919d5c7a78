"""Tell from a model's configuration what it is for."""

from typing import Literal

from stillhouse.models.inspection.source import Source

Task = Literal[
    "image-classification", "text-classification", "text-embedding", "audio-classification", "speech-recognition"
]
HEADS: dict[str, Task] = {
    "ForImageClassification": "image-classification",
    "ForSequenceClassification": "text-classification",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "speech-recognition",
}
"""Part of the name of a transformers class -> task. A word may follow, such as `WithTeacher`."""
LISTENERS = (
    *("wav2vec2", "wav2vec2-bert", "wav2vec2-conformer", "hubert", "wavlm", "unispeech", "unispeech-sat"),
    *("sew", "sew-d", "data2vec-audio"),
)
"""Types of models whose sequences are recordings, though their heads have the names of those of texts."""
SENTENCES = "sentence_transformers"


def task_of(source: Source) -> Task | None:
    """Return the task that the configuration names, or `None` if it names none."""
    if any(module.startswith(SENTENCES) and module.endswith("Pooling") for module in source.modules):
        return "text-embedding"
    for architecture in architectures_of(source):
        for ending, task in HEADS.items():
            if ending in architecture:
                return "audio-classification" if _hears(source, task) else task
    return "image-classification" if source.format == "timm" else None


def _hears(source: Source, task: Task) -> bool:
    return task == "text-classification" and source.config.get("model_type") in LISTENERS


def architectures_of(source: Source) -> tuple[str, ...]:
    """Return the names of the model's classes, as config.json gives them."""
    named = source.config.get("architectures") or source.config.get("architecture") or ()
    return (named,) if isinstance(named, str) else tuple(str(name) for name in named)
