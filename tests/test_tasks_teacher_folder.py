"""A recipe whose teacher is a folder of transformers: its stages change the model in place and export it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from data_samples import built_digits, digest_of, quiet
from tiny_house import tiny_recipe
from transformers_samples import save_classifier

from stillhouse.tasks.artifacts.model_folder import folder_digest
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.rehearsal.check import check_recipe
from stillhouse.tasks.settings import load_settings

TRAINING = {"epochs": 4, "batch_size": 64, "learning_rate": 0.01}
IN_PLACE: list[dict[str, Any]] = [
    {"method": "drop_layers", "layers": 1, "finetune": {"training": TRAINING}},
    {"method": "prune_structured", "macs": 0.8, "round_to": 4, "finetune": {"training": TRAINING}},
    {"method": "quantize", "distillation": {"training": TRAINING}},
]
NARROWER: list[dict[str, Any]] = [
    {
        "method": "distil",
        "network": {
            "name": "transformers_classifier",
            "arguments": {"config": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}},
        },
        "distillation": {"training": TRAINING},
    },
    {"method": "quantize"},
]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a host without a repository that has the digits in its cache, and a classifier in a folder."""
    monkeypatch.setenv("STILLHOUSE_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(built_digits(), load_settings().data_cache / digest_of(built_digits()))
    save_classifier(tmp_path / "digits_resnet", "resnet")
    return tmp_path


def recipe_of(host: Path, steps: list[dict[str, Any]]) -> Path:
    path = tiny_recipe(host)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["data"] = {"dataset": "digits", "sha256": digest_of(built_digits())}
    content["teacher"] = {"folder": "digits_resnet", "sha256": folder_digest(host / "digits_resnet")}
    content |= {
        "workload": "image_classification",
        "steps": steps,
        "gate": {"quality": 0.1, "bytes": 1, "latency": 0.1},
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "steps", [pytest.param(IN_PLACE, id="in place"), pytest.param(NARROWER, id="narrower", marks=pytest.mark.long)]
)
def test_every_stage_of_a_folder_is_rehearsed(host: Path, steps: list[dict[str, Any]]) -> None:
    """Teacher, steps, export and evaluation run, whether the model is changed in place or teaches a narrower one."""
    path = recipe_of(host, steps)
    findings = list(check_recipe(path, quiet))
    assert [finding.fault for finding in findings if finding.fault] == []
    stages = {stage.name for stage in stages_of(load_recipe(path))}
    assert {f"step_{number}_{step['method']}" for number, step in enumerate(steps, 1)} <= stages
    assert {"teacher", "export", "evaluate"} <= {finding.check for finding in findings}


def test_a_folder_that_changed_is_refused(host: Path) -> None:
    """A file that was edited after the recipe was written gives the folder another digest, and both are named."""
    path = recipe_of(host, NARROWER)
    (host / "digits_resnet" / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    (fault,) = [finding.fault for finding in check_recipe(path, quiet) if finding.fault]
    assert f"digits_resnet has the digest {folder_digest(host / 'digits_resnet')}, not the recipe's" in fault
