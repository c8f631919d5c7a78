"""Packages that offer workloads and networks: found by their metadata, and refused in a sentence if they are wrong."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stillhouse.models import providers
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.registry import build_network, find_network
from stillhouse.models.workloads.registry import BUILT_IN, check_workload, resolve
from stillhouse.tasks.errors import RecipeError, StillhouseError
from stillhouse.tasks.pipeline.providers import check_foreign, expect_same, list_used, providers_of
from stillhouse.tasks.pipeline.stage_key import code_of
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe

TOY = Path(__file__).resolve().parent / "toy"
RECIPE = TOY / "recipes" / "diabetes_progression.yaml"
Offer = Callable[..., Path]


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Offer]:
    """Install a package: its metadata, and modules if they are given."""

    def install(distribution: str, entry_points: str, *, version: str = "1.0", **modules: str) -> Path:
        about = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (about / "entry_points.txt").write_text(entry_points)
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
        forget()
        return tmp_path

    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield install
    forget()
    for name in [
        name for name in sys.modules if name.startswith(("stillhouse_toy", "toy_")) or name in {"models", "tasks"}
    ]:
        del sys.modules[name]


def forget() -> None:
    """Look at the installed packages again."""
    providers.list_providers.cache_clear()
    providers.digest_of.cache_clear()
    code_of.cache_clear()


@pytest.fixture
def toy(offer: Offer) -> Path:
    """The toy, as pip would install it."""
    points = (
        "[stillhouse.workloads]\nprogression = stillhouse_toy.progression\n"
        "[stillhouse.networks]\nperceptron = stillhouse_toy.perceptron:PERCEPTRON\n"
    )
    folder = offer("stillhouse-toy", points)
    for name in ("stillhouse_toy", "models", "tasks"):
        shutil.copytree(TOY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def recipe_with(tmp_path: Path, old: str, new: str) -> Recipe:
    """Load the toy's recipe with a piece of its text changed."""
    text = RECIPE.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / RECIPE.name).write_text(text.replace(old, new), encoding="utf-8")
    return load_recipe(tmp_path / RECIPE.name)


@pytest.mark.usefixtures("toy")
def test_reading_a_recipe_imports_no_package() -> None:
    """A DAG file reads recipes while it is parsed, so names come from the metadata alone."""
    used = providers_of(load_recipe(RECIPE))
    assert [(each.name, each.distribution, each.version) for each in used] == [
        ("perceptron", "stillhouse-toy", "1.0"),
        ("progression", "stillhouse-toy", "1.0"),
    ]
    assert not [name for name in sys.modules if name.startswith("stillhouse_toy")]


def test_a_recipe_of_a_missing_package_names_what_is_there() -> None:
    """Without the package the recipe is refused with the names that there are."""
    with pytest.raises(RecipeError, match="there is no workload 'progression'; use one of image_classification, text"):
        load_recipe(RECIPE)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("progresion", "there is no workload 'progresion'; did you mean progression[?]"),
        ("retrieval_", "there is no workload 'retrieval_'; did you mean retrieval[?]"),
        (
            "x",
            "'x'; use one of image_classification, text_classification, text_embedding, retrieval, audio_classificat",
        ),
    ],
)
def test_the_nearest_name_is_suggested(name: str, sentence: str) -> None:
    """Also that of an installed package."""
    with pytest.raises(ModelError, match=sentence):
        check_workload(name)


def test_two_packages_of_one_name_are_refused(offer: Offer) -> None:
    """Nobody knows which is meant, so both are named; a built-in name cannot be taken either."""
    offer("one", "[stillhouse.workloads]\nours = one_workload\nretrieval = one_workload\n")
    offer("two", "[stillhouse.workloads]\nours = two_workload\n")
    with pytest.raises(ModelError, match="one and two offer a workload 'ours' each; rename or remove one"):
        check_workload("ours")
    with pytest.raises(ModelError, match="Stillhouse itself and one offer a workload 'retrieval' each"):
        check_workload("retrieval")
    assert check_workload("image_classification") == "image_classification"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("", "AttributeError"),
        ("def", "SyntaxError"),
    ],
)
def test_a_package_that_fails_on_import_is_named(offer: Offer, source: str, reason: str) -> None:
    """The sentence has the package, its version, the reason and the remedy."""
    offer("broken", "[stillhouse.networks]\nbad = toy_broken:NETWORK\n", version="2.1", toy_broken=source)
    with pytest.raises(ModelError, match=rf"network bad of the package broken 2\.1 cannot be imported \({reason}"):
        find_network("bad")


