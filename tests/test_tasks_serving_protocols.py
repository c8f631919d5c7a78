"""Standard protocols: tensors of the Open Inference Protocol, tables of MLflow, and metrics of Prometheus."""

import base64
import csv
import json
import struct
from typing import Any

import numpy as np
import pytest

from stillhouse.tasks.serving.bodies import Refusal
from stillhouse.tasks.serving.protocols.asked import Asked
from stillhouse.tasks.serving.protocols.mlflow_table import MlflowTable
from stillhouse.tasks.serving.protocols.open_inference import OpenInference
from stillhouse.tasks.serving.served import Served

JSON = {"content-type": "application/json"}
TAKEN = ("text", "image", "pixels")
SERVED = Served("tiny", "3", "0" * 64, 20, {})


def tensor(name: str, data: list[Any], shape: list[int], datatype: str = "BYTES") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def asked(given: Any, raw: bytes = b"") -> Asked:
    """Read a request, with raw tensors behind it or without."""
    content = json.dumps(given).encode()
    headers = {"inference-header-content-length": str(len(content))} if raw else {}
    return OpenInference().read(headers, content + raw, TAKEN)


@pytest.mark.parametrize(
    ("given", "kind", "inputs"),
    [
        (tensor("text", ["a", "b"], [2]), "text", ["a", "b"]),
        (tensor("text", ["a", "b"], [2, 1]), "text", ["a", "b"]),
        (tensor("text", [["a"], ["b"]], [2, 1]), "text", ["a", "b"]),
        (tensor("image", [base64.b64encode(b"\x89P").decode()], [1]), "image", [b"\x89P"]),
        (tensor("pixels", [1, 2, 3, 4], [1, 1, 2, 2], "UINT8"), "pixels", [[[[1, 2], [3, 4]]]]),
        (tensor("pixels", [[[[1, 2], [3, 4]]]], [1, 1, 2, 2], "UINT8"), "pixels", [[[[1, 2], [3, 4]]]]),
    ],
)
def test_a_tensor_becomes_inputs(given: dict[str, Any], kind: str, inputs: list[Any]) -> None:
    """Data is flat, or nested as the shape says; files are base64."""
    found = asked({"inputs": [given]})
    assert (found.kind, found.inputs) == (kind, inputs)


def test_raw_tensors_stand_behind_the_json() -> None:
    """Elements of BYTES have their length before them; numbers are little-endian; the order is that of the inputs."""
    files = b"".join(struct.pack("<I", len(each)) + each for each in (b"\x89PNG", b""))
    seeds = np.array([7, 8], "<i8").tobytes()
    inputs = [
        {"name": "image", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(files)}},
        {"name": "seed", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": len(seeds)}},
    ]
    found = asked({"inputs": inputs}, files + seeds)
    assert found.inputs == [{"image": b"\x89PNG", "seed": 7}, {"image": b"", "seed": 8}]


WRONG: dict[str, tuple[Any, bytes, str]] = {
    "no inputs": ({}, b"", "no list `inputs`"),
    "no objects": ({"inputs": [1]}, b"", "no list `inputs`"),
    "no shape": ({"inputs": [{"name": "text", "data": ["a"]}]}, b"", "the input text has no shape"),
    "negative size": ({"inputs": [tensor("text", [], [-1])]}, b"", "the input text has no shape"),
    "too few values": ({"inputs": [tensor("text", ["a"], [2])]}, b"", "has 1 values for its shape [2]"),
    "no data": (
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}, b"", "has 0 values for its shape [1]"
    ),
    "two kinds": ({"inputs": [tensor("text", ["a"], [1]), tensor("image", ["YQ=="], [1])]}, b"", "has 2 inputs"),
    "unknown kind": ({"inputs": [tensor("speech", ["a"], [1])]}, b"", "has 0 inputs that the model takes"),
    "twice": ({"inputs": [tensor("text", ["a"], [1])] * 2}, b"", "the input text stands twice"),
    "no base64": ({"inputs": [tensor("image", ["%"], [1])]}, b"", "a file in base64"),
    "no text": ({"inputs": [tensor("image", [5], [1])]}, b"", "a file in base64"),
    "other length": (
        {"inputs": [tensor("text", ["a", "b"], [2]), tensor("seed", [1], [1])]}, b"", "seed has 1 rows and text has 2"
    ),
    "cut off": (
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}]},
        struct.pack("<I", 9) + b"ab", "ends within an element",
    ),
    "left over": ({"inputs": [tensor("text", ["a"], [1])]}, b"x", "1 bytes stand behind the JSON"),
    "wrong size": (
        {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [4], "parameters": {"binary_data_size": 3}}]},
        b"abc", "has 3 bytes, and [4] of UINT8 has 4",
    ),
    "unknown type": (
        {"inputs": [{"name": "pixels", "datatype": "BF16", "shape": [1], "parameters": {"binary_data_size": 2}}]},
        b"ab", "send one of BYTES, BOOL",
    ),
    "no datatype": (
        {"inputs": [{"name": "text", "shape": [1], "data": ["a"]}]}, b"", "has the datatype None; send one of BYTES"
    ),
    "unknown type in JSON": ({"inputs": [tensor("pixels", [1], [1], "uint8")]}, b"", "the datatype uint8; send one"),
    "a datatype that is a list": ({"inputs": [tensor("text", ["a"], [1], [])]}, b"", "the datatype []; send one of"),
    "text as numbers": ({"inputs": [tensor("text", [5], [1], "INT64")]}, b"", "the input text is INT64 of shape [1]"),
    "a file as pixels": (
        {"inputs": [tensor("image", [1, 2], [1, 2], "UINT8")]}, b"", "is UINT8 of shape [1, 2]; send BYTES of shape [N]"
    ),
    "two texts in a row": ({"inputs": [tensor("text", ["a", "b"], [1, 2])]}, b"", "is BYTES of shape [1, 2]"),
    "raw numbers as text": (
        {"inputs": [{"name": "text", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}]},
        b"abcd", "the input text is FP32 of shape [1]; send BYTES",
    ),
    "no UTF-8": (
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}]},
        struct.pack("<I", 1) + b"\xff", "text in UTF-8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_request_gets_a_sentence(case: str) -> None:
    """The sentence names the tensor and what to send."""
    given, raw, sentence = WRONG[case]
    with pytest.raises(Refusal) as told:
        asked(given, raw)
    assert (told.value.status, sentence in str(told.value)) == (400, True), str(told.value)


