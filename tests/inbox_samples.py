"""Real digits that land: a house whose digits lack some, and batches of these to send, whole or spoilt."""

import atexit
import functools
import hashlib
import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from data_samples import built_digits, commit_house, make_house, quiet
from PIL import Image

from stillhouse.tasks.data.format.dataset import Example, read_description, write_dataset
from stillhouse.tasks.data.ingest.inbox import CONTENTS, open_inbox
from stillhouse.tasks.data.ingest.ingest import Outcome, ingest
from stillhouse.tasks.settings import Settings

HELD_BACK = 60
"""Digits that the house does not have yet."""
FILES = ("splits", "manifest", "licence_file")


def examples_in(folder: Path, split: str) -> list[Example]:
    """Read the examples of a split, in their order."""
    shards = read_description(folder)["splits"][split]["shards"]
    return [Example(**row) for shard in shards for row in pq.read_table(folder / shard["path"]).to_pylist()]


@functools.cache
def fewer_digits() -> Path:
    """Write the digits without the last of train, once per test run; treat the folder as read-only."""
    scratch = tempfile.mkdtemp(prefix="stillhouse-fewer-")
    atexit.register(shutil.rmtree, scratch)
    described = read_description(built_digits())
    splits = {split: examples_in(built_digits(), split) for split in described["splits"]}
    splits["train"] = splits["train"][:-HELD_BACK]
    folder = Path(scratch, "digits")
    folder.mkdir()
    licence = (built_digits() / "LICENSE.txt").read_bytes()
    write_dataset(folder, {key: described[key] for key in described if key not in FILES}, licence, splits, {})
    return folder


def new_digits() -> list[Example]:
    """The digits that the house does not have yet."""
    return examples_in(built_digits(), "train")[-HELD_BACK:]


def make_house_with_inbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose deployed digits lack some."""
    monkeypatch.delenv("STILLHOUSE_INBOX", raising=False)
    settings = make_house(root, monkeypatch)
    shutil.rmtree(root / "data" / "digits")
    shutil.copytree(fewer_digits(), root / "data" / "digits")
    commit_house(settings, "base")
    return settings


def png(example: Example, **changes: Any) -> bytes:
    """Draw a digit as a PNG file."""
    pixels = np.frombuffer(example.image, np.uint8).reshape(8, 8)
    return encoded(Image.fromarray(pixels), **changes)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def listed(name: str, content: bytes, label: str | int) -> dict[str, Any]:
    """Give the entry of batch.json for a file."""
    return {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "label": label}


def batch_of(examples: Sequence[Example]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Give the files of a batch and its batch.json."""
    files = {f"{number:03d}.png": png(example) for number, example in enumerate(examples)}
    entries = [
        listed(name, content, str(example.label))
        for (name, content), example in zip(files.items(), examples, strict=True)
    ]
    return files, {"files": entries}


def send(settings: Settings, name: str, files: dict[str, bytes], contents: object, dataset: str = "digits") -> None:
    """Land a batch as a sender does, batch.json last; one that is bytes is sent as it is."""
    inbox = open_inbox(settings)
    for file, content in files.items():
        inbox.put(f"incoming/{dataset}/{name}/{file}", content)
    last = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
    inbox.put(f"incoming/{dataset}/{name}/{CONTENTS}", last)


def send_digits(settings: Settings, name: str, examples: Sequence[Example]) -> None:
    """Land a sound batch."""
    send(settings, name, *batch_of(examples))


def ingest_all(settings: Settings, dataset: str = "digits") -> list[Outcome]:
    """Take what landed."""
    return list(ingest(settings, dataset, quiet))


def said_by_git(settings: Settings, *arguments: str) -> str:
    """What git prints."""
    command = ["git", "-C", str(settings.root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def tags(settings: Settings) -> list[str]:
    """Name the versions that were made of what landed."""
    return said_by_git(settings, "tag", "--list", "data/*").splitlines()


def at(settings: Settings, place: str) -> list[str]:
    """Name the files below one of the four folders of the inbox place."""
    return [key.removeprefix(f"{place}/") for key in open_inbox(settings).keys(f"{place}/")]
