"""The house: few files a folder, few lines a function, and no kind of model told apart in the core."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = [path for top in ("dags", "tasks", "models") for path in (ROOT / top).rglob("*.py")]
FOLDERS = sorted({path.parent for path in CODE})
MOST_FILES, MOST_AT_ROOT, MOST_LINES, MEDIAN_LINES = 12, 4, 45, 12


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in CODE}), ids=lambda folder: str(folder.relative_to(ROOT))
)
def test_a_folder_has_a_dozen_files_at_most(folder: Path) -> None:
    """More is a sign of two ideas; at the root of tasks and models stand errors, settings and little else."""
    most = MOST_AT_ROOT if folder in {ROOT / "tasks", ROOT / "models"} else MOST_FILES
    assert len(list(folder.glob("*.py"))) <= most


def functions() -> Iterator[tuple[str, int]]:
    """Name and lines of every function, without its docstring."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = node.body[0] if ast.get_docstring(node) else None
                lines = (node.end_lineno or 0) - node.lineno + 1
                lines -= ((documented.end_lineno or 0) - documented.lineno + 1) if documented else 0
                yield f"{path.relative_to(ROOT)}:{node.name}", lines


def test_functions_are_short() -> None:
    """The median has a dozen lines at most, and none has more than fits a screen."""
    found = dict(functions())
    assert statistics.median(found.values()) <= MEDIAN_LINES
    assert not {name: lines for name, lines in found.items() if lines > MOST_LINES}


@pytest.mark.parametrize(
    "pattern",
    [
        r"isinstance\(\w*(workload|encoder|component)\w*,",
        r"\.endswith\(\"_tower\"\)",
        r"(==|!=) \"(image_classification|retrieval)\"",
    ],
)
def test_no_kind_of_model_is_told_apart_in_the_core(pattern: str) -> None:
    """What differs between workloads stands in their folders."""
    core = [path for path in CODE if "workloads" not in path.parts and path.name != "legacy_bundle.py"]
    assert not [path for path in core if re.search(pattern, path.read_text(encoding="utf-8"))]
