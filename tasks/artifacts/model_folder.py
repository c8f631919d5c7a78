"""The digest of a user's model that is a folder."""

from pathlib import Path

from stillhouse.tasks.artifacts.artifact import file_digest, json_digest

READ = (".json", ".safetensors", ".txt", ".model")
"""Endings of the files that a model consists of."""


def folder_digest(folder: Path) -> str:
    """Return the digest of a model's files: weights, configuration and tokenizer, wherever the folder lies."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in READ and path.is_file())
    return json_digest({path.relative_to(folder).as_posix(): file_digest(path) for path in files})
