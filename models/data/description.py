"""Read dataset.json, the description of a dataset, and the column that names each row's split.

Data revisions until commit 30cef8a call a split a role. There, `validation` is `search` and `test` is `sealed`. They
are read under the present names.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


COLUMN = "split"
"""Column of the manifest and of spoken captions."""
OLD_COLUMN = "role"
OLD_NAMES = {"search": "validation", "sealed": "test"}
"""Old name of a split -> present name."""


def describe(folder: Path) -> dict[str, Any]:
    """Read the description of a dataset folder: labels, image shape, splits with their shards.

    Raises:
        OSError: dataset.json cannot be read.
        ValueError: dataset.json is not JSON.
    """
    description: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    if "roles" not in description:
        return description
    renamed = {OLD_NAMES.get(name, name): split for name, split in description["roles"].items()}
    return {("splits" if key == "roles" else key): value for key, value in {**description, "roles": renamed}.items()}


def with_split_names(table: "pa.Table") -> "pa.Table":
    """Return a table whose column of splits has the present name and the present names in it."""
    import pyarrow.compute as pc

    if OLD_COLUMN not in table.column_names or COLUMN in table.column_names:
        return table
    names = [COLUMN if name == OLD_COLUMN else name for name in table.column_names]
    column, old = table.column_names.index(OLD_COLUMN), table[OLD_COLUMN]
    for name, present in OLD_NAMES.items():
        old = pc.if_else(pc.equal(old, name), present, old)
    return table.set_column(column, OLD_COLUMN, old).rename_columns(names)
