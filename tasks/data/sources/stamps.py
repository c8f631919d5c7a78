"""Tux Paint's stamps from Debian's package, pinned by one SHA-256: pictures with written and spoken captions.

`tasks.data.sources.build_spoken` assigns the captions to splits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stillhouse.tasks.data.checks.spoken_expectations import LONGEST, SHORTEST
from stillhouse.tasks.data.format.dataset import Caption, Example, Recording
from stillhouse.tasks.data.sources.debian import Pin, check_files, unpack_package
from stillhouse.tasks.data.sources.drawing import draw_file
from stillhouse.tasks.data.sources.order import rank
from stillhouse.tasks.data.sources.stamp_files import Stamp, categories_of, stamps_among
from stillhouse.tasks.errors import DataError

PACKAGE = "tuxpaint-stamps-default"
VERSION = "2022.06.04-1"
FOLDER = "usr/share/tuxpaint/stamps"
LICENCE_FILE = f"usr/share/doc/{PACKAGE}/copyright"
LICENCE = "GPL-2.0-or-later"
ENDINGS = (".png", ".svg", ".txt", ".ogg")
SHA256 = "51dc1b02acfd12ac4fa3835ed2f4959838b2fa1954d7b59de13a60d3f62f327a"
"""SHA-256 over the `sha256sum` lines of the licence and of every file with one of the endings, sorted by path."""
LANGUAGES = (
    "ach", "af", "am", "an", "ar", "ast", "be", "bg", "ca", "cs", "da", "de", "el", "en", "eo", "es", "eu", "ff", "fi",
    "fr", "ga", "gd", "gl", "gu", "hi", "hr", "hu", "hy", "id", "is", "it", "iu", "ja", "ka", "ko", "lv", "ml", "ms",
    "nb", "nl", "nn", "pl", "pt", "ro", "ru", "sk", "sl", "son", "sq", "sr", "sv", "th", "tr", "uk", "vec", "vi",
    "zh_CN", "zh_TW",
)  # fmt: skip
"""Languages with captions for at least 600 stamps.

en_AU, en_GB, pt_BR, ca@valencia and sr@latin are left out, because each repeats most of another language.
"""
WHITE = ("naturalforces/lightningbolt",)
"""Stamps that are drawn only in white. Nothing of them shows on a white background."""
SAMPLE_RATES = [8_000, 44_100]
"""Sample rates of the recordings in hertz."""
FEWEST = 4
"""Minimum number of recordings of a stamp."""


@dataclass(frozen=True)
class Choice:
    """Selects the stamps that become a dataset's labels, and their languages."""

    name: str
    languages: tuple[str, ...]
    recordings: int
    """Minimum number of recordings of a label in these languages."""
    labels: int | None
    """Number of labels, or `None` for all."""


@dataclass(frozen=True)
class Stamps:
    """One dataset of stamps, before it is split."""

    licence_text: bytes
    digests: Mapping[str, str]
    labels: tuple[str, ...]
    languages: tuple[str, ...]
    gallery: Sequence[Example]
    captions: Sequence[Caption]
    recordings: Sequence[Recording]


@dataclass(frozen=True)
class Chosen:
    """The selected stamps, and where their files are."""

    root: Path
    """The folder that stands for `/`."""
    stamps: Sequence[Stamp]

    @property
    def folder(self) -> Path:
        """The folder to which the paths of a stamp's files are relative."""
        return self.root / FOLDER

    @property
    def licence_text(self) -> bytes:
        """Debian's notice for the package."""
        return (self.root / LICENCE_FILE).read_bytes()

    @property
    def digests(self) -> dict[str, str]:
        """The source and its digest."""
        return {f"{PACKAGE} {VERSION}": SHA256}


