"""Ship a torch program: compiled ahead of time into one package, for one image at a time."""

from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.peers.request import Made, Request
from stillhouse.models.training.checkpoint import load_model


def teacher(request: Request) -> nn.Module:
    """Load the teacher's checkpoint."""
    return load_model(Path(request.checkpoint))[0]


def example(request: Request) -> tuple[Tensor]:
    """Give one raw image (1, C, H, W)."""
    return (torch.from_numpy(request.images()[:1]),)


def calibrate(module: nn.Module, request: Request) -> None:
    """Show all calibration images, one at a time as the program was captured."""
    with torch.no_grad():
        for image_CHW in torch.from_numpy(request.images()):
            module(image_CHW[None])


def package(module: nn.Module, request: Request, folder: Path, **options: str) -> Made:
    """Compile a module to machine code for one thread, since Inductor writes their number into it."""
    torch.set_num_threads(1)
    with torch.no_grad():
        program = torch.export.export(module, example(request))
        path = torch._inductor.aoti_compile_and_package(  # noqa: SLF001 - torch documents it under this name
            program, package_path=str(folder / "model.pt2"), inductor_configs={"freezing": True}
        )
    return Made("torch", (path,), options)
