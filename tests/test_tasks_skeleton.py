"""`stillhouse init`: the package that it writes is installed, checked and goes through a night, as its README says."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from data_samples import built_dataset, built_digits
from packages import python_with
from PIL import Image

from stillhouse.models.data.images import load_images
from stillhouse.tasks.data.format.dataset import read_description
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.skeleton.init import write_skeleton

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "your-own-workload.md").read_text(encoding="utf-8")
OWN_CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
"""The lines that the page adds to network.py: at its end, and before `self.head`."""
MOST_OWN_LINES = 20
DESCRIBED = {"name": "photos", "image_shape": [1, 8, 8], "labels": [f"digit {number}" for number in range(10)]}


@pytest.mark.parametrize("name", ["digits", "fashion_mnist"])
def test_the_package_fits_the_dataset(tmp_path: Path, name: str) -> None:
    """Every file is written, and nothing of the templates is left in it."""
    described = read_description(built_dataset(name))
    files = write_skeleton("mine", described, tmp_path)
    assert {path.relative_to(tmp_path / "mine").as_posix() for path in files} == {
        "pyproject.toml", "README.md", "my_mine/__init__.py", "my_mine/network.py",
        "recipes/mine.yaml", "recipes/mine_tiny.yaml", "tests/test_network.py",
    }  # fmt: skip
    for path in files:
        assert "$" not in path.read_text("utf-8").replace("${name}", "")
    network = (tmp_path / "mine" / "my_mine" / "network.py").read_text("utf-8")
    height, width = described["image_shape"][1:]
    assert f"Pictures (N, 1, {height}, {width}) -> logits (N, {len(described['labels'])})." in network
    compile(network, "network.py", "exec")


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A wrong name, a folder that is there and a dataset without labelled pictures end in one sentence."""
    for name in ("Mine", "../mine", "1st", ""):
        with pytest.raises(StillhouseError, match="is no name for a recipe; choose small letters"):
            write_skeleton(name, DESCRIBED, tmp_path)
    for other in ({"captions": {}}, {"sample_rates": [44_100]}, {"array_shape": [10]}):
        with pytest.raises(StillhouseError, match="photos is no dataset of labelled pictures; name one"):
            write_skeleton("mine", DESCRIBED | other, tmp_path)
    assert list(tmp_path.iterdir()) == []
    write_skeleton("mine", DESCRIBED, tmp_path)
    with pytest.raises(StillhouseError, match="is there already; name another package, or move it away"):
        write_skeleton("mine", DESCRIBED, tmp_path)


def change_network(file: Path) -> None:
    """Change the written network as the page says."""
    block, use = OWN_CODE
    text = file.read_text("utf-8").replace("        self.head =", f"{use}        self.head =")
    file.write_text(f"{text}\n\n{block}", encoding="utf-8")


def test_the_own_code_of_the_page_is_short_and_makes_another_network(tmp_path: Path) -> None:
    """At most 20 lines of the user lead to a network with the block, which takes the pictures."""
    write_skeleton("mine", DESCRIBED, tmp_path)
    change_network(tmp_path / "mine" / "my_mine" / "network.py")
    scope: dict[str, Any] = {}
    exec((tmp_path / "mine" / "my_mine" / "network.py").read_text("utf-8"), scope)  # noqa: S102 - our own page
    student = scope["NETWORK"].module(widths=[8, 16], classes=10)
    assert isinstance(student.body[-1], scope["Block"])
    assert student(torch.rand(4, 1, 8, 8)).shape == (4, 10)
    assert sum(bool(line.strip()) for code in OWN_CODE for line in code.splitlines()) <= MOST_OWN_LINES


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Do what the page says: a folder of pictures, `init`, own code, install, its tests, `check`, a night."""
    root = tmp_path_factory.mktemp("own")
    digits = load_images(built_digits(), "train")
    for number, (pixels, label) in enumerate(zip(digits.images_NCHW, digits.labels_N, strict=True)):
        (root / "photos" / f"digit {label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0] * 15).save(root / "photos" / f"digit {label}" / f"{number}.png")
    write_skeleton("mine", DESCRIBED, root)
    change_network(root / "mine" / "my_mine" / "network.py")
    python = python_with(root / "mine", root)
    recipes = root / "mine" / "recipes"
    environment = os.environ | {"STILLHOUSE_RECIPES": str(recipes)}
    tested = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(root / "mine" / "tests")]
    command = [str(python), str(TESTS / "own_night.py"), str(root / "house"), str(root / "photos"), str(recipes)]
    for call in (tested, command):
        done = subprocess.run(call, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.long
def test_the_check_of_the_written_recipe_finds_nothing(own: dict[str, Any]) -> None:
    """The recipe, the package and the user's data pass every check."""
    assert [fault for _, fault in own["check"]] == [None] * len(own["check"])
    assert own["check"][-1][0] == "machine"


@pytest.mark.long
def test_the_written_package_leads_to_a_registered_smaller_student(own: dict[str, Any]) -> None:
    """With the few lines of the page, the night passes its gate and registers a version."""
    assert own["told"]["gate"]["passed"] == 1.0, own["told"]["gate"]
    assert own["told"]["evaluate"]["ratio_bytes"] > 2
    assert own["told"]["register"]["version"] == "1"
