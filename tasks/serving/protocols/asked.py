"""What a request asks, whatever its protocol: inputs of one kind."""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from stillhouse.tasks.serving.bodies import FILES, LIGHT_BYTES, LIGHT_PIXELS, PNG_START, Refusal
from stillhouse.tasks.serving.served import Answer, Served

ENCODED = {*FILES.values()} - {"text"}
"""Kinds of input that are files. In JSON they are base64."""


class Asked(NamedTuple):
    """The inputs of a request, and what its protocol needs for the answer."""

    kind: str
    inputs: Sequence[Any]
    id: str | None = None
    outputs: Sequence[str] = ()
    """Names of the wanted outputs. Empty: all."""


class Speaks(Protocol):
    """A protocol."""

    def read(self, headers: Mapping[str, str], content: bytes, taken: Collection[str]) -> Asked:
        """Read a body.

        Args:
            headers: of the request.
            content: the body.
            taken: kinds of input that the model takes.

        Raises:
            Refusal: the body is no request of this protocol.
        """

    def write(self, served: Served, asked: Asked, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the answers as a body.

        Raises:
            Refusal: the request wants what the answers do not have.
        """


def is_light(kind: str, inputs: Sequence[Any]) -> bool:
    """Tell whether the inputs are answered so fast that other requests may wait for it."""
    if kind == "speech":
        return False
    return kind != "image" or all(isinstance(each, bytes) and _is_small_png(each) for each in inputs)


def _is_small_png(content: bytes) -> bool:
    size = int.from_bytes(content[16:20]) * int.from_bytes(content[20:24])
    within = len(content) <= LIGHT_BYTES and size <= LIGHT_PIXELS
    return within and content.startswith(PNG_START) and content.count(b"IHDR") == 1


def inputs_of(kind: str, columns: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Return the inputs in the column of a kind. Other columns are fields of the same inputs, such as `seed`.

    Raises:
        Refusal: a file is not base64, a text is not UTF-8, or a column has another length.
    """
    inputs = [_element(kind, value) for value in columns[kind]]
    fields = {name: values for name, values in columns.items() if name != kind}
    if odd := next((name for name, values in fields.items() if len(values) != len(inputs)), None):
        raise Refusal(400, f"{odd} has {len(fields[odd])} rows and {kind} has {len(inputs)}; send as many of each")
    if not fields:
        return inputs
    rows = zip(*fields.values(), strict=True)
    return [{kind: value, **dict(zip(fields, own, strict=True))} for value, own in zip(inputs, rows, strict=True)]


def _element(kind: str, value: Any) -> Any:  # noqa: ANN401 - an element of any type
    if isinstance(value, bytes) and kind in ENCODED:
        return value
    try:
        if isinstance(value, bytes):
            return value.decode()
        return base64.b64decode(value, validate=True) if kind in ENCODED else value
    except (UnicodeDecodeError, binascii.Error, TypeError, ValueError) as error:
        said = "a file in base64, or raw in a binary body" if kind in ENCODED else "text in UTF-8"
        raise Refusal(400, f"an element of {kind} cannot be read ({error}); send {said}") from error


def chosen_kind(columns: Collection[str], taken: Collection[str]) -> str:
    """Return the one column that is a kind of input which the model takes.

    Raises:
        Refusal: there is none, or there are several.
    """
    kinds = [name for name in columns if name in taken]
    if len(kinds) != 1:
        raise Refusal(400, f"the request has {len(kinds)} inputs that the model takes; send one of {', '.join(taken)}")
    return kinds[0]
