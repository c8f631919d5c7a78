"""Answer a user's own queries with a retrieval model: sentences, pictures and recordings, shown on a page.

The gallery is that of the split `gate`. Its index is built once per model and dataset. The index stores the name of its
space.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.captions import load_captions
from stillhouse.models.data.pictures import picture_of
from stillhouse.models.data.sound.waves import SECONDS
from stillhouse.models.data.text import CONTEXT, clean
from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.retrieval.data import IMAGE, SPEECH, TEXT
from stillhouse.models.workloads.retrieval.encoders import Deployed, open_encoders
from stillhouse.models.workloads.retrieval.pictures import pictures_of, png_address
from stillhouse.models.workloads.retrieval.search.index import Index, build_index, load_index

SHOWN = 10
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
RECORDINGS = (".ogg", ".wav", ".flac", ".mp3")


@dataclass(frozen=True)
class Found:
    """One result of a query."""

    name: str
    similarity: float
    image_CHW: NDArray[np.uint8]


def answer_queries(bundle: Bundle, data: Path, queries: Sequence[str], cache: Path) -> str:
    """Return the results of each query, as the content of a page.

    Args:
        bundle: the model's bundle.
        data: a materialised dataset. Its pictures are searched.
        queries: sentences, or paths of pictures or recordings.
        cache: folder for the index of this model and this dataset.

    Raises:
        ModelError: a query cannot be answered. The message gives the reason.
    """
    encoders = open_encoders(bundle)
    index = _index(encoders, cache / "index.safetensors", data)
    return "".join(_section(query, _answer(encoders, index, data, query)) for query in queries)


def _index(encoders: Deployed, path: Path, data: Path) -> Index:
    if path.exists():
        return load_index(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    index = build_index(encoders.of_images(pictures_of(data, "gate").images_NCHW), encoders.space, "int8")
    index.save(path)
    return index


def _answer(encoders: Deployed, index: Index, data: Path, query: str) -> list[Found]:
    vectors_1D = _embed(encoders, query)
    places = index.search(vectors_1D, encoders.space, SHOWN)[0]
    images = pictures_of(data, "gate")
    captions = load_captions(data)
    names = {
        label: name
        for label, language, name in zip(captions.labels_N.tolist(), captions.languages, captions.names, strict=True)
        if language == "en"
    }
    found_KD = encoders.of_images(images.images_NCHW[places])
    return [
        Found(names[int(images.labels_N[place])], float(vectors_1D[0] @ vector_D), images.images_NCHW[place])
        for place, vector_D in zip(places, found_KD, strict=True)
    ]


def _embed(encoders: Deployed, query: str) -> NDArray[np.float32]:
    if kind_of(query) == TEXT:
        return encoders.of_texts([query])
    try:
        content = Path(query).read_bytes()
    except OSError as error:
        msg = f"the file {query} cannot be opened ({error.strerror}); name a file that is there"
        raise ModelError(msg) from error
    if kind_of(query) == SPEECH:
        return encoders.of_recordings([content])
    return encoders.of_images(picture_of(content)[None])


def note_on(query: str) -> str:
    """Return a note about the part of the query that was ignored, if any."""
    if kind_of(query) == SPEECH:
        return f"what counts is {SECONDS:g} seconds from where speech begins"
    if kind_of(query) == IMAGE or len(clean(query)) <= CONTEXT:
        return ""
    return f"only its first {CONTEXT - 2} characters count"


def _section(query: str, found: list[Found]) -> str:
    cards = "".join(
        f'<figure><img src="{png_address(each.image_CHW)}" alt=""><figcaption>{html.escape(each.name)}'
        f"<br><small>{each.similarity:.2f}</small></figcaption></figure>"
        for each in found
    )
    return f"<h2>{_show_query(query)}</h2><p>{note_on(query)}</p><div>{cards}</div>"


def _show_query(query: str) -> str:
    path, kind = Path(query), kind_of(query)
    if kind == TEXT:
        return html.escape(query)
    if kind == SPEECH:
        content = base64.b64encode(path.read_bytes()).decode()
        return f'<audio controls src="data:audio/{path.suffix[1:]};base64,{content}"></audio>{html.escape(path.name)}'
    return f'<img class="asked" src="{png_address(picture_of(path.read_bytes()))}" alt="">{html.escape(path.name)}'


def kind_of(query: str) -> str:
    """Tell whether a query is the path of a picture, the path of a recording, or a sentence."""
    ending = query.lower()
    return IMAGE if ending.endswith(PICTURES) else SPEECH if ending.endswith(RECORDINGS) else TEXT
