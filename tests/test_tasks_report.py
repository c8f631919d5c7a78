"""The report page and summary.json, from a believable run."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from registry_samples import against
from report_samples import LABELS, STARTED, broken_run, evaluation, gate_result, passing_run

from stillhouse.tasks.errors import ArtifactError
from stillhouse.tasks.reporting.plots.judgement import MOST_CLASSES
from stillhouse.tasks.reporting.quantities import (
    duration,
    mebibytes,
    milliseconds,
    percent,
    percent_limit,
    points,
    size,
    times,
    times_limit,
)
from stillhouse.tasks.reporting.report import report_stage
from stillhouse.tasks.reporting.report_page import render
from stillhouse.tasks.reporting.run_record import RunRecord, Status, error_of
from stillhouse.tasks.reporting.summary import Against, summarise

VOID = {"meta", "link", "br", "img", "hr", "input"}
LOAD = {
    "rate": 200.0,
    "p50_ms": 1.1,
    "p99_ms": 4.2,
    "lost": 0,
    "max_rate": {"one_core": 950.0, "all_cores": 1500.0},
    "cores": 2,
}
SECTIONS = {"verdict", "checks", "production", "models", "serving", "steps", "classes", "training", "stages", "origin"}


class Page(HTMLParser):
    """A parsed page: ids, attributes that could load something, texts, and whether tags close."""

    def __init__(self, html: str) -> None:
        """Parse at once."""
        super().__init__()
        self.ids: list[str] = []
        self.loads: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert not self._open
        self.text = " ".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag holds."""
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href", "srcset", "data"}:
                self.loads.append((tag, name, value or ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself, as SVG has them."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Hold tags to their order."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        self._texts += data.split()


@pytest.fixture(scope="module")
def html() -> str:
    """Give the page of a passing run, drawn once."""
    return render(passing_run())


def test_the_page_has_every_section(html: str) -> None:
    """A whole run shows all sections once, and every id is unique."""
    page = Page(html)
    assert set(page.ids) >= SECTIONS
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 8


def test_the_page_says_what_matters(html: str) -> None:
    """The page holds verdict, registration, ratios, steps, classes, data, code and environment."""
    text = Page(html).text
    for words in (
        "PASS The student passed its gate",
        "version 3",
        "candidate",
        "71.3×",  # noqa: RUF001
        "10.6×",  # noqa: RUF001
        "99.34 %",
        "step_2_prune_structured",
        "1,162,410",
        "Shirt (n = 1,000)",
        "5 min 31 s",
        "1.9 s, reused",
        "5e5e5e5e5e5e",
        "51,893",
        "aaaaaaaaaaaa",
        "3f2a9d1c0b",
        "onnxruntime",
        "avx512f, avx512_vnni",
        "macs: 0.6",
        "−0.61 points (−0.88 to −0.34, each end a one-sided 95 % bound)",  # noqa: RUF001
        "the teacher is right on 166, only the student on 105",
        "packed ONNX 65,257 71,630 4.41 ms 12.4 ms 11 MiB 0.119 s",
    ):
        assert words in text, words


def test_a_limit_in_points_is_shown_in_points() -> None:
    """The check `points` stands in the table in percentage points, not as a share or a ratio."""
    gate = gate_result()
    gate["checks"].append(
        {
            "name": "max_drop_points",
            "value": 0.44,
            "limit": 1.0,
            "verdict": "PASS",
            "reason": "student loses 0.44 points",
        }
    )
    text = Page(render(replace(passing_run(), gate=gate))).text
    assert "max_drop_points PASS 0.44 points 1 points Student loses 0.44 points" in text


def test_the_page_loads_nothing(html: str) -> None:
    """Nothing on the page is fetched: links are followed by people only, and there is no script."""
    page = Page(html)
    fetched = [load for load in page.loads if load[0] != "a" and not load[2].startswith(("#", "data:"))]
    assert fetched == []
    assert "script" not in page.tags
    assert not re.search(r"url\((?!#)|@import", html)


def test_the_page_escapes_what_people_wrote(html: str) -> None:
    """A script in a recipe's description is shown, not run."""
    assert "<script>" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def test_a_class_name_is_escaped_in_the_pictures() -> None:
    """Markup and formulas in class names are plain text in the plots."""
    raw = evaluation()
    raw["classes"]["labels"] = ["<b>bold</b>", "$\\frac$", *LABELS[2:]]
    html = render(replace(passing_run(), evaluation=raw))
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "$\\frac$" in html


def test_the_page_leaves_credentials_out(html: str) -> None:
    """The user and password of a tracking address are not in the link."""
    assert "hunter2" not in html
    assert 'href="http://127.0.0.1:5000/#/experiments/1' in html


def test_an_odd_link_is_dropped() -> None:
    """Only web addresses become links."""
    assert "javascript:" not in render(replace(passing_run(), mlflow_url="javascript:alert(1)"))


def test_the_same_run_gives_the_same_bytes(html: str) -> None:
    """The page has no clock and no random ids in it."""
    assert render(passing_run()) == html


def test_a_failed_gate_leads_with_its_reason() -> None:
    """A FAIL shows the failing checks' reasons on top and says that nothing was registered."""
    gate = gate_result()
    gate["verdict"] = gate["checks"][1]["verdict"] = "FAIL"
    text = Page(render(replace(passing_run(), gate=gate, registered=None))).text
    top = text[: text.index("Checks")]
    assert "FAIL The student failed its gate Student file is 71.3x smaller than the teacher's" in top
    assert "Student is" not in top
    assert "Nothing was registered." in top


def test_a_broken_run_is_shown_as_far_as_it_came() -> None:
    """The sentence of the failed stage leads, escaped; earlier stages keep their curves and numbers."""
    html = render(broken_run())
    page = Page(html)
    assert "BROKEN The run broke Stage step_2_prune_structured failed: the loss became NaN <b>here</b>" in page.text
    assert "<b>here</b>" not in html
    assert set(page.ids) >= SECTIONS
    assert page.tags.count("svg") == 5
    assert "93.05 %" in page.text


def test_a_run_that_broke_after_its_gate_keeps_the_verdict() -> None:
    """A failed registration is BROKEN on the page, and the gate's word stays in page and summary."""
    stages = tuple(
        replace(stage, status="FAILED", error="MLflow does not answer") if stage.name == "register" else stage
        for stage in passing_run().stages
    )
    run = replace(passing_run(), stages=stages, registered=None)
    text = Page(render(run)).text
    assert "Nothing was registered. Before it broke, the gate had said PASS ." in text
    assert (summarise(run)["verdict"], summarise(run)["error"]) == (
        "PASS",
        "stage register failed: MLflow does not answer",
    )


@pytest.mark.parametrize(
    ("name", "status", "verdict", "error"),
    [
        ("register", "MISSING", "PASS", "the run stopped at stage register, which is missing; read its log in Airflow"),
        ("register", "MISSING", "FAIL", None),
        ("register", "SKIPPED", "FAIL", None),
        ("export", "RUNNING", None, "the run stopped at stage export, which is running; read its log in Airflow"),
        ("export", "FAILED", None, "stage export failed: it left no reason; read its log in Airflow"),
        ("report", "RUNNING", "PASS", None),
    ],
)
def test_a_stage_that_never_finished_breaks_a_run(
    name: str, status: Status, verdict: str | None, error: str | None
) -> None:
    """A stage killed or never reached is an error, except a registration that the gate refused."""
    run = passing_run()
    stages = tuple(replace(stage, status=status) if stage.name == name else stage for stage in run.stages)
    gate = gate_result() | {"verdict": verdict} if verdict else None
    assert error_of(replace(run, stages=stages, gate=gate)) == error


def test_a_file_that_the_report_could_not_get_breaks_no_night() -> None:
    """Page and summary say what is missing; the night is what its stages and its gate say."""
    line = "load_test.json of stage load_test could not be read: MLflow does not answer"
    run = replace(passing_run(), load_test=None, unread=[line])
    assert error_of(run) is None
    assert (summarise(run)["verdict"], summarise(run)["unread"]) == ("PASS", [line])
    assert "Load_test.json of stage load_test could not be read" in Page(render(run)).text


def test_a_verdict_that_the_report_could_not_get_is_undecided() -> None:
    """Without gate.json of a gate that finished the night did not break, and the page says why it has no verdict."""
    line = "gate.json of stage gate could not be read: MLflow does not answer"
    run = replace(passing_run(), gate=None, unread=[line])
    assert error_of(run) is None
    assert (summarise(run)["verdict"], summarise(run)["error"]) == ("UNDECIDED", None)
    text = Page(render(run)).text
    assert "The measurements do not decide" in text
    assert "Gate.json of stage gate could not be read" in text


def test_a_run_that_broke_at_once_has_a_page() -> None:
    """A run without any stage, data or measurement still renders."""
    run = replace(broken_run(), stages=(), data=None, environment={}, mlflow_url="")
    assert "the gate gave no verdict" in Page(render(run)).text.lower()


def test_a_measurement_that_cannot_be_trusted_is_left_out() -> None:
    """A NaN in the evaluation costs the pictures of it, not the page or the summary."""
    raw = evaluation()
    raw["teacher"]["latency_ms"]["p10"] = float("nan")
    run = replace(broken_run(), evaluation=raw)
    assert "No measurements" in Page(render(run)).text
    assert summarise(run)["teacher"] is None


def test_odd_but_legal_runs_are_drawn() -> None:
    """Empty classes, many classes, missing step sizes and no repeats do not stop the report."""
    raw = evaluation() | {"latency_ratios": []}
    raw["classes"] = {
        "labels": [f"c{n}" for n in range(40)],
        "teacher": [None, *[0.9] * 39],
        "student": [0.5, float("nan"), *[0.8] * 38],
        "count": [0, *[3] * 39],
    }
    stages = tuple(replace(stage, metrics={}) for stage in passing_run().stages)
    text = Page(render(replace(passing_run(), evaluation=raw, stages=stages))).text
    assert "the worst 30 of 40" in text
    assert "no step recorded its size and accuracy" in text
    assert text.count("(n = 3)") == MOST_CLASSES


def test_the_summary_of_a_whole_run() -> None:
    """The summary holds the documented fields: quality on the gate split, p10 latency, exact bytes."""
    summary = summarise(passing_run())
    student = {
        "quality": 0.929,
        "quality_interval": [0.9222, 0.9352],
        "bytes": 65244,
        "bytes_interval": [65244, 65244],
        "latency_ms": 0.1164,
        "latency_ms_interval": [0.1151, 0.1189],
        "zstd_bytes": 65_257,
        "unpacked_bytes": 71_630,
        "unpack_ms": 4.41,
        "load_ms": 12.4,
        "peak_bytes": 11_505_664,
        "cpu_seconds_per_1000": 0.119,
    }
    assert summary["student"] == student
    assert summary["difference"] == {
        "value": -0.0044,
        "interval": [-0.00776, -0.00109],
        "lower_bound": -0.00776,
        "mcnemar_p": 0.0352,
        "discordant": [61, 39],
        "churn": 0.0412,
    }
    assert summary["ratios"] == {
        "quality": 0.9953,
        "quality_interval": [0.9917, 0.9989],
        "bytes": 71.29,
        "bytes_interval": [71.29, 71.29],
        "latency": 10.58,
        "latency_interval": [10.31, 10.79],
    }
    assert (summary["schema"], summary["verdict"], summary["error"]) == (3, "PASS", None)
    assert [check["name"] for check in summary["checks"]] == ["quality", "bytes", "latency", "parity"]
    assert summary["reused"] == ["pull", "validate"]
    assert summary["stage_seconds"]["teacher"] == pytest.approx(331.0)
    assert "report" not in summary["stage_seconds"]
    assert summary["dag_seconds"] == pytest.approx(742.3)
    assert summary["mlflow"]["version"] == "3"


def test_report_and_summary_say_how_it_stands_to_production() -> None:
    """A student that was put beside the champion is shown with intervals; so is what makes the champion stale."""
    run = replace(
        passing_run(), comparison=against(0.004, fewer=1.25), stale=["its teacher is of run a"], load_test=LOAD
    )
    summary = summarise(run)
    assert summary["champion"] == {
        "version": "1",
        "value": 0.014,
        "interval": [0.004, 0.024],
        "churn": 0.02,
        "bytes": 1.25,
        "latency": 1.0,
        "latency_interval": [0.98, 1.02],
        "better": ["quality", "bytes"],
    }
    assert summary["load_test"]["max_rate"] == {"one_core": 950.0, "all_cores": 1500.0}
    assert summary["stale"] == ["its teacher is of run a"]
    text = Page(render(run)).text
    assert "Version 1 of production and this student" in text
    assert "within 1.1 ms and 99 of 100 within 4.2 ms; 0 were lost. At most it answers 950 a second on one" in text
    assert "quality, bytes is better beyond doubt" in text
    assert "What is in production is stale : its teacher is of run a." in text
    nothing = Page(render(replace(run, comparison=against(-0.1)))).text
    assert "nothing is better beyond doubt. A candidate that is better on nothing is kept, not offered." in nothing
    assert "Nothing is in production yet." in Page(render(replace(run, comparison={"champion": None}))).text


def test_the_final_test_stands_apart_from_what_decided() -> None:
    """Numbers of the test split are in `final_test` only, with which opening it was; `looks` counts over all nights."""
    summary = summarise(passing_run())
    assert summary["final_test"] == {
        "teacher": 0.9312,
        "teacher_interval": [0.9262, 0.936],
        "student": 0.9251,
        "student_interval": [0.9198, 0.93],
        "ratio": 0.9934,
        "ratio_interval": [0.9909, 0.9961],
        "difference": summary["difference"]
        | {
            "value": -0.0061,
            "interval": [-0.00883, -0.00339],
            "lower_bound": -0.00883,
            "mcnemar_p": 0.000253,
            "discordant": [166, 105],
            "churn": 0.0455,
        },
        "opening": 2,
    }
    assert summary["looks"] == {"validation": 31, "gate": 12, "test": 2}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"skipped": "the verdict is FAIL, so the test split stays closed"}, "No final test: the verdict is FAIL,"),
        ({"opened": {"teacher": 1}}, "No final test: what it wrote cannot be trusted."),
        (None, "No final test: the run did not come that far."),
    ],
)
def test_a_report_without_a_final_test_says_why(written: dict[str, Any] | None, said: str) -> None:
    """A verdict other than PASS, a damaged file and a stopped run each leave a sentence, and no number of the split."""
    run = replace(passing_run(), final_test=written)
    text = Page(render(run)).text
    assert said in text
    assert "On the test split" not in text
    assert summarise(run)["final_test"] is None


