"""`stillhouse promote | rollback | resign | audit | verify | reproduce | serve`: a part of tasks/cli/main.py."""

import getpass
import sys
from typing import Annotated

import typer

from stillhouse.tasks.errors import StillhouseError

app = typer.Typer()
Model = Annotated[str, typer.Argument(help="Name of a registered model, such as seed_digits.")]
Version = Annotated[str, typer.Argument(help="Number of the version.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
Why = Annotated[str, typer.Option(help="Goes into the audit.")]


@app.command()
def promote(
    model: Model,
    version: Annotated[str | None, typer.Option(help="Of that model; default: the candidate.")] = None,
    why: Why = "promoted on the command line",
    yes: Yes = False,
) -> None:
    """Make a registered version the champion of production."""
    from stillhouse.tasks.registry.promote import Decision
    from stillhouse.tasks.registry.promote import promote as move

    _confirm(f"Promote {model} {f'version {version}' if version else 'the candidate'}?", yes=yes)
    print(move(model, Decision(getpass.getuser(), why), version))


@app.command()
def rollback(
    model: Model,
    row: Annotated[int | None, typer.Option(help="Row of the audit to reverse; default: the last move.")] = None,
    why: Why = "rolled back on the command line",
    yes: Yes = False,
) -> None:
    """Make the previous champion the champion again."""
    from stillhouse.tasks.registry.promote import Decision
    from stillhouse.tasks.registry.promote import rollback as move_back

    _confirm(f"Roll {model} back?", yes=yes)
    print(move_back(model, Decision(getpass.getuser(), why), row))


@app.command()
def resign(
    model: Model,
    version: Version,
    why: Annotated[str, typer.Option(help="Goes into the audit, such as how the key was lost.")],
    yes: Yes = False,
) -> None:
    """Sign a version again if its signing key was lost and its file and nightly run in MLflow agree."""
    from stillhouse.tasks.provenance.resign import resign as sign_anew
    from stillhouse.tasks.registry.promote import Decision

    if not why.strip():
        msg = "the audit needs a reason; say --why 'how the key was lost'"
        raise StillhouseError(msg)
    _confirm(f"Sign {model} version {version} anew, though its signature cannot be verified?", yes=yes)
    print(sign_anew(model, version, Decision(getpass.getuser(), why)))


@app.command()
def audit(model: Model) -> None:
    """Show the history of a model in production, and check that nobody changed it."""
    from stillhouse.tasks.registry.approval import audit_lines

    print("\n".join(audit_lines(model)) or f"nothing of {model} was ever in production")


@app.command()
def verify(model: Model, version: Version) -> None:
    """Check a version against its provenance record, and check that the record and the audit are unchanged."""
    from stillhouse.tasks.provenance.verify import verify as checks

    found = list(checks(model, version))
    for name, fault in found:
        print(f"{'FAIL' if fault else 'ok  '}  {name}{f': {fault}' if fault else ''}")
    if faults := sum(fault is not None for _, fault in found):
        msg = f"{model} version {version} fails {faults} of {len(found)} checks; do not serve it"
        raise StillhouseError(msg)


@app.command()
def reproduce(model: Model, version: Version) -> None:
    """Build a version again from its data version, code and recipe, and say whether it is equal or what differs."""
    from stillhouse.tasks.cli.stack import say
    from stillhouse.tasks.provenance.reproduce import reproduce as rebuild

    found = rebuild(model, version, say)
    print("\n".join(found.lines))
    if not found.equal:
        msg = f"{model} version {version} was rebuilt and is not equal: the first stage that differs is {found.first}"
        raise StillhouseError(msg)
    print(f"{model} version {version} was rebuilt: equal, byte for byte")


@app.command()
def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: one that is free.")] = 8500,
    processes: Annotated[int, typer.Option(min=1, help="Each answers on one thread.")] = 1,
) -> None:
    """Serve the champion of production over HTTP. After a promotion or rollback, serve the new champion."""
    from stillhouse.tasks.cli.stack import say
    from stillhouse.tasks.serving.server import run_server

    run_server(model, host, port, processes, say)


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        msg = "nobody is there to ask; say --yes"
        raise StillhouseError(msg)
    if not yes and not typer.confirm(question):
        msg = "nothing was changed"
        raise StillhouseError(msg)
