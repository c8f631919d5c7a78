"""Which module of ours imports which: all arrows, also those for types alone and those inside functions."""

from graphlib import TopologicalSorter

import grimp


def test_no_import_closes_a_circle() -> None:
    """Of all modules of ours, none imports itself by way of others."""
    graph = grimp.build_graph("stillhouse", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert "stillhouse.tasks.pipeline.run_stage" in imports
    assert "stillhouse.models.training.checkpoint" in imports["stillhouse.models.compression.quantization.requantize"]
    TopologicalSorter(imports).prepare()
