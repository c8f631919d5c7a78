"""Build the datasets of `data/` from their sources and store them in the DVC remote.

The bytes are the same on every machine. The only pseudo-random choice is the order of `tasks.data.sources.order`.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.data.format.dataset import Example, Prompt, write_dataset
from stillhouse.tasks.data.sources.build_spoken import STAMPS, STAMPS_SMALL
from stillhouse.tasks.data.sources.emoji import DRAWINGS, LANGUAGES, Choice, read_emoji
from stillhouse.tasks.data.sources.icons.build_icons import ICONS, ICONS_SMALL
from stillhouse.tasks.data.sources.order import rank
from stillhouse.tasks.data.sources.small import Progress, Source, Split, read_digits, read_fashion_mnist
from stillhouse.tasks.data.sources.speech.build_speech import STAMPS_SPEECH, STAMPS_SPEECH_SMALL
from stillhouse.tasks.data.sources.wordings.fashion import fashion_prompts
from stillhouse.tasks.data.store.remote import Remote, list_folder, listing_bytes, listing_md5, open_remote
from stillhouse.tasks.data.store.revision import read_pinned_md5, write_pointer
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings


class Plan(Protocol):
    """How some sources become a dataset."""

    def build(self, folder: Path, name: str, progress: Progress) -> None:
        """Build the dataset into a new folder."""


@dataclass(frozen=True)
class ImagePlan:
    """How one source becomes a dataset of images."""

    read: Callable[[Progress], Source]
    splits: tuple[tuple[str, str, int | None], ...]
    """(split, source split, number of examples or `None` for the rest).

    If an image appears twice, the first split keeps it. A split may have several rows, one for each source split.
    """
    prompts: Callable[[], Sequence[Prompt]] = tuple
    """Returns the sentences that ask for a picture."""

    def build(self, folder: Path, name: str, progress: Progress) -> None:
        """Build the dataset into a new folder.

        Raises:
            DataError: the source is missing or altered.
        """
        source = self.read(progress)
        splits = assign(source.splits, self)
        counts = ", ".join(f"{split} {len(examples):,}" for split, examples in splits.items())
        progress(f"{name}: writing {counts}")
        folder.mkdir(parents=True)
        about = {
            "name": name,
            "licence": source.licence,
            "sources": [{"name": file, "sha256": digest} for file, digest in source.digests.items()],
            "image_shape": list(next(iter(source.splits.values())).images.shape[1:]),
            "dtype": "uint8",
            "value_range": list(source.value_range),
            "labels": list(source.labels),
        }
        if source.captions:
            about["languages"] = list(source.languages)
        captions, prompts = {"captions": source.captions}, {"prompts": self.prompts()}
        write_dataset(folder, about, source.licence_text, splits, {**captions, **prompts})


# Related styles (noto and noto-v1, emojione and its v1, the two fluent ones) are in the same split. Otherwise no
# evaluation style would be unseen in training.
EMOJI = Choice(
    name="emoji",
    styles=tuple(DRAWINGS),
    all_of=("twemoji", "openmoji"),
    any_of=("noto", "noto-v1", "emojione", "emojione-v1", "fluent-emoji", "fluent-emoji-flat"),
    languages=LANGUAGES,
    labels=None,
)
EMOJI_SMALL = Choice(
    name="emoji_small",
    styles=("noto-v1", "emojione", "fluent-emoji-flat", "fxemoji", "twemoji", "openmoji"),
    all_of=("fxemoji", "twemoji", "openmoji"),
    any_of=("noto-v1", "emojione", "fluent-emoji-flat"),
    languages=("en", "de", "ja"),
    labels=64,
)

PLANS: Mapping[str, Plan] = {
    "digits": ImagePlan(
        read_digits,
        (
            ("test", "all", 360),
            ("gate", "all", 300),
            ("validation", "all", 100),
            ("calibration", "all", 100),
            ("train", "all", None),
        ),
    ),
    "fashion_mnist": ImagePlan(
        read_fashion_mnist,
        (
            ("test", "test", None),
            ("gate", "train", 5_000),
            ("validation", "train", 2_000),
            ("calibration", "train", 1_000),
            ("train", "train", None),
        ),
    ),
    "fashion_prompts": ImagePlan(
        read_fashion_mnist,
        (
            ("test", "test", 5_000),
            ("gate", "train", 5_000),
            ("validation", "train", 2_000),
            ("calibration", "train", 1_000),
            ("train", "train", None),
        ),
        fashion_prompts,
    ),
    "fashion_prompts_small": ImagePlan(
        read_fashion_mnist,
        (
            ("test", "test", 400),
            ("gate", "train", 400),
            ("validation", "train", 200),
            ("calibration", "train", 100),
            ("train", "train", 2_000),
        ),
        fashion_prompts,
    ),
    "icon_prompts": ICONS,
    "icon_prompts_small": ICONS_SMALL,
    "emoji": ImagePlan(
        partial(read_emoji, EMOJI),
        (
            ("test", "openmoji", None),
            ("gate", "twemoji", None),
            ("validation", "fxemoji", None),
            ("calibration", "noto-v1", 200),
            ("calibration", "emojione-v1", 200),
            *(("train", style, None) for style in EMOJI.any_of),
        ),
    ),
    "emoji_small": ImagePlan(
        partial(read_emoji, EMOJI_SMALL),
        (
            ("test", "openmoji", None),
            ("gate", "twemoji", None),
            ("validation", "fxemoji", None),
            ("calibration", "noto-v1", 32),
            *(("train", style, None) for style in EMOJI_SMALL.any_of),
        ),
    ),
    "stamps": STAMPS,
    "stamps_small": STAMPS_SMALL,
    "stamps_speech": STAMPS_SPEECH,
    "stamps_speech_small": STAMPS_SPEECH_SMALL,
}


def ensure_data(settings: Settings, data: Data, progress: Progress) -> None:
    """Make sure that the DVC remote holds every object of the dataset version that a recipe names.

    The dataset is built only if an object is missing or altered. A second caller waits for the first. Data of this host
    alone is not in DVC: the stage `pull` checks it.

    Raises:
        DataError: a source is missing or altered, or the build differs from data.dvc.
        ServiceError: the remote cannot be used.
    """
    if data.sha256:
        return
    with writing(settings):
        md5, remote = read_pinned_md5(settings.root, data.revision, data.dataset), open_remote(settings)
        if _is_complete(remote, data.dataset, md5):
            return
        listing = _read_listing(settings.root, data.dataset, md5, progress)
        push_folder(settings.root / "data" / data.dataset, listing, remote, progress)


def commit_data(settings: Settings, progress: Progress) -> None:
    """Build every dataset of `PLANS`, push it, and pin it in data.dvc. The pins of imported data stay.

    Only a maintainer who changes the datasets needs this.
    """
    listings: dict[str, dict[str, str]] = {}
    with writing(settings):
        for name in PLANS:
            folder = build_data(settings.root, name, progress)
            listings[name] = list_folder(folder)
            push_folder(folder, listings[name], open_remote(settings), progress)
        write_pointer(settings.root, listings)


def build_data(root: Path, name: str, progress: Progress) -> Path:
    """Build one dataset in a temporary folder, then move it into `data/`; returns its folder.

    Raises:
        DataError: the dataset has no plan, or a source is missing or altered.
    """
    if name not in PLANS:
        msg = f"data/{name} is not whole in the DVC remote and nothing here builds it; `dvc push` it from where it is"
        raise DataError(msg)
    (root / ".dvc" / "tmp").mkdir(parents=True, exist_ok=True)
    (root / "data").mkdir(exist_ok=True)
    folder = root / "data" / name
    with tempfile.TemporaryDirectory(prefix="data-", dir=root / ".dvc" / "tmp") as scratch:
        PLANS[name].build(Path(scratch, "new"), name, progress)
        if folder.exists():
            folder.rename(Path(scratch, "old"))
        Path(scratch, "new").rename(folder)
    return folder


def assign(sources: Mapping[str, Split], plan: ImagePlan) -> dict[str, list[Example]]:
    """Assign each example to one split. Each distinct image is kept once, in the first matching split of the plan."""
    seen: set[str] = set()
    waiting = {name: _unseen(_shuffle(name, source), seen) for name, source in sources.items()}
    splits: dict[str, list[Example]] = {split: [] for split, _, _ in plan.splits}
    for split, source, count in plan.splits:
        splits[split] += islice(waiting[source], count)
    return splits


def push_folder(folder: Path, listing: Mapping[str, str], remote: Remote, progress: Progress) -> None:
    """Upload the objects that the remote lacks. The listing is last: if it exists, all its objects were uploaded."""
    lacking = {name: oid for name, oid in listing.items() if not remote.holds(oid)}
    for number, (name, oid) in enumerate(lacking.items(), start=1):
        progress(f"pushing {number}/{len(lacking)} {folder.name}/{name}")
        remote.store(oid, folder / name)
    with tempfile.NamedTemporaryFile(prefix="stillhouse-listing-") as aside:
        aside.write(listing_bytes(listing))
        aside.flush()
        remote.store(listing_md5(listing), Path(aside.name))


def _is_complete(remote: Remote, dataset: str, md5: str) -> bool:
    if not remote.holds(md5):
        return False
    with tempfile.TemporaryDirectory(prefix="stillhouse-listing-") as scratch:
        listing = remote.listing(dataset, md5, Path(scratch))
    return all(remote.holds(oid) for oid in listing.values())


def _read_listing(root: Path, name: str, md5: str, progress: Progress) -> dict[str, str]:
    listing = list_folder(root / "data" / name)
    if listing_md5(listing) == md5:
        return listing
    listing = list_folder(build_data(root, name, progress))
    if listing_md5(listing) != md5:
        msg = (
            f"data/{name} built from its source is {listing_md5(listing)} where data.dvc pins {md5}; with pyarrow "
            f"{pa.__version__} the source was right, so install the locked versions with `make install` or pin "
            "the new data with `stillhouse data --commit`; an older revision's data is pushed from a checkout of it"
        )
        raise DataError(msg)
    return listing


def _shuffle(split: str, examples: Split) -> Iterator[Example]:
    ids = [f"{split}/{index:06d}" for index in range(len(examples.labels))]
    for index in sorted(range(len(ids)), key=lambda index: rank(ids[index])):
        yield Example(ids[index], examples.images[index].tobytes(), int(examples.labels[index]))


def _unseen(examples: Iterator[Example], seen: set[str]) -> Iterator[Example]:
    for example in examples:
        if example.sha256 not in seen:
            seen.add(example.sha256)
            yield example


@contextmanager
def writing(settings: Settings) -> Iterator[None]:
    """Hold the data lock of the state folder. A second caller waits for the first."""
    try:
        with waiting(settings.state / "data.lock"):
            yield
    except OSError as error:
        msg = f"the data cannot be written ({error}); free the disk or mend the permissions of {settings.root}"
        raise DataError(msg) from error
