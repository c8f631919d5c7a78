"""`stillhouse gc`: a part of tasks/cli/main.py."""

from typing import Annotated

import typer

from stillhouse.tasks.settings import load_settings

app = typer.Typer()


@app.command()
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Delete it. Otherwise the command only says it.")] = False,
    days: Annotated[int, typer.Option(min=1, help="Everything younger than this many days stays.")] = 30,
    most_gigabytes: Annotated[
        float | None,
        typer.Option(min=0, help="If more than this would be left, older nights go too, but none of the last day."),
    ] = None,
) -> None:
    """Delete what no champion, no promoted version, no recent night and no row of the audit needs."""
    from stillhouse.tasks.retention.collect import collect, refuse_too_large, table

    most = None if most_gigabytes is None else int(most_gigabytes * 1e9)
    found = collect(load_settings(), days=days, most_bytes=most, really=delete)
    print("\n".join([*table(found), *found.notes]))
    left = f"{(found.before - found.bytes) / 1e6:,.1f} of {found.before / 1e6:,.1f} MB"
    print(f"deleted; {left} are left" if delete else f"nothing was deleted; {left} stay with `stillhouse gc --delete`")
    if most is not None:
        refuse_too_large(found, most)