def choose_stamps(choice: Choice, progress: Callable[[str], None]) -> Chosen:
    """Select stamps of the installed package, or else of a downloaded one.

    Raises:
        DataError: the package is not available, or differs from the pinned digest.
    """
    progress(f"{choice.name}: reading Debian's {PACKAGE}, downloaded (161 MB) unless it is installed")
    root = Path("/") if Path("/", FOLDER).is_dir() else unpack_package(PACKAGE)
    digests = _check(root)
    return Chosen(root, _choose(_tell_apart(root / FOLDER, digests), choice))


def read_stamps(choice: Choice, progress: Callable[[str], None]) -> Stamps:
    """Read the selected stamps with their pictures, captions and recordings.

    Raises:
        DataError: the package is not available, or differs from the pinned digest.
    """
    chosen = choose_stamps(choice, progress)
    folder, stamps = chosen.folder, chosen.stamps
    return Stamps(
        licence_text=chosen.licence_text,
        digests=chosen.digests,
        labels=tuple(stamp.name for stamp in stamps),
        languages=choice.languages,
        gallery=[Example(each.name, _draw(folder / each.drawing), label) for label, each in enumerate(stamps)],
        captions=[caption for label, stamp in enumerate(stamps) for caption in _captions(label, stamp)],
        recordings=[recording for label, stamp in enumerate(stamps) for recording in _recordings(folder, label, stamp)],
    )


def _check(root: Path) -> dict[str, str]:
    """Return path -> digest of every file that a stamp may use. Paths are relative to the stamps' folder."""
    paths = [root / LICENCE_FILE, *(path for path in (root / FOLDER).rglob("*") if path.suffix in ENDINGS)]
    digests = check_files(Pin(PACKAGE, VERSION, SHA256, "tasks/data/sources/stamps.py"), root, paths)
    return {name.removeprefix(f"{FOLDER}/"): digest for name, digest in digests.items()}


def _tell_apart(folder: Path, digests: Mapping[str, str]) -> list[Stamp]:
    """Select the stamps that have enough recordings of their own: sibling stamps often share all recordings."""
    heard: set[str] = set()
    stamps = []
    for stamp in stamps_among(folder, digests):
        new = {
            language: file
            for language, file in stamp.recordings.items()
            if language in LANGUAGES and digests[file] not in heard and _lasts(folder / file)
        }
        if len(new) >= FEWEST and stamp.name not in WHITE:
            heard |= {digests[file] for file in new.values()}
            stamps.append(replace(stamp, recordings=new))
    return stamps


def _lasts(recording: Path) -> bool:
    import soundfile

    return SHORTEST <= float(soundfile.info(recording).duration) <= LONGEST


def _choose(stamps: Sequence[Stamp], choice: Choice) -> list[Stamp]:
    """Keep the selected languages, then choose the first stamps by rank that have enough recordings.

    The result keeps the order of the stamps.
    """
    narrowed = [
        replace(stamp, captions=_only(stamp.captions, choice), recordings=_only(stamp.recordings, choice))
        for stamp in stamps
    ]
    enough = [stamp for stamp in narrowed if len(stamp.recordings) >= choice.recordings]
    names = set(sorted((stamp.name for stamp in enough), key=rank)[: choice.labels])
    return [stamp for stamp in enough if stamp.name in names]


def _only(values: Mapping[str, str], choice: Choice) -> dict[str, str]:
    return {language: values[language] for language in choice.languages if language in values}


def _draw(drawing: Path) -> bytes:
    try:
        return draw_file(drawing).tobytes()
    except ValueError as error:
        msg = f"source {PACKAGE}: {drawing.name} cannot be drawn ({error}); run `make install` for the locked renderers"
        raise DataError(msg) from error


def _captions(label: int, stamp: Stamp) -> list[Caption]:
    tags = categories_of(stamp.name)
    return [Caption(label, language, sentence, tags) for language, sentence in stamp.captions.items()]


def _recordings(folder: Path, label: int, stamp: Stamp) -> list[Recording]:
    return [
        Recording(f"{stamp.name}/{language}", (folder / file).read_bytes(), label, language)
        for language, file in stamp.recordings.items()
    ]
