"""The prompts of the telephone exchange Asterisk from Debian's packages: one professional voice for each language.

The package with the texts and the package with the recordings of a language are pinned by one SHA-256 each.
"""

import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stillhouse.models.data.transcripts import normalise_transcript
from stillhouse.tasks.data.sources.debian import Pin, check_files, unpack_package
from stillhouse.tasks.data.sources.speech.row import Row

VERSION = "1.6.1-1"
MODULE = "tasks/data/sources/speech/asterisk.py"
SOUNDS = "usr/share/asterisk/sounds"
NO_SPEECH = ("[", "(", "<")
"""A text that begins so describes a noise or a silence."""
LETTERS = "letters/"
"""Folder of the recordings of single letters. Some texts have the letter and not its name, which is what is said."""


@dataclass(frozen=True)
class Voice:
    """One language of the prompts."""

    language: str
    folder: str
    licence: str
    texts_sha256: str
    sounds_sha256: str

    @property
    def name(self) -> str:
        """Name of the voice in the dataset."""
        return f"asterisk-{self.language}"

    @property
    def pins(self) -> tuple[Pin, Pin]:
        """The package with the texts, and the one with the recordings."""
        package = f"asterisk-core-sounds-{self.language}"
        return (
            Pin(package, VERSION, self.texts_sha256, MODULE),
            Pin(f"{package}-wav", VERSION, self.sounds_sha256, MODULE),
        )


JUNE = Voice(
    "fr",
    "fr_CA_f_June",
    "CC-BY-SA-3.0",
    "bce847470c05f72fae91c2e3ec72d947571dd71b3844e3a089bff823ad66bf54",
    "b0b238a83a7f89f42e34d3106ed199fff985c6ded3037b60548f67416442de41",
)
MAXIM = Voice(
    "ru",
    "ru_RU_f_IvrvoiceRU",
    "CC-BY-3.0",
    "b6f6bf6ed97da21728ebe914948b165b7b4ea71a523af89fb06f550301c31eee",
    "5bb30d0612aabdc6249ad661410344ff36a4c96e12502ac2854aa7f0114a390e",
)
ALLISON = Voice(
    "es",
    "es_MX_f_Allison",
    "CC-BY-SA-3.0",
    "444ec1b6cd3a46e81bf05cadad625c8bc62164d2b8c6c4f58c973df0afe654de",
    "4bcdc61b3f37a1e6e56136331dda490d0399a9a0b15042666ba7d653be9f7b3b",
)


@dataclass(frozen=True)
class Prompts:
    """The unpacked and checked prompts of one voice."""

    voice: Voice
    texts: list[str]
    """Lines of the form `key: text`."""
    sounds: Path
    licence_text: bytes


def read_prompts(voice: Voice, progress: Callable[[str], None]) -> Prompts:
    """Download the two packages of a voice and check them.

    Raises:
        DataError: a package is not available, or differs from its pin.
    """
    texts, sounds = voice.pins
    progress(f"reading Debian's {texts.package} and {sounds.package}, downloaded (20 MB)")
    root, sounds_root = unpack_package(texts.package), unpack_package(sounds.package)
    documents = root / "usr/share/doc" / texts.package
    listed, notice = documents / f"core-sounds-{voice.language}.txt.gz", documents / "copyright"
    check_files(texts, root, (listed, notice))
    folder = sounds_root / SOUNDS / voice.folder
    check_files(sounds, sounds_root, folder.rglob("*.wav"))
    lines = gzip.decompress(listed.read_bytes()).decode().splitlines()
    return Prompts(voice, lines, folder, notice.read_bytes())


def rows_of(prompts: Prompts, split: str, rejected: Counter[str]) -> Iterator[Row]:
    """Yield the recordings that have one text of spoken words, each in a group of its own; count the others."""
    said = [(key.strip(), text.strip()) for key, text in _pairs(prompts.texts)]
    times = Counter(key for key, _ in said)
    for key, text in said:
        path = prompts.sounds / f"{key}.wav"
        reason = _reason(key, text, times[key], path)
        if reason:
            rejected[reason] += 1
            continue
        voice = prompts.voice
        yield Row(key, path.read_bytes(), text, voice.language, voice.name, f"{voice.name}/{key}", split)


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        key, colon, text = line.partition(":")
        if colon and not line.startswith(";"):
            yield key, text


def _reason(key: str, text: str, times: int, path: Path) -> str:
    faults = {
        "text without a recording": not path.is_file(),
        "several texts for one recording": times > 1,
        "text that is no speech": text.startswith(NO_SPEECH),
        "letter without its name": key.startswith(LETTERS) and len(normalise_transcript(text)) == 1,
    }
    return next((name for name, broken in faults.items() if broken), "")