@pytest.mark.parametrize("length", ["-1", "x", "999", "²"])
def test_the_length_of_the_json_must_fit(length: str) -> None:
    """A header that is no length of a part of the body is refused."""
    with pytest.raises(Refusal, match="send the bytes of the JSON part"):
        OpenInference().read({"inference-header-content-length": length}, b"{}", TAKEN)


@pytest.mark.parametrize(
    ("answers", "outputs"),
    [
        (
            [{"class": 1, "label": "cat"}, {"class": 0, "label": "dog"}],
            [tensor("class", [1, 0], [2], "INT64"), tensor("label", ["cat", "dog"], [2])],
        ),
        (
            [{"vector": [0.25, -1.0]}, {"vector": [0.5, 0.125]}],
            [tensor("vector", [0.25, -1, 0.5, 0.125], [2, 2], "FP64")],
        ),
        ([{"boxes": [1]}, {"boxes": [1, 2]}], [tensor("boxes", ["[1]", "[1, 2]"], [2])]),
    ],
)
def test_each_field_of_the_answers_is_a_tensor(answers: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
    """Texts are BYTES, whole numbers INT64, other numbers FP64; lists of different lengths are JSON."""
    written = OpenInference().write(SERVED, Asked("text", [], id="7"), answers)
    assert written == {"model_name": "tiny", "model_version": "3", "id": "7", "outputs": outputs}


def test_only_the_wanted_outputs_are_sent() -> None:
    """An output that does not exist is refused with the names of those that do."""
    answers = [{"class": 1, "label": "cat"}]
    written = OpenInference().write(SERVED, Asked("text", [], outputs=("label",)), answers)
    assert [each["name"] for each in written["outputs"]] == ["label"]
    with pytest.raises(Refusal, match="there is no output logits; ask for class, label"):
        OpenInference().write(SERVED, Asked("text", [], outputs=("logits",)), answers)


@pytest.mark.parametrize(
    "table",
    [
        {"dataframe_split": {"columns": ["text"], "data": [["a"], ["b"]]}},
        {"dataframe_split": {"index": [0, 1], "columns": ["text"], "data": [["a"], ["b"]]}},
        {"dataframe_records": [{"text": "a"}, {"text": "b"}]},
        {"instances": [{"text": "a"}, {"text": "b"}]},
        {"inputs": {"text": ["a", "b"]}},
        {"inputs": {"text": ["a", "b"]}, "params": {}},
    ],
)
def test_a_table_of_mlflow_becomes_inputs(table: dict[str, Any]) -> None:
    """All four forms of MLflow are read."""
    found = MlflowTable().read(JSON, json.dumps(table).encode(), TAKEN)
    assert (found.kind, found.inputs) == ("text", ["a", "b"])


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({}, "send one of dataframe_split, dataframe_records, inputs, instances"),
        ({"inputs": {"text": ["a"]}, "instances": []}, "the body is no table"),
        ({"inputs": {"text": ["a"]}, "seed": 1}, "the body is no table"),
        ({"dataframe_split": {"data": []}}, "dataframe_split is no table (KeyError"),
        ({"dataframe_split": {"columns": ["text", "seed"], "data": [["a"]]}}, "dataframe_split is no table"),
        ({"dataframe_records": [{"text": "a"}, {}]}, "dataframe_records is no table (KeyError"),
        ({"instances": ["a"]}, "instances is no table"),
        ({"columns": ["text"], "data": [["a"]]}, "the body is no table; send one of dataframe_split"),
        ([{"text": "a"}], "the body is no table; send one of dataframe_split"),
        ({"inputs": {"sound": ["a"]}}, "the request has 0 inputs that the model takes"),
    ],
)
def test_what_is_no_table_gets_a_sentence(table: dict[str, Any], sentence: str) -> None:
    """The sentence names the form. MLflow before its version 2 sent `columns` and `data`, or a list."""
    with pytest.raises(Refusal) as told:
        MlflowTable().read(JSON, json.dumps(table).encode(), TAKEN)
    assert (told.value.status, sentence in str(told.value)) == (400, True), str(told.value)


