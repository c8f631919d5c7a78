"""The pages of docs/reference/ are those that the code gives."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
SAYS_ITSELF = ("method", "kind")
"""Keys that name the section that they stand in."""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The pages as `make docs` would write them."""
    return load("reference").pages()


def load(name: str) -> ModuleType:
    """Import a script of .ci, which finds its neighbours as it does on the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / ".ci"))
        spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(pages: dict[str, str]) -> None:
    """Each page is the one that the code gives; if not, `make docs` writes it again."""
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")} == pages


def test_every_key_has_a_meaning(pages: dict[str, str]) -> None:
    """Each key of a recipe, argument of a network and option of a command says what it means."""
    rows = [line for page in pages.values() for line in page.splitlines() if line.startswith("| `")]
    silent = [row for row in rows if re.search(r"\|  \|$", row)]
    assert not [row for row in silent if row.split("`")[1] not in SAYS_ITSELF]
    heads = [line for page in pages.values() for line in page.splitlines() if re.match(r"\| (key|argument)", line)]
    assert all(head.endswith("| meaning |") for head in heads)
    assert len(rows) > 200


def test_a_key_is_described_by_its_model(pages: dict[str, str]) -> None:
    """Type, default, bounds and meaning of a key stand in one row."""
    row = (
        "| `warmup` | number | `0.2` | 0 to 1 | Share of all steps in which the learning rate rises, before it falls to"
    )
    assert f"{row} zero. |" in pages["recipe.md"]
    assert "| `side` | whole number | **required** | 1 to 1,024 | Side of the images. |" in pages["networks.md"]


def test_a_command_is_described_by_its_help(pages: dict[str, str]) -> None:
    """A command has its usage, arguments, options and defaults, and an old name has no heading."""
    assert "```\nstillhouse compress [OPTIONS] MODEL\n```" in pages["cli.md"]
    assert (
        "| `--side` | whole number, 8 to 1,024 | `32` | Height and width of pictures, in pixels. |" in pages["cli.md"]
    )
    assert "stillhouse nightly" not in pages["cli.md"]
