"""The benchmark of the speed oracle: nodes are taken out of the runtime's graphs, and what was said is judged."""

from pathlib import Path

import pytest

from benchmarks.optimized_nodes import references
from benchmarks.speed_oracle import judge, make, say
from stillhouse.models.inspection.layers import layers_of
from stillhouse.models.inspection.source import find_source
from stillhouse.models.inspection.speed import products_of


@pytest.mark.parametrize(
    ("said", "ratio", "verdict"),
    [
        ("faster", 2.0, "hit"),
        ("slower", 0.9, "hit"),
        ("faster", 0.9, "miss"),
        ("slower", 1.2, "miss"),
        ("no difference", 1.2, "miss"),
        ("slower", 1.04, "tie"),
        ("no difference", 0.96, "tie"),
    ],
)
def test_what_was_said_is_judged_by_the_measurement(said: str, ratio: float, verdict: str) -> None:
    """A ratio near 1 is a tie; otherwise only the right word is a hit."""
    assert judge(said, ratio) == verdict


def test_the_shares_are_told() -> None:
    """Ties count for neither side, and `slower` has a share of its own."""
    rows = [("slower", 0.5), ("faster", 2.0), ("no difference", 3.0), ("slower", 1.5), ("faster", 1.01)]
    one = {"kind": "linear", "shape": [8, 8]}
    found = [one | {"oracle": said, "measured": ratio, "verdict": judge(said, ratio)} for said, ratio in rows]
    assert say(found) == (
        "5 shapes, 1 of them distinct: 2 hits, 2 misses, 1 ties; slower or not is right in 3 of 4 (75.0%); "
        "'slower' is right in 1 of 2, and names 1 of 1"
    )


def test_every_shape_of_the_oracle_has_a_node_in_both_graphs(tmp_path: Path) -> None:
    """Each node runs alone in the runtime's own layout, and in int8 it is an integer operator."""
    files = make("separable", tmp_path)
    found = references(files)
    assert set(found) == {(each.kind, each.shape) for each in products_of(layers_of(find_source(files["fp32"])))}
    for (kind, _), parts in found.items():
        for part in parts:
            part.open()()
        operators = [part.model.graph.node[0].op_type for part in parts]
        assert operators == (["Gemm", "DynamicQuantizeMatMul"] if kind == "linear" else ["Conv", "QLinearConv"])
