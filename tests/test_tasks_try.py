"""`stillhouse predict` of a version that is not what it takes it for: one sentence, whoever registered it."""

import pytest
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, registered

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.registry.versions import CHAMPION, DIGEST, production_of
from stillhouse.tasks.serving.predict import fetch_registered
from stillhouse.tasks.settings import load_settings


@pytest.mark.parametrize("model", [MODEL, production_of(MODEL)])
@pytest.mark.parametrize("digest", [None, "", "../../elsewhere", "abc", "0" * 63, "z" * 64])
def test_a_version_of_someone_else_is_named(client: MlflowClient, model: str, digest: str | None) -> None:
    """A candidate or champion without a digest of Stillhouse, or with no digest in its place, ends in a sentence."""
    registered(client, 1)
    if digest is None:
        client.delete_model_version_tag(MODEL, "1", DIGEST)
    else:
        client.set_model_version_tag(MODEL, "1", DIGEST, digest)
    if model != MODEL:
        client.copy_model_version(f"models:/{MODEL}/1", model)
        client.set_registered_model_alias(model, CHAMPION, "1")
    with pytest.raises(StillhouseError, match=rf"^{model} version 1 was not registered by Stillhouse: .*; run `make"):
        fetch_registered(load_settings(), MODEL)
    assert not (load_settings().state / "shared").exists()


def test_a_version_from_before_bundles_is_named(client: MlflowClient) -> None:
    """A version that is one file has no bundle to open; the sentence says how it is asked."""
    registered(client, 1)
    with pytest.raises(StillhouseError, match=r"is one file from before there were bundles; ask it through"):
        fetch_registered(load_settings(), MODEL)
    assert not [*(load_settings().state / "shared" / "models").iterdir()]


def test_a_model_that_nobody_registered_is_named(client: MlflowClient) -> None:
    """Without a version the sentence says how to get one."""
    assert client.search_registered_models() == []
    with pytest.raises(StillhouseError, match=r"^no version of tiny is registered; run `make run RECIPE=tiny` first$"):
        fetch_registered(load_settings(), MODEL)
