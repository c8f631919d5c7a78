"""Stage `validate`: run Great Expectations on the manifest and the decoded content, before anything is trained on them.

The stage writes Data Docs (HTML) whether the data passes or not. validation.json has the same results without times.
The light installation has no Great Expectations. The stage then says that the contract was not checked.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.artifacts.source_digest import ABSENT
from stillhouse.tasks.data.checks.contract import UNCHECKED, find_checker
from stillhouse.tasks.data.format.dataset import MANIFEST, read_description
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import materialise, read_pointer

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.data_context import FileDataContext
    from great_expectations.expectations import Expectation

    from stillhouse.tasks.pipeline.job import Job

VALIDATION = "validation.json"
DATA_DOCS = "data_docs"
SHOWN = 5
"""Number of failing expectations that the error names. Data Docs lists all of them."""

Outcome = dict[str, Any]


def validate_data(job: "Job") -> dict[str, float]:
    """Check the pulled dataset against every suite.

    Writes `validation.json` (suite, expectation, columns, success, rows, unexpected) and `data_docs/index.html`.
    Without Great Expectations, validation.json only says so, and there are no Data Docs.

    Returns:
        `expectations` (0 without Great Expectations), `passed` and `rows`.

    Raises:
        DataError: an expectation fails. The message names the expectation, the wrong rows and the Data Docs.
    """
    folder = materialise(job.inputs["data"])
    described = read_description(folder)
    if job.outside.get("great_expectations", find_checker()) == ABSENT:
        job.progress(UNCHECKED)
        write_json(job.out / VALIDATION, {"unchecked": UNCHECKED})
        rows = float(pq.read_metadata(folder / MANIFEST).num_rows)
        return {"expectations": 0.0, "passed": 0.0, "rows": rows}
    from stillhouse.tasks.data.checks.data_tables import tables_of

    job.progress(f"decoding {described['name']}")
    tables = tables_of(folder, described)
    outcomes = judge(tables, described, job.out / DATA_DOCS, job.scratch, job.progress)
    write_json(job.out / VALIDATION, outcomes)
    failed = [outcome for outcome in outcomes if not outcome["success"]]
    if failed:
        _refuse(failed, len(outcomes), job, described["name"])
    return {
        "expectations": float(len(outcomes)),
        "passed": float(len(outcomes) - len(failed)),
        "rows": float(len(tables["manifest"])),
    }


def judge(
    tables: Mapping[str, "pd.DataFrame"],
    described: Mapping[str, Any],
    docs: Path,
    scratch: Path,
    progress: Callable[[str], None],
) -> list[Outcome]:
    """Run every suite on its table and build the Data Docs. Returns one outcome per expectation."""
    # Great Expectations reads this variable when it is first imported, which happens below.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    progress("loading Great Expectations")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    from stillhouse.tasks.data.checks.expectations import suites_of

    project = scratch / "great_expectations"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    context = gx.get_context(mode="file", project_root_dir=project)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    outcomes: list[Outcome] = []
    for name, expectations in suites_of(described).items():
        progress(f"checking {len(expectations)} expectations of {name}")
        outcomes += _run_suite(context, name, tables[name], expectations)
    site = project / "gx" / "uncommitted" / "data_docs" / "local_site"
    shutil.copytree(site, docs, ignore=shutil.ignore_patterns("*.gif", "fonts"), dirs_exist_ok=True)
    return outcomes


def name_failed(failed: list[Outcome]) -> str:
    """Name the first failing expectations, with the number of wrong rows."""
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return "; ".join(_name_one(outcome) for outcome in failed[:SHOWN]) + more


def _run_suite(
    context: "FileDataContext", name: str, table: "pd.DataFrame", expectations: list["Expectation"]
) -> list[Outcome]:
    import great_expectations as gx

    source = context.data_sources.add_or_update_pandas(name)
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
    validation = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[validation],
        actions=[gx.checkpoint.UpdateDataDocsAction(name=DATA_DOCS)],
        result_format={"result_format": "BASIC", "partial_unexpected_count": SHOWN},
    )
    ran = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": table})
    (result,) = ran.run_results.values()
    outcomes = [_outcome(name, each) for each in result.results]
    return sorted(outcomes, key=lambda each: (each["expectation"], each["columns"]))


def _outcome(suite: str, result: Any) -> Outcome:  # noqa: ANN401 - GX's own result type has no typed fields
    settings = result.expectation_config.kwargs
    columns = [settings.get(key) for key in ("column", "column_A", "column_B")]
    return {
        "suite": suite,
        "expectation": result.expectation_config.type,
        "columns": " ".join([*filter(None, columns), *settings.get("column_list", [])]),
        "success": bool(result.success),
        "rows": result.result.get("element_count"),
        "unexpected": result.result.get("unexpected_count"),
    }


def _refuse(failed: list[Outcome], total: int, job: "Job", dataset: str) -> None:
    kept = load_settings().runs / "data_docs_failed" / dataset
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(job.out, kept)
    version = read_pointer(job.inputs["data"])["data_version"]
    msg = (
        f"data {dataset} (version {version}) fails {len(failed)} of {total} expectations: {name_failed(failed)}; "
        f"see {kept / DATA_DOCS / 'index.html'}, then mend the data or name another data.revision in the recipe"
    )
    raise DataError(msg)


def _name_one(outcome: Outcome) -> str:
    rows = f"({outcome['unexpected']} of {outcome['rows']} rows)" if outcome["unexpected"] and outcome["rows"] else ""
    return " ".join(filter(None, (outcome["suite"], outcome["columns"], outcome["expectation"], rows)))
