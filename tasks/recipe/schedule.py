"""The schedule of a recipe: a cron expression that Airflow's own cron library can read and that fires at some time."""

from datetime import UTC, datetime

from croniter import croniter

FIELDS = 5
MOST_CHARACTERS = 100
PRESETS = {"@quarterly": "0 0 1 */3 *"}
"""Presets that Airflow knows and croniter does not know."""
REMEDY = 'write minute, hour, day, month and weekday as "0 2 * * *", a preset as "@daily", or null for by hand only'


def check_schedule(expression: str) -> str:
    """Return the expression if there is a time at which it fires.

    Raises:
        ValueError: the expression is neither five cron fields nor a preset, is random, or never fires. The message says
            the remedy.
    """
    fields = expression.lower().split()
    if len(expression) > MOST_CHARACTERS or not fields or len(fields) != (1 if fields[0].startswith("@") else FIELDS):
        msg = f"{expression[:MOST_CHARACTERS]!r} has no five fields and is no preset; {REMEDY}"
        raise ValueError(msg)
    if any(field.startswith(("h", "r")) for field in fields):
        msg = f"{expression!r} leaves a field to chance; {REMEDY}"
        raise ValueError(msg)
    try:
        croniter(PRESETS.get(expression, expression), datetime.now(UTC)).get_next(datetime)
    except Exception as error:  # croniter's own errors and, for some input, AttributeError or IndexError
        msg = f"{expression!r} never fires ({error}); {REMEDY}"
        raise ValueError(msg) from error
    return expression
