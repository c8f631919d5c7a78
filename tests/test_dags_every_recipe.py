"""A recipe at fault is shown by name in Airflow, and every other recipe keeps its DAGs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bad_recipes import BAD, RECIPES, ROOT, SEED

KINDS = ("nightly", "promotion", "ingest", "rollback")
READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

found = {}
for kind in sys.argv[2:]:
    bag = DagBag(dag_folder=f"{sys.argv[1]}/dags/{kind}.py", known_pools={"cpu", "train", "measure", "default_pool"})
    dags = {dag_id: [sorted(dag.tags), dag.doc_md] for dag_id, dag in bag.dags.items()}
    json.dumps([DagSerialization.to_dict(dag) for dag in bag.dags.values()])
    found[kind] = {"dags": dags, "errors": bag.import_errors}
print(json.dumps(found))
"""


def read_by_airflow(root: Path) -> dict[str, Any]:
    """Let Airflow read the DAG files of a copy of dags/."""
    environment = os.environ | {"AIRFLOW_HOME": str(root / "airflow"), "PYTHONPATH": str(root / "src")}
    command = [sys.executable, "-c", READ, str(root), *KINDS]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow reads where every kind of bad recipe file lies beside two good ones."""
    root = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "dags", root / "dags", ignore=shutil.ignore_patterns("recipes", "__pycache__"))
    package = root / "src" / "stillhouse"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "src" / "stillhouse" / "__init__.py", package)
    for name, folder in {"dags": root / "dags", "tasks": ROOT / "tasks", "models": ROOT / "models"}.items():
        (package / name).symlink_to(folder)
    recipes = root / "dags" / "recipes"
    recipes.mkdir()
    for name in ("seed_digits", "retrieval_small"):
        shutil.copy(RECIPES / f"{name}.yaml", recipes)
    for number, (content, _) in enumerate(BAD.values()):
        (recipes / f"bad_{number}.yaml").write_bytes(content)
    for name in ("._seed_digits", ".seed_digits"):
        (recipes / f"{name}.yaml").write_bytes(b"\x00\x05\x16\x07")
    for name in ("Kätzchen", "seed digits", "seed_digits ", "x" * 240, "日本"):
        (recipes / f"{name}.yaml").write_text(SEED, encoding="utf-8")
    Path(os.fsdecode(os.fsencode(recipes) + b"/K\xe4tzchen.yaml")).write_text(SEED, encoding="utf-8")
    (recipes / "folder.yaml").mkdir()
    os.mkfifo(recipes / "pipe.yaml")
    (recipes / "link.yaml").symlink_to("gone")
    return read_by_airflow(root)


def test_good_recipes_keep_all_their_dags_beside_bad_files(found: dict[str, Any]) -> None:
    """No DAG file raises, whatever lies in the folder, and the two good recipes have what they always had."""
    assert [each["errors"] for each in found.values()] == [{}] * len(KINDS)
    for kind in ("nightly", "promotion", "rollback"):
        good = {name for name, (tags, _) in found[kind]["dags"].items() if "broken-recipe" not in tags}
        assert good == {f"{kind}_seed_digits", f"{kind}_retrieval_small"}
    assert set(found["ingest"]["dags"]) == {"ingest_digits", "ingest_emoji_small"}


def test_airflow_shows_which_recipe_is_broken_and_why(found: dict[str, Any]) -> None:
    """Each bad file has one DAG `nightly_...`, tagged `broken-recipe`, whose documentation names file and fault."""
    broken = {name: doc for name, (tags, doc) in found["nightly"]["dags"].items() if tags == ["broken-recipe"]}
    others = {"folder", "pipe", "link"}
    assert len(broken) == len(BAD) + len(others) + 6
    for number, name in enumerate(BAD):
        assert f"bad_{number}.yaml " in broken[f"nightly_bad_{number}"], name
    for name in others:
        assert f"{name}.yaml " in broken[f"nightly_{name}"]
    assert all(doc.startswith("**This recipe cannot be used.** recipe ") for doc in broken.values())
    assert not any("broken-recipe" in tags for kind in KINDS[1:] for tags, _ in found[kind]["dags"].values())


def test_a_bad_file_never_takes_the_place_of_a_good_recipe(found: dict[str, Any]) -> None:
    """Where two files' names make one DAG id, the good recipe keeps it and the other one gets a number."""
    dags = found["nightly"]["dags"]
    assert dags["nightly_seed_digits"][0] != ["broken-recipe"]
    assert {"nightly_seed_digits.2", "nightly_seed_digits_"} <= set(dags)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [OSError("gone"), TypeError("NoneType"), RecursionError(), ValueError("a\x00b\nc")])
def test_a_fault_that_nobody_foresaw_costs_one_recipe_only(
    nightly: ModuleType, tmp_path: Path, kind: str, error: Exception
) -> None:
    """If building one recipe's DAG raises anything, that DAG says so and the next recipe's is built."""
    del nightly
    from airflow.sdk import DAG
    from airflow.sdk.exceptions import AirflowFailException

    from stillhouse.dags.every_recipe import dags_of_recipes

    def build(path: Path) -> DAG:
        if path.stem == "bad":
            raise error
        return DAG(f"{kind}_{path.stem}", schedule=None)

    for name in ("bad", "good"):
        (tmp_path / f"{name}.yaml").touch()
    dags = dags_of_recipes(kind, tmp_path, build)
    assert set(dags) == {f"{kind}_bad", f"{kind}_good"}
    with pytest.raises(AirflowFailException, match=rf"bad\.yaml cannot be built \({type(error).__name__}.*; mend or"):
        dags[f"{kind}_bad"].get_task("recipe").execute({})


def test_a_recipe_that_cannot_be_read_has_one_dag_only(nightly: ModuleType, tmp_path: Path) -> None:
    """The DAG of its night says what is wrong; promotion, rollback and ingest have none to press."""
    from stillhouse.dags.every_recipe import dags_of_recipes

    (tmp_path / "empty.yaml").touch()
    assert {kind: list(dags_of_recipes(kind, tmp_path, nightly.nightly)) for kind in KINDS} == {
        "nightly": ["nightly_empty"],
        "promotion": [],
        "ingest": [],
        "rollback": [],
    }


def test_a_task_reads_its_own_recipe_only(nightly: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow names the DAG of a task while it reads the file; other recipes are read if that DAG is none of theirs."""
    del nightly
    from airflow.sdk import DAG

    from stillhouse.dags.every_recipe import dags_of_recipes

    read: list[str] = []

    def build(path: Path) -> DAG:
        read.append(path.stem)
        return DAG({"a": "night_a", "b": "night_data", "c": "night_x"}[path.stem], schedule=None)

    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").touch()
    for wanted, needed, dags in (
        ("night_a", ["a"], {"night_a"}),
        ("night_data", ["a", "b", "c"], {"night_a", "night_data", "night_x"}),
        ("night_b", ["b", "a", "b", "c"], {"night_a", "night_data", "night_x"}),
    ):
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", wanted)
        read.clear()
        assert set(dags_of_recipes("night", tmp_path, build)) == dags
        assert sorted(read) == sorted(needed)
