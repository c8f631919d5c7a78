"""The report of a climb: the verdict, the Pareto picture, and a table of the rungs. One page, no script, no network."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from stillhouse.tasks.ladder.climb import Ladder
from stillhouse.tasks.ladder.picture import draw_points
from stillhouse.tasks.ladder.verdict import Point, is_best
from stillhouse.tasks.reporting.report_page import load_templates
from stillhouse.tasks.targets.send_out import SentOut


def render(  # noqa: PLR0913, PLR0917 - what the page shows
    name: str,
    ladder: Ladder,
    points: Sequence[Point],
    best: Point,
    verdict: str,
    skipped: Sequence[tuple[str, str]],
    there: SentOut | None = None,
) -> str:
    """Return the whole page. All shown text is escaped."""
    return (
        load_templates(Path(__file__).parent)
        .get_template("ladder.html")
        .render(
            name=name,
            goals=ladder.goals,
            about=ladder.about,
            points=points,
            best=best,
            pareto=[is_best(point, points) for point in points],
            verdict=verdict,
            skipped=skipped,
            there=there,
            picture=Markup(draw_points(points, ladder.goals)),  # noqa: S704 - our own SVG, its texts escaped
        )
    )
