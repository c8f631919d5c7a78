"""Lines of a made-up script whose letters are bars at different heights, and a recogniser that reads them."""

import csv
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from stillhouse.models.onnx.recogniser import write_characters
from stillhouse.models.runtime.bundle import write_bundle

LETTERS = "abcdef "
HEIGHT, CELL = 48, 8
BAR = 6
"""Height of a letter's bar."""
DARK, LIGHT = 40, 220
HEAVY = 2_000
"""Channels of a heavy recogniser, which has 9 MB."""


def line_picture(text: str, seed: int) -> Image.Image:
    """Draw a line: an empty cell after each letter, noise everywhere."""
    generator = np.random.default_rng(seed)
    pixels_HW = np.full((HEIGHT, CELL * 2 * len(text)), LIGHT, np.float64)
    for place, letter in enumerate(text):
        top, left = BAR * LETTERS.index(letter), CELL * 2 * place
        pixels_HW[top : top + BAR, left : left + CELL] = DARK
    noisy_HW = (pixels_HW + generator.normal(0, 4, pixels_HW.shape)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([noisy_HW] * 3, 2))


def text_of(seed: int, letters: str = LETTERS) -> str:
    """Make a text of two to seven letters that neither begins nor ends with a space."""
    generator = np.random.default_rng(seed)
    inner = "".join(generator.choice(list(letters), int(generator.integers(0, 6))))
    first, last = generator.choice(list(letters.strip()), 2)
    return " ".join(f"{first}{inner}{last}".split())


def write_lines(folder: Path, count: int, letters: str = LETTERS) -> Path:
    """Write pictures of lines, a text file beside each, and a table of their texts next to the folder.

    Returns the table.
    """
    folder.mkdir(parents=True)
    table = folder.with_suffix(".csv")
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "text"))
        for seed in range(count):
            text = text_of(seed, letters)
            line_picture(text, seed).save(folder / f"{seed:04d}.png")
            (folder / f"{seed:04d}.txt").write_text(f"{text}\n")
            writer.writerow((f"{folder.name}/{seed:04d}.png", text))
    return table


def write_recogniser(
    path: Path, characters: str | None = LETTERS.strip(), *, dead: bool = False, heavy: bool = False
) -> Path:
    """Write a recogniser of any width. As in those of RapidOCR, the space is not among the characters it names.

    It takes pixels from -1 to 1, and compares each cell with the bars of all letters. A dead one has weights of 0. A
    heavy one adds many numbers that change nothing.
    """
    width = HEAVY if heavy else 1
    weights_VCHW = np.zeros((len(LETTERS) + 1, 3, HEIGHT, CELL), np.float32)
    for number in range(len(LETTERS)):
        weights_VCHW[number + 1, :, BAR * number : BAR * (number + 1)] = 0 if dead else -20 / (3 * BAR * CELL)
    nodes = [
        helper.make_node("Conv", ["x", "weights", "bias"], ["seen"], strides=[CELL, CELL]),
        helper.make_node("Conv", ["x", "wide"], ["many"], strides=[CELL, CELL]),
        helper.make_node("Conv", ["many", "narrow"], ["nothing"]),
        helper.make_node("Add", ["seen", "nothing"], ["scores"]),
        helper.make_node("Squeeze", ["scores", "axes"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["frames"], ["y"], axis=2),
    ]
    stored = [
        numpy_helper.from_array(weights_VCHW, "weights"),
        numpy_helper.from_array(np.full((width, 3, HEIGHT, CELL), 1e-3, np.float32), "wide"),
        numpy_helper.from_array(np.zeros((len(LETTERS) + 1, width, 1, 1), np.float32), "narrow"),
        numpy_helper.from_array(np.array([3] + [0] * len(LETTERS), np.float32), "bias"),
        numpy_helper.from_array(np.array([2], np.int64), "axes"),
    ]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, HEIGHT, "width"])]
    ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "frames", len(LETTERS) + 1]))
    graph = helper.make_graph(nodes, "bars", ends[:1], ends[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    if characters is not None:
        write_characters(path, list(characters), path)
    return path


def ship_recogniser(folder: Path, width: int) -> Path:
    """Ship the recogniser in an empty folder, for raw pixels of lines of one width. Returns the folder."""
    model = onnx.load(write_recogniser(folder / "model.onnx"))
    pixels = helper.make_tensor_value_info("images_NCHW", TensorProto.UINT8, ["batch", 3, HEIGHT, width])
    for place, node in enumerate(
        (
            helper.make_node("Cast", ["images_NCHW"], ["levels"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["levels", "scale"], ["scaled"]),
            helper.make_node("Sub", ["scaled", "offset"], ["x"]),
        )
    ):
        model.graph.node.insert(place, node)
    for name, value in (("scale", 127.5), ("offset", 1.0)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    model.graph.input[0].CopyFrom(pixels)
    onnx.save(model, folder / "model.onnx")
    write_bundle(folder, "text_recognition", {"model": [folder / "model.onnx"]}, letters=list(LETTERS))
    return folder
