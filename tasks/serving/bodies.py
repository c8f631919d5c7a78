"""Parse a request's body into inputs and their kind, and check its limits."""

import json
from collections.abc import Collection, Sequence
from typing import Any

FIELDS = {"texts": "text"}
"""Field of a JSON body -> kind of its inputs. The name of any other field is the kind itself."""
FILES = {"image": "image", "audio": "speech", "text": "text"}
"""First part of a body's media type -> kind of its input."""
JSON = "application/json"
UTF_8 = {"", "utf-8", "utf8", "us-ascii"}
LARGEST = 8 * 1024 * 1024
"""Maximum bytes of a request's body."""
LIGHT_BYTES, LIGHT_PIXELS = 16 * 1024, 1 << 18
"""Maximum size of a body that is read and answered within milliseconds."""
MOST_PARTS = 200_000
"""Maximum lists, objects and keys of a JSON body. The parser blocks all other work, and more of them take long."""
PNG_START = b"\x89PNG\r\n\x1a\n"


class Refusal(Exception):  # noqa: N818 - an answer
    """A refused request: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep the status and the sentence."""
        super().__init__(sentence)
        self.status = status


def kind_of(media_type: str, encoding: str = "") -> str:
    """Return the kind of a body from its headers: `JSON` or a value of `FILES`.

    Args:
        media_type: the header content-type, in any case and with any parameters.
        encoding: the header content-encoding.

    Raises:
        Refusal: the server does not read such a body.
    """
    if encoding.strip().lower() not in {"", "identity"}:
        raise Refusal(415, f"a body in the encoding {encoding} is not read; send it as it is")
    name, *parameters = (part.strip().lower() for part in media_type.split(";"))
    kind = JSON if name == JSON else FILES.get(name.partition("/")[0])
    if kind is None:
        known = "application/json, image/..., audio/... or text/plain"
        raise Refusal(415, f"a body of type {media_type or 'unknown'} is not read; send {known}")
    charset = next((each.partition("=")[2] for each in parameters if each.startswith("charset=")), "")
    if kind in {JSON, "text"} and charset.strip('"') not in UTF_8:
        raise Refusal(415, f"a text in {charset} is not read; send it in UTF-8")
    return kind


def read(kind: str, content: bytes, taken: Collection[str]) -> tuple[str, Sequence[Any]]:
    """Return the kind of a body's inputs, and the inputs.

    Args:
        kind: the kind from the body's headers.
        content: the content of the body.
        taken: kinds of input that the model takes.

    Raises:
        Refusal: the body does not fit its headers.
    """
    if kind == JSON:
        return _json(content, taken)
    return kind, [_decode(content) if kind == "text" else content]


def _json(content: bytes, taken: Collection[str]) -> tuple[str, Sequence[Any]]:
    given = parse_json(content)
    known = {"pixels", *FIELDS, *taken} - {*FIELDS.values(), *FILES.values()}
    fields = [field for field in known if isinstance(given.get(field), list)]
    if len(fields) != 1 or len(given) != 1:
        raise Refusal(400, f"the body is no object of one list; send one of {', '.join(sorted(known))}")
    return FIELDS.get(fields[0], fields[0]), given[fields[0]]


def parse_json(content: bytes) -> dict[str, Any]:
    """Parse a JSON body strictly. A body that is no object gives an empty one.

    Raises:
        Refusal: it is no JSON, a key stands twice, or it has too many parts.
    """
    if sum(map(content.count, (b"[", b"{", b":"))) > MOST_PARTS:
        raise Refusal(413, f"the body has more than {MOST_PARTS:,} lists, objects and keys; send less at once")
    try:
        given = json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is no JSON ({error}); send an object") from error
    return given if isinstance(given, dict) else {}


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no number"
    raise ValueError(msg)


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) != len(pairs):
        msg = "a key stands twice in an object"
        raise ValueError(msg)
    return given


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the sentence is no UTF-8 ({error.reason}); send text in UTF-8") from error
