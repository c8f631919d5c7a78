"""Pictures and texts below a prefix of a bucket: the same dataset as from a folder, page by page, resumed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bucket_samples import bucket_server, empty_bucket
from import_samples import HEADER_ROWS, import_from, reasons_of, write_csv
from picture_samples import as_bytes, photos, picture

from stillhouse.tasks.data.format.dataset import read_manifest
from stillhouse.tasks.data.importing.sources import bucket as bucket_module
from stillhouse.tasks.errors import DataError, ServiceError


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start an S3 server."""
    with bucket_server() as address:
        yield address


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a client of an empty bucket, which the usual AWS variables lead to."""
    with empty_bucket(server, "stock", monkeypatch) as client:
        yield client


def upload(client: Any, root: Path, prefix: str) -> int:
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
    for path in paths:
        client.put_object(Bucket="stock", Key=f"{prefix}{path.relative_to(root).as_posix()}", Body=path.read_bytes())
    return len(paths)


def rows_of(root: Path, digest: str) -> list[tuple[str, str, int]]:
    rows = read_manifest(root / "state" / "data" / digest)
    return [(row["id"], row["split"], row["label"]) for row in rows]


@pytest.mark.parametrize("address", ["s3://stock/raw/photos", "s3://stock/raw/photos/"])
def test_a_prefix_is_read_like_a_folder(client: Any, tmp_path: Path, address: str) -> None:
    """The rows are those of the folder; objects of a longer name and folders of a console are left out."""
    root = photos(tmp_path / "photos")
    upload(client, root, "raw/photos/")
    client.put_object(Bucket="stock", Key="raw/photos/", Body=b"")
    client.put_object(Bucket="stock", Key="raw/photos2/cat/x.png", Body=as_bytes(picture(5)))
    found, same = import_from(tmp_path, address), import_from(tmp_path, root)
    assert rows_of(tmp_path, found.digest) == rows_of(tmp_path, same.digest)
    assert found.read_as == f"pictures, a folder for each class: 3 classes, 180 files, from {address}"
    assert sorted(path.name for path in (tmp_path / "state/imports/mine").iterdir()) == [".lock", "rejected.csv"]


def test_one_object_is_read_like_a_file(client: Any, tmp_path: Path) -> None:
    """A table in a bucket needs no folder."""
    path = write_csv(tmp_path / "t.csv", [*HEADER_ROWS, ("", "no")])
    client.put_object(Bucket="stock", Key="raw/t.csv", Body=path.read_bytes())
    found = import_from(tmp_path, "s3://stock/raw/t.csv")
    assert found.read_as == "texts from t.csv: column `text`, labels `label`, from s3://stock/raw/t.csv"
    assert list(reasons_of(found)) == ["t.csv:302"]


def test_a_killed_copy_goes_on_page_by_page(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was copied before is not copied again, what changed is, and what is gone is not in the dataset."""
    root = photos(tmp_path / "photos")
    upload(client, root, "p/")
    copied, copy = [], bucket_module.copy_object

    def counted(*given: Any) -> None:
        copied.append(given[3]["Key"])
        if len(copied) == 100:
            raise KeyboardInterrupt
        copy(*given)

    monkeypatch.setattr(bucket_module, "copy_object", counted)
    with pytest.raises(KeyboardInterrupt):
        import_from(tmp_path, "s3://stock/p")
    before = len(list((tmp_path / "state/imports/mine/bucket").rglob("*.png")))
    assert 90 <= before < 180
    client.delete_object(Bucket="stock", Key="p/cat/000.png")
    copied.clear()
    copied.extend([""] * 1_000)
    found = import_from(tmp_path, "s3://stock/p")
    assert len(copied) - 1_000 == 180 - before
    assert sum(found.counts.values()) == 179


@pytest.mark.parametrize("key", ["p/../x.png", "p/cat//x.png", "p/./x.png", f"p/{'x' * 250}.png"])
def test_an_object_that_cannot_be_a_file_is_refused(client: Any, tmp_path: Path, key: str) -> None:
    """No key leads outside of the folder of copies."""
    client.put_object(Bucket="stock", Key=key, Body=b"x")
    with pytest.raises(DataError, match=r"the object 'p/.*' cannot be a file; rename it"):
        import_from(tmp_path, "s3://stock/p")
    assert not list(tmp_path.rglob("*.png"))


def test_an_object_below_an_object_is_refused(client: Any, tmp_path: Path) -> None:
    """A bucket may have both; a folder may not."""
    client.put_object(Bucket="stock", Key="p/a", Body=b"x")
    client.put_object(Bucket="stock", Key="p/a/b", Body=b"x")
    with pytest.raises(
        DataError, match=r"the object 'p/a(/b)?' is below another object or above one; rename one of them"
    ):
        import_from(tmp_path, "s3://stock/p")


@pytest.mark.parametrize(
    ("address", "kind", "sentence"),
    [
        ("s3://stock/nothing", DataError, "s3://stock/nothing has no objects; mend the bucket or the prefix"),
        ("s3://other/p", ServiceError, "s3://other/p cannot be read .*NoSuchBucket.*; check that it exists, AWS_ENDPO"),
        ("s3://", ServiceError, r"s3:// cannot be read .*; check that it exists, AWS_ENDPOINT_URL and the credentials"),
    ],
)
def test_a_bucket_that_has_nothing_is_one_sentence(
    client: Any, tmp_path: Path, address: str, kind: type[Exception], sentence: str
) -> None:
    """An empty prefix, a bucket that does not exist and an address without a bucket are told."""
    assert client
    with pytest.raises(kind, match=sentence) as error:
        import_from(tmp_path, address)
    assert "\n" not in str(error.value)
    assert "very-secret" not in str(error.value)
