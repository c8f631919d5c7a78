"""`stillhouse refresh`: raw files that landed become a new data version; a part of tasks/cli/main.py."""

import typer

from stillhouse.tasks.cli.stack import say
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.settings import load_settings

app = typer.Typer()


@app.command()
def refresh(dataset: str) -> None:
    """Check what landed for a dataset and make a new data version of each sound batch."""
    from stillhouse.tasks.data.ingest.refresh import refresh as take

    states = []
    for outcome in take(load_settings(), dataset, say):
        say(f"{outcome.batch}: {outcome.state}: {outcome.sentence}")
        states.append(outcome.state)
    if not states:
        say(f"nothing landed for {dataset}")
    if refused := states.count("quarantined"):
        msg = (
            f"{refused} of {len(states)} batches of {dataset} went to quarantine; mend what reason.txt beside them says"
        )
        raise StillhouseError(msg)
