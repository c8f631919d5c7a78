"""Train an audio classifier with transformers, as people do, and print the command that compresses it.

Usage: PYTHONPATH=src python benchmarks/own_models/audio_case.py FOLDER [EPOCHS] [RECORDINGS]

The task is to tell the language of a spoken caption of Tux Paint's stamps, in eight languages. A language is mostly one
voice, so that the task is easier than it sounds. FOLDER gets the recordings, a folder for each language (RECORDINGS of
each at most), and the model `voices`. What is there already is used again. Only the training loop is this script's:
model and feature extractor are the library's.
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.clips import load_clips
from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.data.sources.debian import unpack_package
from stillhouse.tasks.data.sources.stamp_files import SPOKEN
from stillhouse.tasks.data.sources.stamps import FOLDER, LICENCE, PACKAGE
from stillhouse.tasks.settings import load_settings

NAME, SECONDS, SHAPE = "voices", 2.0, (3, 32, 32)
LANGUAGES = ("be", "bg", "ca", "el", "es", "fr", "ro", "ru")
"""Languages of which there are some hundred recordings."""
EPOCHS, BATCH, RATE, AT_ONCE = 12, 32, 1e-3, 64
BANDS, FRAMES, FULL_SCALE = 64, 200, 32_768
SIZES: dict[str, Any] = {
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "max_length": FRAMES,
    "num_mel_bins": BANDS,
    "patch_size": 16,
    "frequency_stride": 16,
    "time_stride": 10,
}
GOALS = "--keep 99% --smaller 4x --faster 2x --minutes 15"


def main(work: Path, epochs: int, most: int) -> None:
    """Make what is missing, and print the command."""
    work.mkdir(parents=True, exist_ok=True)
    recordings, model = fetch(work / "recordings", most), work / NAME
    wanted = Wanted(NAME, recordings, SHAPE, LICENCE, "audio-classification", seconds=SECONDS)
    settings = load_settings()
    found = import_local(settings, wanted, print)
    if not model.exists():
        train(settings.data_cache / found.digest, found.labels, model, epochs)
    print(f"stillhouse compress {model} --data {recordings} --name {NAME} --seconds {SECONDS:g} {GOALS}")


def fetch(folder: Path, most: int) -> Path:
    """Write the recordings of each language into a folder of its own."""
    if folder.exists():
        return folder
    aside = folder.with_name(f".{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    root = Path("/") if Path("/", FOLDER).is_dir() else unpack_package(PACKAGE)
    counts = dict.fromkeys(LANGUAGES, 0)
    for path in sorted((root / FOLDER).rglob("*.ogg")):
        spoken = SPOKEN.fullmatch(path.name)
        if spoken and (language := spoken["language"]) in counts and counts[language] < most:
            target = aside / language / f"{path.parent.name}_{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            counts[language] += 1
    print(", ".join(f"{language} {count}" for language, count in counts.items()))
    return aside.rename(folder)


def train(data: Path, labels: tuple[str, ...], folder: Path, epochs: int) -> None:
    """Train a small spectrogram transformer and save it with its feature extractor."""
    from transformers import ASTConfig, ASTFeatureExtractor, AutoModelForAudioClassification

    names = dict(enumerate(labels))
    config = ASTConfig(**SIZES, id2label=names, label2id={name: number for number, name in names.items()})
    torch.manual_seed(17)
    model = AutoModelForAudioClassification.from_config(config)
    extractor = ASTFeatureExtractor(num_mel_bins=BANDS, max_length=FRAMES)
    fit(model, extractor, data, epochs)
    aside = folder.with_name(f".{folder.name}")
    model.save_pretrained(aside)
    extractor.save_pretrained(aside)
    aside.rename(folder)


def fit(model: nn.Module, extractor: Any, data: Path, epochs: int) -> None:  # noqa: ANN401 - a class of the library
    """Train with labels on shifted spectrograms, and print the accuracy on the split `validation`."""
    levels_NFB, labels_N = prepare(extractor, data, "train")
    held_NFB, wanted_N = prepare(extractor, data, "validation")
    steps = epochs * -(-len(labels_N) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for epoch in range(epochs):
        model.train()
        began = time.monotonic()
        for index_B in torch.randperm(len(labels_N)).split(BATCH):
            moved_BFB = levels_NFB[index_B].roll(int(torch.randint(-20, 21, ())), 1)
            loss = functional.cross_entropy(model(moved_BFB).logits, labels_N[index_B])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(
            f"epoch {epoch + 1}: {accuracy(model, held_NFB, wanted_N):.2%}, {time.monotonic() - began:.0f} s",
            flush=True,
        )


def prepare(extractor: Any, data: Path, split: str) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - a class of the library
    """Let the extractor prepare the clips of a split."""
    clips = load_clips(data, split)
    scaled = [clip_T.astype("float32") / FULL_SCALE for clip_T in clips.samples_NT]
    prepared = extractor(scaled, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_values"]
    return prepared, torch.from_numpy(clips.labels_N)


@torch.no_grad()
def accuracy(model: nn.Module, levels_NFB: Tensor, labels_N: Tensor) -> float:
    """Return the accuracy."""
    model.eval()
    answers_N = torch.cat([model(levels_BFB).logits.argmax(1) for levels_BFB in levels_NFB.split(AT_ONCE)])
    return float((answers_N == labels_N).float().mean())


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[2:4]]
    main(Path(sys.argv[1]), *given, *(EPOCHS, 800)[len(given) :])
