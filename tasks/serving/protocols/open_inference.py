"""The Open Inference Protocol, version 2 (github.com/kserve/open-inference-protocol), with Triton's raw tensors.

An input tensor has the name of a kind of input, such as `image`, `text` or `pixels`. A file is an element of BYTES: raw
in a binary body, base64 in JSON. Each field of an answer becomes an output tensor, in JSON.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from stillhouse.tasks.serving.bodies import FILES, Refusal, parse_json
from stillhouse.tasks.serving.protocols.asked import Asked, chosen_kind, inputs_of
from stillhouse.tasks.serving.served import Answer, Served

BYTES = "BYTES"
DATATYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
"""Name of a data type -> numpy's, in the byte order of raw tensors."""
BINARY_SIZE = "binary_data_size"
HEADER_LENGTH = "inference-header-content-length"
"""Header with the bytes of the JSON, if raw tensors stand behind it."""
LENGTH = 4
"""Bytes of the length before a raw element of BYTES."""


class OpenInference:
    """`POST /v2/models/NAME/infer`."""

    def read(self, headers: Mapping[str, str], content: bytes, taken: Collection[str]) -> Asked:
        """Read tensors. One has the name of a kind that the model takes."""
        end = _end_of_json(headers.get(HEADER_LENGTH), len(content))
        given = parse_json(content[:end])
        columns = dict(_tensors(given.get("inputs"), content[end:]))
        kind, known, outputs = chosen_kind(columns, taken), given.get("id"), given.get("outputs") or ()
        wanted = [str(each.get("name")) for each in outputs if isinstance(each, dict)]
        return Asked(kind, inputs_of(kind, columns), None if known is None else str(known), wanted)

    def write(self, served: Served, asked: Asked, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return one tensor for each field of the answers."""
        names = list(answers[0])
        if unknown := [name for name in asked.outputs if name not in names]:
            raise Refusal(400, f"there is no output {unknown[0]}; ask for {', '.join(names)}")
        tensors = [tensor_of(name, [answer[name] for answer in answers]) for name in asked.outputs or names]
        known = {} if asked.id is None else {"id": asked.id}
        return {"model_name": served.model, "model_version": served.version, **known, "outputs": tensors}


def _end_of_json(header_length: str | None, size: int) -> int:
    if header_length is None:
        return size
    if not header_length.isascii() or not header_length.isdigit() or int(header_length) > size:
        raise Refusal(400, f"Inference-Header-Content-Length is {header_length!r}; send the bytes of the JSON part")
    return int(header_length)


def _tensors(inputs: object, binary: bytes) -> Iterator[tuple[str, list[Any]]]:
    """Yield name and rows of each tensor. Raw tensors stand in the order of the inputs."""
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise Refusal(400, "the request has no list `inputs` of tensors; send name, shape, datatype and data of each")
    start, names = 0, set[str]()
    for tensor in inputs:
        name, shape, size = str(tensor.get("name")), _shape(tensor), _binary_size(tensor)
        if name in names:
            raise Refusal(400, f"the input {name} stands twice; send it once")
        names.add(name)
        _expect_datatype(name, str(tensor.get("datatype")), shape)
        if size is None:
            rows = _from_json(name, tensor, shape)
        else:
            rows = _from_binary(name, tensor, shape, binary[start : start + size])
            start += size
        yield name, rows
    if start != len(binary):
        raise Refusal(400, f"{len(binary):,} bytes stand behind the JSON, and the inputs name {start:,}; name them all")


def _shape(tensor: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise Refusal(400, f"the input {tensor.get('name')} has no shape; send a list of sizes, the batch first")
    return tuple(shape)


def _expect_datatype(name: str, datatype: str, shape: tuple[int, ...]) -> None:
    """Check that the datatype is known, and that a tensor of texts or files has one element of BYTES for each input."""
    if datatype not in {BYTES, *DATATYPES}:
        raise Refusal(
            400, f"the input {name} has the datatype {datatype}; send one of {', '.join((BYTES, *DATATYPES))}"
        )
    if name in FILES.values() and (datatype != BYTES or prod(shape[1:]) != 1):
        raise Refusal(400, f"the input {name} is {datatype} of shape {list(shape)}; send BYTES of shape [N]")


def _binary_size(tensor: Mapping[str, Any]) -> int | None:
    parameters = tensor.get("parameters")
    size = parameters.get(BINARY_SIZE) if isinstance(parameters, dict) else None
    if size is None or (type(size) is int and size >= 0):
        return size
    raise Refusal(400, f"{BINARY_SIZE} of the input {tensor.get('name')} is {size!r}; send a number of bytes")


def _from_json(name: str, tensor: Mapping[str, Any], shape: tuple[int, ...]) -> list[Any]:
    """Return the rows of data that are flat, or nested as the shape says."""
    data = tensor.get("data")
    flat = data if isinstance(data, list) else []
    for _ in shape[1:]:
        if flat and all(isinstance(each, list) for each in flat):
            flat = list(chain.from_iterable(flat))
    return _nested(name, flat, shape)


def _from_binary(name: str, tensor: Mapping[str, Any], shape: tuple[int, ...], raw: bytes) -> list[Any]:
    datatype = str(tensor.get("datatype"))
    if datatype == BYTES:
        flat: list[Any] = list(_elements(name, raw))
    elif len(raw) == (size := prod(shape) * DATATYPES[datatype].itemsize):
        flat = np.frombuffer(raw, DATATYPES[datatype]).tolist()
    else:
        raise Refusal(
            400, f"the input {name} has {len(raw):,} bytes, and {list(shape)} of {datatype} has {size:,}; send as many"
        )
    return _nested(name, flat, shape)


def _elements(name: str, raw: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(raw):
        end = place + LENGTH + int.from_bytes(raw[place : place + LENGTH], "little")
        if end > len(raw):
            raise Refusal(400, f"the input {name} ends within an element; send its length in {LENGTH} bytes, then it")
        yield raw[place + LENGTH : end]
        place = end


def _nested(name: str, flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return the values as nested lists. Of a column (N, 1), as some clients send it, the rows are the values."""
    if len(flat) != prod(shape):
        raise Refusal(
            400, f"the input {name} has {len(flat):,} values for its shape {list(shape)}; send as many as fit"
        )
    for size in () if shape[1:] == (1,) else shape[:0:-1]:
        flat = [flat[start : start + size] for start in range(0, len(flat), size)] if size else []
    return flat


def tensor_of(name: str, values: list[Any]) -> dict[str, Any]:
    """Return a field of all answers as a tensor: BYTES of texts, INT64 of whole numbers, else FP64 with every digit."""
    lists = all(isinstance(value, list) for value in values)
    if lists and len({len(value) for value in values}) == 1:
        return _described(name, [len(values), len(values[0])], [each for value in values for each in value])
    if any(isinstance(value, (list, dict)) for value in values):
        values = [json.dumps(value) for value in values]
    return _described(name, [len(values)], values)


def _described(name: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    types = {type(value) for value in data}
    datatype = BYTES if str in types else "INT64" if types <= {int} else "FP64"
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}
