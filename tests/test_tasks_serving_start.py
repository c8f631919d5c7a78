"""What the start of a model server does once, and what it leaves out."""

import lzma
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from registry_samples import onnx_file, registered_bundle

from stillhouse.models.onnx.packing import pack
from stillhouse.models.runtime.bundle import open_bundle, write_bundle
from stillhouse.tasks.artifacts.student_file import TO_SERVE
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import production_of, shippable, version_of
from stillhouse.tasks.serving.open_version import open_served
from stillhouse.tasks.tracking.answers import AbsentError, download_model

MODEL = "tiny"
PRODUCTION = production_of(MODEL)


@pytest.fixture
def champion(client: MlflowClient, tmp_path: Path) -> MlflowClient:
    """Promote a packed student, as a night logs it."""
    packed = pack(onnx_file(tmp_path / "model.onnx", 1))
    (tmp_path / "student").mkdir()
    shipped = packed.rename(tmp_path / "student" / packed.name)
    write_bundle(shipped.parent, "image_classification", {"model": [shipped]}, labels=["cat", "dog", "bird"])
    registered_bundle(client, MODEL, open_bundle(shipped.parent))
    promote(MODEL, Decision("ann", "better"))
    return client


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_server_downloads_only_what_it_reads(champion: MlflowClient) -> None:
    """The copy of our code beside the bundle, which has hundreds of files, is left out. The bundle is verified."""
    version = version_of(champion, PRODUCTION, "1")
    with shippable(version, TO_SERVE) as folder:
        served = files_of(folder)
    with shippable(version) as folder:
        whole = files_of(folder)
    assert served == {"MLmodel", "artifacts/bundle/bundle.json", "artifacts/bundle/model.onnx.xz"}
    assert served < whole
    assert len([name for name in whole if name.startswith("code/")]) > 100


def test_a_model_without_the_asked_parts_is_absent(champion: MlflowClient, tmp_path: Path) -> None:
    """A model of which MLflow lists no asked part is not taken for a whole one."""
    del champion
    with pytest.raises(AbsentError, match="there is no file in"):
        download_model(f"models:/{PRODUCTION}/1", tmp_path, ("no such file",))


def test_a_packed_file_is_unpacked_once(champion: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe, the opset, the signature and the answers read one unpacked file."""
    started: list[object] = []
    decompressor = lzma.LZMADecompressor

    def start(*options: int) -> lzma.LZMADecompressor:
        started.append(options)
        return decompressor(*options)

    monkeypatch.setattr(lzma, "LZMADecompressor", start)
    served = open_served(version_of(champion, PRODUCTION, "1"))
    assert len(started) == 1
    assert served.answer("pixels", [[[[9, 200], [30, 4]]]])[0]["label"] in {"cat", "dog", "bird"}
