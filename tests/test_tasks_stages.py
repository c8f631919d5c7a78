"""The one table of stages: its functions are there, and a change does again what depends on it and nothing else."""

import ast
from pathlib import Path
from typing import Any

import pytest

from stillhouse.tasks.artifacts import source_digest
from stillhouse.tasks.artifacts.source_digest import ROOT
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.stage_key import code_of, stage_key
from stillhouse.tasks.pipeline.stages import KINDS, function_of
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe

RECIPE = load_recipe(ROOT / "dags" / "recipes" / "seed_digits.yaml")
FROM_TEACHER = ["teacher", "compress", "join", "export"]
JUDGED = ["evaluate", "compare_champion", "load_test", "final_test"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_function_and_every_process_it_starts(kind: str) -> None:
    """The function can be imported, and the modules it measures in other processes are those of the table."""
    assert callable(function_of(kind))
    files = source_digest.files_with_imports((KINDS[kind].function.partition(":")[0],))
    started = {name for path in files if "tasks" in path.parts for name in measured_in(path)}
    if KINDS[kind].reusable:
        assert started == set(KINDS[kind].subprocesses)


def measured_in(path: Path) -> list[str]:
    """Name the modules that a file gives to `measure`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    asked = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "measure"]
    return [node.value for each in asked for node in ast.walk(each) if isinstance(node, ast.Constant)]


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("tasks/reporting/plots/judgement.py", []),
        ("tasks/reporting/report.html", []),
        ("tasks/reporting/report.css", []),
        ("tasks/cli/main.py", []),
        ("dags/nightly.py", []),
        ("tasks/pipeline/stages.py", []),
        ("tasks/recipe/recipe.py", []),
        ("tasks/registry/promote.py", []),
        ("tasks/judging/gate.py", ["gate"]),
        ("tasks/stages/validate.py", ["validate"]),
        ("models/evaluation/champion.py", ["compare_champion"]),
        ("models/workloads/image_classification/runtime.py", JUDGED),
        ("models/workloads/retrieval/runtime.py", []),
        ("tasks/serving/load_generator.py", ["load_test"]),
        ("models/compression/pruning/channels.py", ["compress"]),
        ("models/compression/quantization/mixed.py", ["compress"]),
        ("models/training/loop.py", FROM_TEACHER),
        ("models/networks/residual.py", FROM_TEACHER),
        ("models/workloads/image_classification/training.py", FROM_TEACHER),
        ("models/workloads/retrieval/training.py", []),
        ("models/workloads/image_classification/report.py", []),
        ("models/workloads/retrieval/report.py", []),
        ("models/workloads/retrieval/section.html", []),
        ("models/distillation/logit.py", FROM_TEACHER),
        ("models/distillation/embedding.py", []),
        ("tasks/compression/methods.py", ["compress"]),
        ("tasks/data/sources/emoji.py", []),
        ("models/workloads/base.py", JUDGED),
        ("models/runtime/session.py", ["teacher", "compress", "export", *JUDGED]),
    ],
)
def test_a_file_does_again_the_stages_that_run_it(
    monkeypatch: pytest.MonkeyPatch, changed: str, again: list[str]
) -> None:
    """Another content of one file is another key of the stages that run it, and of no other."""
    assert (ROOT / changed).is_file()
    before = codes()
    digest = source_digest.file_digest
    monkeypatch.setattr(source_digest, "file_digest", lambda path: "other" if path == ROOT / changed else digest(path))
    after = codes()
    assert [kind for kind in before if before[kind] != after[kind]] == again


def codes(workload: str = "image_classification") -> dict[str, str]:
    """Kind of stage -> digest of its code for a workload, now."""
    code_of.cache_clear()
    found = {kind: code_of(kind, workload) for kind in KINDS if KINDS[kind].reusable}
    code_of.cache_clear()
    return found


@pytest.mark.parametrize(
    ("section", "key", "value", "again"),
    [
        ("gate", "quality", 0.5, ["gate"]),
        ("gate", "latency", 1.5, ["evaluate", "gate"]),
        ("promotion", "policy", "auto", []),
        ("latency", "rounds", 77, ["evaluate", "compare_champion"]),
        ("keep_step_if", "max_quality_drop", 0.5, ["compress"]),
        ("data", "revision", "v2", ["pull", "validate"]),
    ],
)
def test_a_key_of_the_recipe_does_again_the_stages_that_read_it(
    section: str, key: str, value: Any, again: list[str]
) -> None:
    """Another value in the recipe is another key of the stages that read it; later ones follow what they are given."""
    content = RECIPE.model_dump(mode="json")
    content[section] = content[section] | {key: value}
    before, after = keys(RECIPE), keys(Recipe.model_validate(content, strict=False))
    assert sorted({kind for name, kind in before if before[name, kind] != after[name, kind]}) == sorted(again)


def keys(recipe: Recipe) -> dict[tuple[str, str], str]:
    """(stage, kind) -> its key, were all inputs the same."""
    stages = [stage for stage in stages_of(recipe) if stage.reusable]
    return {(stage.name, stage.kind): stage_key(stage, dict.fromkeys(stage.inputs, "same")) for stage in stages}