def test_the_report_says_how_often_the_splits_were_looked_at(html: str) -> None:
    """A person sees that the test split was opened for this student, and how worn each split is."""
    text = Page(html).text
    assert "It was opening number 2 of that split." in text
    assert (
        "test split was opened twice, the gate split was looked at 12 times and the validation split 31 times." in text
    )


def test_the_summary_of_a_broken_run() -> None:
    """A run that broke before its gate is UNDECIDED, with the sentence and without a version."""
    summary = summarise(broken_run())
    assert summary["verdict"] == "UNDECIDED"
    assert summary["error"] == "stage step_2_prune_structured failed: the loss became NaN <b>here</b>"
    assert (summary["checks"], summary["teacher"], summary["ratios"]) == ([], None, None)
    assert summary["mlflow"] == {
        "run_id": "8c1f0a7be6de4d0f9f1b2a6d0f4f7c11",
        "model": None,
        "version": None,
        "alias": None,
    }


def test_the_documentation_names_every_field() -> None:
    """docs/summary.md describes each field of a summary."""
    document = (Path(__file__).parent.parent / "docs" / "summary.md").read_text(encoding="utf-8")
    summary: dict[str, Any] = summarise(passing_run())
    fields = [
        *summary,
        *summary["mlflow"],
        *summary["checks"][0],
        *summary["difference"],
        *summary["final_test"],
        *summary["looks"],
        *Against.model_fields,
        *LOAD,
        "latency",
    ]
    fields += [name for name in summary["student"] if not name.endswith("_interval")]
    assert [name for name in fields if f"`{name}`" not in document] == []