@pytest.mark.parametrize("media_type", ["text/plain", "application/vnd.apache.parquet", ""])
def test_a_table_is_json_or_csv(media_type: str) -> None:
    """Other media types are refused."""
    with pytest.raises(Refusal, match="reads application/json and text/csv only") as told:
        MlflowTable().read({"content-type": media_type}, b"a", TAKEN)
    assert told.value.status == 415


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        ("text\na duck\nein Wal\n", ["a duck", "ein Wal"]),
        (",text\n0,a\n1,b\n", ["a", "b"]),
        ("id,text,label\n7,a,x\n", ["a"]),
        ('text\n"a, b"\n"c ""d"""\ne "f"\n', ["a, b", 'c "d"', 'e "f"']),
        ('text\n"a\r\nb"\n', ["a\r\nb"]),
        ("\ufefftext\r\n\r\na\r\n", ["a"]),
        ("text\ra\rb", ["a", "b"]),
        ("text\n007\nNA\n1e3\n", ["007", "NA", "1e3"]),
        ("text,text\na,b\n", ["a"]),
        ("text\na\u2028b\x0cc\n", ["a\u2028b\x0cc"]),
        ("text\n", []),
    ],
)
def test_a_csv_becomes_inputs(body: str, inputs: list[str]) -> None:
    """Each value is the text that stands there, and columns that are no inputs are left out."""
    for media_type in ("text/csv", "Text/CSV; charset=utf-8"):
        found = MlflowTable().read({"content-type": media_type}, body.encode(), TAKEN)
        assert (found.kind, found.inputs) == ("text", inputs)


def test_a_long_value_of_a_csv_is_read() -> None:
    """The limit of the csv module is one of the whole process: a small one that another library set does not matter."""
    before = csv.field_size_limit(10)
    try:
        found = MlflowTable().read({"content-type": "text/csv"}, b"text\n" + b"a" * 1_000_000, TAKEN)
    finally:
        csv.field_size_limit(before)
    assert found.inputs == ["a" * 1_000_000]


def test_a_file_in_a_csv_is_base64() -> None:
    """It is read as in a table of JSON."""
    found = MlflowTable().read({"content-type": "text/csv"}, b"image\niVA=\n", TAKEN)
    assert found.inputs == [b"\x89P"]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "the first line of the CSV is ''; name a column of inputs there: text or image"),
        (b"\n\r\n", 400, "the first line of the CSV is ''"),
        (b"a duck\nein Wal\n", 400, "the first line of the CSV is 'a duck'; name a column of inputs there"),
        (b"sound\na\n", 400, "the first line of the CSV is 'sound'"),
        (b"a" * 100_000, 400, f"is '{'a' * 80}'; name a column"),
        (b"text\na duck, and a whale\n", 400, "row 1 of the CSV has 2 values, and the first line has 1; put a text"),
        (b"id,text\n1,a\n2\n", 400, "row 2 of the CSV has 1 values, and the first line has 2"),
        (b'text\n"a\n', 400, "the body is no CSV in UTF-8 (unexpected end of data)"),
        (b'text\n"a"b\n', 400, "the body is no CSV in UTF-8 (',' expected after"),
        (b"text\ncaf\xe9\n", 400, "the body is no CSV in UTF-8 ('utf-8' codec can't decode byte 0xe9"),
        (b"text,image\na,YQ==\n", 400, "the request has 2 inputs that the model takes"),
        (b"image\n%\n", 400, "an element of image cannot be read"),
        (b"," * 200_001, 413, "the CSV has more than 200,000 commas; send less at once"),
    ],
)
def test_what_is_no_csv_gets_a_sentence(body: bytes, status: int, sentence: str) -> None:
    """The sentence names the line and what to send."""
    with pytest.raises(Refusal) as told:
        MlflowTable().read({"content-type": "text/csv"}, body, TAKEN)
    assert (told.value.status, sentence in str(told.value)) == (status, True), str(told.value)


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"content-type": "text/csv; charset=latin-1"}, "a text in latin-1 is not read; send it in UTF-8"),
        ({"content-type": "text/csv", "content-encoding": "gzip"}, "the encoding gzip is not read; send it as it is"),
    ],
)
def test_a_packed_csv_or_one_of_another_charset_is_refused(headers: dict[str, str], sentence: str) -> None:
    """The status is 415."""
    with pytest.raises(Refusal, match=sentence) as told:
        MlflowTable().read(headers, b"text\na\n", TAKEN)
    assert told.value.status == 415


def test_no_more_rows_of_a_csv_are_read_than_a_request_may_have() -> None:
    """A body of many rows costs no memory for each of them."""
    found = MlflowTable().read({"content-type": "text/csv"}, b"text\n" + b"a\n" * 1_000_000, TAKEN)
    assert len(found.inputs) == 257
