"""From a passed gate to a moved champion, killed on the way: one version, one audit row, the aliases right."""

import itertools
from collections.abc import Iterator

import pytest
from registry_samples import killed_at_call
from tiny_house import House, tiny_house

from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.provenance.verify import verify
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import CANDIDATE, CHAMPION, find_aliased, production_of
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import experiment_of

pytestmark = pytest.mark.long
KEY, MODEL = "test/night", "tiny"
PRODUCTION = production_of(MODEL)
STRIDE = 3
POINTS = 10
"""The least to be walked."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[House]:
    """A night whose gate has passed, and that has registered nothing yet."""
    with tiny_house(tmp_path_factory.mktemp("house"), registry) as house:
        house.run(KEY, until="final_test")
        yield house


def from_gate_to_champion(house: House) -> None:
    run_stage(house.recipe, "register", KEY)
    promote(MODEL, Decision("ann", "it passed"))


def forget(house: House) -> None:
    """Empty registry and audit."""
    client = connect(house.settings.tracking_uri)
    for name in (MODEL, PRODUCTION):
        client.delete_registered_model(name)
    for run in client.search_runs([experiment_of(client, audit.EXPERIMENT)]):
        client.delete_run(run.info.run_id)


def test_killed_at_any_point_it_is_registered_and_promoted_once(house: House) -> None:
    """Killed before or after its calls to the server, the second attempt ends as an undisturbed one would."""
    client, walked = connect(house.settings.tracking_uri), 0
    for number in itertools.count(1, STRIDE):
        killed = killed_at_call(number, lambda: from_gate_to_champion(house), after=number % 2 == 1)
        from_gate_to_champion(house)
        versions = {model: client.search_model_versions(f"name = '{model}'") for model in (MODEL, PRODUCTION)}
        assert {model: [str(v.version) for v in found] for model, found in versions.items()} == {
            MODEL: ["1"],
            PRODUCTION: ["1"],
        }, number
        assert (find_aliased(client, MODEL, CANDIDATE), find_aliased(client, PRODUCTION, CHAMPION)) == ("1", "1")
        assert [(row.action, row.after) for row in audit.rows_of(client, PRODUCTION)] == [("promote", "1")]
        assert [fault for _, fault in verify(MODEL, "1")] == [None, None, None]
        forget(house)
        if not killed:
            break
        walked += 1
    assert walked >= POINTS
