"""Write report.html and summary.json of a run, and point the link `latest` at them.

This module always writes a report, also for a failed run. It does not decide the exit status of the run.
"""

from pathlib import Path

from stillhouse.models.aside import write_aside
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.reporting.report_page import render
from stillhouse.tasks.reporting.run_record import RunRecord
from stillhouse.tasks.reporting.summary import summarise

REPORT = "report.html"
SUMMARY = "summary.json"
LATEST = "latest"


def report_stage(run: RunRecord, folder: Path) -> Path:
    """Write the report to `runs/<run>/` and move the link `runs/latest` to it. Returns the path of the page.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    try:
        return _write(run, folder)
    except OSError as error:
        msg = f"the report cannot be written to {folder} ({error.strerror}); make it writable with space to spare"
        raise ArtifactError(msg) from error


def _write(run: RunRecord, folder: Path) -> Path:
    """Write the page, then the summary. A folder that has a summary is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / REPORT
    _write_text(page, render(run))
    write_json(folder / SUMMARY, summarise(run))
    _point(folder.parent / LATEST, folder)
    return page


def _write_text(path: Path, text: str) -> None:
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _point(link: Path, folder: Path) -> None:
    with write_aside(link) as aside:
        aside.symlink_to(folder.name, target_is_directory=True)
