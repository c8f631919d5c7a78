"""Which module of ours imports which: all arrows, also those for types alone and those inside functions."""

from graphlib import TopologicalSorter

import grimp


def test_no_import_closes_a_circle() -> None:
    """Of all modules of ours, none imports itself by way of others."""
    graph = grimp.build_graph("dags", "tasks", "models", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert "tasks.stage" in imports
    assert "models.checkpoint" in imports["models.compression.requantize"]
    TopologicalSorter(imports).prepare()