def test_a_report_fills_its_folder_and_moves_latest(tmp_path: Path) -> None:
    """Both files are whole, nothing is left aside, and `latest` follows the newest run."""
    first = report_stage(passing_run(), tmp_path / "runs" / "first")
    later = replace(broken_run(), ended=STARTED + timedelta(seconds=1))
    second = report_stage(later, tmp_path / "runs" / "second")
    latest = tmp_path / "runs" / "latest"
    assert (latest / "report.html").resolve() == second.resolve()
    assert json.loads((latest / "summary.json").read_text(encoding="utf-8")) == summarise(later)
    assert sorted(path.name for path in first.parent.iterdir()) == ["report.html", "summary.json"]
    assert sorted(path.name for path in latest.parent.iterdir()) == ["first", "latest", "second"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A runs folder that is no folder ends in one sentence with the remedy."""
    (tmp_path / "runs").write_text("in the way", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"report cannot be written to .*runs/first \(.*\); make it writable"):
        report_stage(passing_run(), tmp_path / "runs" / "first")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.99214), "99.21 %"),
        (percent_limit(0.985), "98.5 %"),
        (times(70.13), "70.1×"),  # noqa: RUF001
        (times(0.8), "0.8×"),  # noqa: RUF001
        (times_limit(50.0), "50×"),  # noqa: RUF001
        (times(1234.5), "1234×"),  # noqa: RUF001
        (points(-0.0016), "−0.16"),  # noqa: RUF001
        (points(0.00001), "0.00"),
        (points(0.02), "+2.00"),
        (size(812), "812 B"),
        (size(65_244), "65.2 kB"),
        (size(99_960), "100 kB"),
        (size(4_651_208), "4.65 MB"),
        (mebibytes(13_037_568), "12.4 MiB"),
        (milliseconds(0.11643), "0.116 ms"),
        (milliseconds(12.31), "12.3 ms"),
        (duration(0.42), "0.4 s"),
        (duration(59.7), "1 min 00 s"),
        (duration(742.3), "12 min 22 s"),
        (duration(3900), "1 h 05 min"),
    ],
)
def test_quantities_read_as_people_write_them(shown: str, expected: str) -> None:
    """Numbers carry their unit and three digits or so."""
    assert shown == expected


def test_the_report_says_what_each_step_cost() -> None:
    """The waterfall names every judged step, marks a dropped one, and the reasons stand below it."""
    page = Page(render(passing_run())).text
    assert "What each step cost and saved" in page
    assert "2_prune_structured (dropped)" in page
    assert "dropped: -3.10 points of quality" in page
    assert "What each step cost and saved" not in Page(render(broken_run_before_any_step())).text


def broken_run_before_any_step() -> RunRecord:
    run = broken_run()
    return replace(run, stages=tuple(replace(stage, step=None) for stage in run.stages))
