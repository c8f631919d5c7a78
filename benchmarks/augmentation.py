"""Images a second of augmentation: whole batches in memory, as our feeds do it, against a DataLoader's workers.

Run on an otherwise idle machine: `.venv/bin/python benchmarks/augmentation.py`; expect at least 3x. Both mirror, shift
by up to one pixel and erase a square, on as many random images as the recipe trains on: the feed a batch at a time in
this process, the DataLoader image by image in two workers that live as long as the loader. They take turns, because a
shared machine changes pace.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stillhouse.models.augmentation.augment import erase, flip, shift

IMAGES, BATCH, WORKERS, SHAPE = 52_000, 250, 2, (1, 28, 28)
LEAST = 3.0
Epoch = Callable[[], Iterator[Tensor]]


def augmented(images_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images, shift all, erase half."""
    mirrored_N = torch.rand(len(images_NCHW), generator=generator) < 0.5  # noqa: PLR2004 - a fair coin
    return erase(shift(flip(images_NCHW, mirrored_N), generator), generator)


def in_memory(images_NCHW: Tensor) -> Epoch:
    """Augment a shuffled batch at a time."""
    generator = torch.Generator().manual_seed(0)

    def epoch() -> Iterator[Tensor]:
        for index_B in torch.randperm(len(images_NCHW), generator=generator).split(BATCH):
            yield augmented(images_NCHW[index_B], generator).float()

    return epoch


class OneByOne(Dataset[Tensor]):
    """Each image augmented when it is asked for, in the usual way: slices, and no work where a coin says no."""

    def __init__(self, images_NCHW: Tensor) -> None:
        """Keep the images."""
        self.images_NCHW = images_NCHW

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images_NCHW)

    def __getitem__(self, index: int) -> Tensor:
        """Augment one image (C, H, W)."""
        image_CHW = self.images_NCHW[index]
        coins, places = torch.rand(2).tolist(), torch.randint(0, 3, (2,)).tolist()
        if coins[0] < 0.5:  # noqa: PLR2004 - a fair coin
            image_CHW = image_CHW.flip(2)
        top, left = places
        _, height, width = image_CHW.shape
        padded = torch.nn.functional.pad(image_CHW, (1, 1, 1, 1))
        image_CHW = padded[:, top : top + height, left : left + width].clone()
        if coins[1] < 0.5:  # noqa: PLR2004 - a fair coin
            size = round(0.3 * height)
            row, column = torch.randint(0, height - size + 1, (2,)).tolist()
            image_CHW[:, row : row + size, column : column + size] = 0
        return image_CHW.float()


def with_workers(images_NCHW: Tensor) -> Epoch:
    """Augment image by image in worker processes, which are started once."""
    loader = DataLoader(OneByOne(images_NCHW), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    return lambda: iter(loader)


def speed(epoch: Epoch) -> float:
    """Run through one epoch; images a second."""
    start = time.perf_counter()
    count = sum(len(batch) for batch in epoch())
    return count / (time.perf_counter() - start)


def main() -> None:
    """Read the arguments, let both take turns, print medians, range and ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    images_NCHW = torch.randint(0, 256, (IMAGES, *SHAPE), dtype=torch.uint8)
    variants = {
        "batches in memory": in_memory(images_NCHW),
        f"DataLoader, {WORKERS} workers": with_workers(images_NCHW),
    }
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    for epoch in variants.values():
        speed(epoch)
    for _ in range(arguments.rounds):
        for name, epoch in variants.items():
            speeds[name].append(speed(epoch))
    for name, found in speeds.items():
        print(f"{name:24} {statistics.median(found):8.0f} images/s ({min(found):.0f} to {max(found):.0f})")
    ours, theirs = speeds.values()
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
    print(f"in memory is {statistics.median(ratios):.1f}x as fast ({spread}), wanted {LEAST}x")


if __name__ == "__main__":
    main()
