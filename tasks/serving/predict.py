"""`stillhouse predict`: run a registered model on a user's own inputs, and write the answers to a page."""

import html
import re
import tempfile
from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.report_base import Makes, report_of
from stillhouse.tasks.artifacts.student_file import download_verified, locate_judged
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.registry.versions import CANDIDATE, CHAMPION, DIGEST, production_of, version_with_alias
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.stages.pull import pull_dataset
from stillhouse.tasks.tracking.connection import connect

SHA256 = re.compile(r"[0-9a-f]{64}")


def make_files(recipe_path: Path, queries: list[str], seed: int) -> list[Path]:
    """Write the file that a model makes of each query, such as a picture; returns the paths.

    Raises:
        StillhouseError: the model does not exist or makes no files, or a query cannot be answered.
    """
    settings, recipe = load_settings(), load_recipe(recipe_path)
    report = report_of(recipe.workload)
    if not isinstance(report, Makes):
        msg = f"a model of {recipe.workload} makes nothing of noise, so it takes no seed; leave out --seed"
        raise StillhouseError(msg)
    try:
        made = report.make_files(open_bundle(fetch_registered(settings, recipe.name)), queries, seed)
    except ModelError as error:
        raise StillhouseError(str(error)) from error
    settings.runs.mkdir(parents=True, exist_ok=True)
    paths = [settings.runs / f"try-{number}{ending}" for number, (ending, _) in enumerate(made, start=1)]
    for path, (_, content) in zip(paths, made, strict=True):
        path.write_bytes(content)
    return paths


def predict(recipe_path: Path, queries: list[str]) -> Path:
    """Answer each query and write a page; returns the page's path.

    A query is, for example, a sentence or the path of a file.

    Raises:
        StillhouseError: the model does not exist, or a query cannot be answered. One sentence says why.
    """
    settings, recipe = load_settings(), load_recipe(recipe_path)
    data = pull_dataset(settings, recipe.data)
    model = fetch_registered(settings, recipe.name)
    cache = settings.state / "shared" / "tried" / f"{model.name[:16]}-{data.name[:16]}"
    try:
        answers = report_of(recipe.workload).answer_queries(open_bundle(model), data, queries, cache)
    except ModelError as error:
        raise StillhouseError(str(error)) from error
    page = settings.runs / "try.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"{_HEAD}<h1>{html.escape(recipe.name)}</h1>{answers}", encoding="utf-8")
    return page


def fetch_registered(settings: Settings, model: str) -> Path:
    """Return the bundle of the champion, or of the candidate if there is no champion.

    It is downloaded once and checked.

    Raises:
        StillhouseError: there is no version, or Stillhouse did not register it.
        ServiceError: MLflow does not answer.
    """
    client = connect(settings.tracking_uri)
    chosen = version_with_alias(client, production_of(model), CHAMPION) or version_with_alias(client, model, CANDIDATE)
    if chosen is None:
        msg = f"no version of {model} is registered; run `make run RECIPE={model}` first"
        raise StillhouseError(msg)
    digest = chosen.tags.get(DIGEST, "")
    if not SHA256.fullmatch(digest):
        what = f"{chosen.name} version {chosen.version} was not registered by Stillhouse"
        msg = f"{what}: it has no digest in the tag {DIGEST}; run `make run RECIPE={model}` and promote that version"
        raise StillhouseError(msg)
    folder: Path = settings.state / "shared" / "models" / digest
    if not folder.is_dir():
        _download(f"models:/{chosen.name}/{chosen.version}", digest, folder)
    return folder


def _download(uri: str, digest: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        judged = locate_judged(download_verified(uri, digest, Path(scratch)))
        if judged.is_file():
            msg = f"{uri} is one file from before there were bundles; ask it through `stillhouse serve`"
            raise StillhouseError(msg)
        judged.rename(folder)


_HEAD = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Stillhouse: try</title><style>
body { font: 16px/1.4 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
div { display: flex; flex-wrap: wrap; gap: 0.5rem; } figure { width: 8rem; margin: 0; text-align: center; }
figure img { width: 6rem; height: 6rem; } figcaption { font-size: 0.85rem; }
.asked { height: 3rem; margin-right: 1rem; }
h2 { display: flex; align-items: center; border-top: 1px solid #ddd; padding-top: 1rem; }
</style></head><body>
"""
