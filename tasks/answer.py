"""`stillhouse try`: ask a registered model of towers about a sentence, picture or recording of one's own.

The answer is a page. The gallery is that of the gate role of the recipe's data set. Its index is built once
for a model and a data set, and says in which space it was made.
"""

import base64
import html
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.bundle import open_bundle
from stillhouse.models.errors import ModelError
from stillhouse.models.index import Index, build_index, load_index
from stillhouse.models.inputs.captions import load_captions
from stillhouse.models.inputs.pictures import picture_of
from stillhouse.models.inputs.text import CONTEXT, clean
from stillhouse.models.inputs.waves import SECONDS
from stillhouse.models.towers import Deployed, open_towers
from stillhouse.models.ways import IMAGE, SPEECH, TEXT
from stillhouse.models.workloads.retrieval.report import pictures_of, png_address
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.production.versions import CANDIDATE, CHAMPION, DIGEST, production_of, version_with_alias
from stillhouse.tasks.pull_data import pulled
from stillhouse.tasks.recipe import load_recipe
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.student_file import download_verified, locate_judged
from stillhouse.tasks.tracking import connect

SHOWN = 10
SHA256 = re.compile(r"[0-9a-f]{64}")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
RECORDINGS = (".ogg", ".wav", ".flac", ".mp3")


@dataclass(frozen=True)
class Found:
    """One answer."""

    name: str
    similarity: float
    image_CHW: NDArray[np.uint8]


def try_model(recipe_path: Path, queries: list[str]) -> Path:
    """Answer each query, a sentence or the path of a picture or of a recording, and write a page; gives its path.

    Raises:
        StillhouseError: no such model, or a query that cannot be answered; one sentence says why.
    """
    settings, recipe = load_settings(), load_recipe(recipe_path)
    data = pulled(settings, recipe.data)
    try:
        model = registered_towers(settings, recipe.name)
        towers = open_towers(open_bundle(model))
        index = _index(settings, towers, f"{model.name[:16]}-{data.name[:16]}", data)
        answers = {query: _answer(towers, index, data, query) for query in queries}
    except ModelError as error:
        raise StillhouseError(str(error)) from error
    page = settings.runs / "try.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(recipe.name, answers), encoding="utf-8")
    return page


def registered_towers(settings: Settings, model: str) -> Path:
    """Give the champion's towers, or the candidate's where there is none yet, downloaded once and checked.

    Raises:
        StillhouseError: there is no version, or it is not one of towers that Stillhouse registered.
        ServiceError: MLflow does not answer.
    """
    client = connect(settings.tracking_uri)
    chosen = version_with_alias(client, production_of(model), CHAMPION) or version_with_alias(client, model, CANDIDATE)
    if chosen is None:
        msg = f"no version of {model} is registered; run `make run RECIPE={model}` first"
        raise StillhouseError(msg)
    digest = chosen.tags.get(DIGEST, "")
    if not SHA256.fullmatch(digest):
        what = f"{chosen.name} version {chosen.version} was not registered by Stillhouse"
        msg = f"{what}: it has no digest in the tag {DIGEST}; run `make run RECIPE={model}` and promote that version"
        raise StillhouseError(msg)
    folder: Path = settings.state / "shared" / "models" / digest
    if not folder.is_dir():
        _download(f"models:/{chosen.name}/{chosen.version}", digest, folder)
    return folder


def _download(uri: str, digest: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        judged = locate_judged(download_verified(uri, digest, Path(scratch)))
        if open_bundle(judged).workload != "retrieval":
            msg = f"{uri} does not retrieve, and `try` asks models that do; ask it through `stillhouse serve`"
            raise StillhouseError(msg)
        judged.rename(folder)


def _index(settings: Settings, towers: Deployed, name: str, data: Path) -> Index:
    """Give the index of a model and a data set; versions of one space have an index each."""
    path = settings.state / "shared" / "indexes" / f"{name}.safetensors"
    if path.exists():
        return load_index(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    index = build_index(towers.of_images(pictures_of(data, "gate").images_NCHW), towers.space, "int8")
    index.save(path)
    return index


def _answer(towers: Deployed, index: Index, data: Path, query: str) -> list[Found]:
    vectors_1D = _embedded(towers, query)
    places = index.search(vectors_1D, towers.space, SHOWN)[0]
    images = pictures_of(data, "gate")
    captions = load_captions(data)
    names = {
        label: name
        for label, language, name in zip(captions.labels_N.tolist(), captions.languages, captions.names, strict=True)
        if language == "en"
    }
    found_KD = towers.of_images(images.images_NCHW[places])
    return [
        Found(names[int(images.labels_N[place])], float(vectors_1D[0] @ vector_D), images.images_NCHW[place])
        for place, vector_D in zip(places, found_KD, strict=True)
    ]


def _embedded(towers: Deployed, query: str) -> NDArray[np.float32]:
    if kind_of(query) == TEXT:
        return towers.of_texts([query])
    try:
        content = Path(query).read_bytes()
    except OSError as error:
        msg = f"the file {query} cannot be opened ({error.strerror}); name a file that is there"
        raise StillhouseError(msg) from error
    if kind_of(query) == SPEECH:
        return towers.of_recordings([content])
    return towers.of_images(picture_of(content)[None])


def note_on(query: str) -> str:
    """Say what of a query did not count, if anything."""
    if kind_of(query) == SPEECH:
        return f"what counts is {SECONDS:g} seconds from where speech begins"
    if kind_of(query) == IMAGE or len(clean(query)) <= CONTEXT:
        return ""
    return f"only its first {CONTEXT - 2} characters count"


def render(model: str, answers: dict[str, list[Found]]) -> str:
    """Lay out the answers as one self-contained page."""
    sections = "".join(_section(query, found) for query, found in answers.items())
    return f"{_HEAD}<h1>{html.escape(model)}</h1>{sections}"


def _section(query: str, found: list[Found]) -> str:
    cards = "".join(
        f'<figure><img src="{png_address(each.image_CHW)}" alt=""><figcaption>{html.escape(each.name)}'
        f"<br><small>{each.similarity:.2f}</small></figcaption></figure>"
        for each in found
    )
    return f"<h2>{_asked(query)}</h2><p>{note_on(query)}</p><div>{cards}</div>"


def _asked(query: str) -> str:
    path, kind = Path(query), kind_of(query)
    if kind == TEXT:
        return html.escape(query)
    if kind == SPEECH:
        content = base64.b64encode(path.read_bytes()).decode()
        return f'<audio controls src="data:audio/{path.suffix[1:]};base64,{content}"></audio>{html.escape(path.name)}'
    return f'<img class="asked" src="{png_address(picture_of(path.read_bytes()))}" alt="">{html.escape(path.name)}'


def kind_of(query: str) -> str:
    """Tell the path of a picture or of a recording from a sentence."""
    ending = query.lower()
    return IMAGE if ending.endswith(PICTURES) else SPEECH if ending.endswith(RECORDINGS) else TEXT


_HEAD = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Stillhouse: try</title><style>
body { font: 16px/1.4 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
div { display: flex; flex-wrap: wrap; gap: 0.5rem; } figure { width: 8rem; margin: 0; text-align: center; }
figure img { width: 6rem; height: 6rem; } figcaption { font-size: 0.85rem; }
.asked { height: 3rem; margin-right: 1rem; }
h2 { display: flex; align-items: center; border-top: 1px solid #ddd; padding-top: 1rem; }
</style></head><body>
"""
