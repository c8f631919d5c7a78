"""What every peer is given and what it hands back: two JSON files, so that each tool runs in a process of its own.

A peer is a module with variants; a variant turns the same teacher into one deployable. A variant that fails stays in
the table with its error.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUT = "images_NCHW"
MADE = "made.json"


@dataclass(frozen=True)
class Request:
    """The teacher, the data and the training that our recipe spends on its student."""

    checkpoint: str
    """Folder with the teacher's numbers and architecture."""
    onnx: str
    """The teacher as an fp32 ONNX file that takes uint8 `images_NCHW`."""
    calibration: str
    """Raw images (N, C, H, W) as an .npy file, for tools that look at data without training."""
    data: str
    """Materialised dataset, for tools that train."""
    training: dict[str, Any]
    """Epochs, batch size and the like, equal to all of our student's lessons together."""
    macs_shares: tuple[float, ...]
    """Multiply-accumulates to leave, as shares of the teacher's; the first is our smallest student's."""
    seed: int

    def images(self) -> NDArray[np.uint8]:
        """Read the calibration images (N, C, H, W)."""
        found: NDArray[np.uint8] = np.load(self.calibration)
        return found


def read_request(path: Path) -> Request:
    """Read a request."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Request(**{**fields, "macs_shares": tuple(fields["macs_shares"])})


@dataclass(frozen=True)
class Made:
    """One deployable."""

    runtime: str
    """A name of `runners.RUNNERS`."""
    files: tuple[str, ...]
    """All that a deployment needs, as paths; the runner opens the first."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the tool was told, and what it says it did."""
    trained: bool = False
    """Whether it took training, not only a look at data."""


Variant = Callable[[Request, Path], Made]
"""Makes one deployable in an empty folder."""


def answer(tool: str, packages: tuple[str, ...], variants: Callable[[Request], Mapping[str, Variant]]) -> None:
    """Run a peer's variants as the command line asks (REQUEST.json FOLDER) and write made.json.

    Args:
        tool: the peer's name in the table.
        packages: distributions whose versions matter.
        variants: what is made -> how, for this request.
    """
    request, out = read_request(Path(sys.argv[1])), Path(sys.argv[2])
    rows = [_row(tool, what, make, request, out / str(i)) for i, (what, make) in enumerate(variants(request).items())]
    versions = {name: version(name) for name in packages}
    (out / MADE).write_text(json.dumps({"rows": rows, "versions": versions}, indent=1), encoding="utf-8")


def _row(tool: str, what: str, make: Variant, request: Request, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True)
    print(f"{tool}: {what}", flush=True)
    start = time.monotonic()
    try:
        made = asdict(make(request, folder))
    except Exception as error:  # noqa: BLE001 - whatever breaks a tool is its row
        traceback.print_exc()
        made = {"failed": one_line(error)}
    return {"tool": tool, "what": what, "seconds": time.monotonic() - start, **made}


def one_line(error: Exception) -> str:
    """Shorten an error to its kind and first line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    return f"{type(error).__name__}: {first[:160]}"