def test_an_entry_point_that_is_no_network_is_refused(offer: Offer) -> None:
    """What a package offers as a network must be a Known."""
    offer("odd", "[stillhouse.networks]\nodd = toy_odd:NETWORK\n", toy_odd="NETWORK = 3")
    with pytest.raises(ModelError, match=r"network odd of the package odd 1\.0 is no Known"):
        build_network("odd", {}, 1.0)


def test_a_package_whose_files_are_gone_is_named(offer: Offer) -> None:
    """Metadata without modules, as a half-removed package leaves it, says what to install again."""
    offer("gone", "[stillhouse.workloads]\ngone = toy_gone\n")
    provider = providers.find(providers.WORKLOADS, "gone", BUILT_IN)
    assert provider is not None
    with pytest.raises(ModelError, match=r"gone 1\.0 names the module toy_gone, which is not installed; install that"):
        _ = provider.digest
    with pytest.raises(ModelError, match=r"cannot be imported \(ModuleNotFoundError"):
        resolve("gone", "training")


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("measurements: 10, widths: [512", "measurements: 0, widths: [512", "network perceptron: measurements: Input"),
        ("widths: [512, 512]", "depth: 3", "network perceptron: widths: Field required; mend its arguments"),
        ("kind: mean", "kind: median", "progression cannot learn by median; set distillation kind mean"),
        ("known_weight: 0.5", "known_weight: much", "distillation settings: Input should be a valid number"),
    ],
)
def test_a_packages_own_sections_are_checked_before_anything_is_trained(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    """The recipe is read without the package; the first stage asks the package."""
    recipe = recipe_with(tmp_path, old, new)
    with pytest.raises(ModelError, match=sentence):
        check_foreign(recipe)


def test_another_file_of_the_package_is_another_key(toy: Path) -> None:
    """Every stage that runs the package is done again, and no other."""
    used = providers_of(load_recipe(RECIPE))
    before = {kind: code_of(kind, "progression", used) for kind in ("teacher", "evaluate")}
    (toy / "stillhouse_toy" / "progression" / "more.py").write_text("MORE = 1\n", encoding="utf-8")
    forget()
    after = {kind: code_of(kind, "progression", used) for kind in before}
    assert all(before[kind] != after[kind] for kind in before)


def test_what_a_run_began_with_is_expected_of_every_worker(toy: Path) -> None:
    """A worker with another version, with other files or without the package says so and does nothing."""
    before = list_used(load_recipe(RECIPE))
    expect_same(before, "run 7")
    (toy / "stillhouse_toy" / "perceptron.py").write_text("CHANGED = 1\n", encoding="utf-8")
    forget()
    with pytest.raises(StillhouseError, match=r"run 7 needs .* stillhouse-toy 1\.0, and this machine has the same"):
        expect_same(before, "run 7")
    (toy / "stillhouse_toy-1.0.dist-info").rename(toy / "stillhouse_toy-2.0.dist-info")
    metadata = toy / "stillhouse_toy-2.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "2.0"))
    forget()
    with pytest.raises(StillhouseError, match=r"stillhouse-toy 1\.0, and this machine has 2\.0; install what it was"):
        expect_same(before, "run 7")
    shutil.rmtree(toy / "stillhouse_toy-2.0.dist-info")
    forget()
    with pytest.raises(StillhouseError, match=r"stillhouse-toy 1\.0, which this machine does not have; install it"):
        expect_same(before, "run 7")
