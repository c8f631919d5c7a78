"""The pictures of a generator and of its student, side by side, as one PNG file.

`python benchmarks/picture_grid.py FOLDER DATA OUT.png` takes the folder of a stage `export` and a materialised dataset.
Both make the same prompts of the split `gate` from the same seeds.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stillhouse.models.data.description import describe
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.text_to_image.judging.png import grid_of
from stillhouse.models.workloads.text_to_image.prompts import load_prompts
from stillhouse.models.workloads.text_to_image.runtime import Generator

SEEDS = 3
LARGER, LINE, MARGIN = 3, 22, 8
MODELS = ("teacher", "student")


def main() -> None:
    """Make, join, write."""
    folder, data, out = map(Path, sys.argv[1:4])
    prompts = load_prompts(data, "gate")
    texts = [prompts.texts[int(np.flatnonzero(prompts.labels_N == label)[0])] for label in _labels(data)]
    blocks = [(_told(folder / name), _pictures(folder / name, texts)) for name in MODELS]
    _sheet(texts, blocks).save(out, "PNG", optimize=True)


def _labels(data: Path) -> range:
    return range(len(describe(data)["labels"]))


def _told(folder: Path) -> str:
    bundle = open_bundle(folder)
    sampler = bundle.about["sampler"]
    size = sum(bundle.file(name).stat().st_size for name in bundle.components)
    guided = "" if sampler["guidance"] == 1 else f", guidance {sampler['guidance']}"
    return f"{folder.name}: {size:,} bytes, {sampler['steps']} steps of {sampler['solver'].capitalize()}{guided}"


def _pictures(folder: Path, texts: list[str]) -> Image.Image:
    model = Generator(open_bundle(folder))
    vectors = np.concatenate([model.read(texts)] * SEEDS)
    made = model.make(vectors, [seed for seed in range(SEEDS) for _ in texts])
    grid = Image.fromarray(grid_of(made, len(texts))[0])
    return grid.resize((grid.width * LARGER, grid.height * LARGER), Image.Resampling.NEAREST)


def _sheet(texts: list[str], blocks: list[tuple[str, Image.Image]]) -> Image.Image:
    width = blocks[0][1].width + 2 * MARGIN
    height = sum(grid.height + LINE + MARGIN for _, grid in blocks) + MARGIN
    sheet, top = Image.new("L", (width, height), 255), MARGIN
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for told, grid in blocks:
        draw.text((MARGIN, top), told, fill=0, font=font)
        sheet.paste(grid, (MARGIN, top + LINE))
        top += LINE + grid.height + MARGIN
    print("; ".join(texts))
    return sheet


if __name__ == "__main__":
    main()
