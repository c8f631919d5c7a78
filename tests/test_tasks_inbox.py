"""Where raw files land: a folder and a bucket answer the same questions, and one that does not answer is named."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bucket_samples import bucket_server, empty_bucket
from inbox_samples import at, batch_of, ingest_all, make_house_with_inbox, new_digits, send, send_digits, tags

from stillhouse.tasks.data.ingest.inbox import CONTENTS, Bucket, Folder, Inbox, open_inbox
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PLACE = "s3://inbox/raw/files"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start an S3 server."""
    with bucket_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a client of an empty bucket, which the usual AWS variables lead to."""
    with empty_bucket(server, "inbox", monkeypatch) as client:
        yield client


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Inbox:
    """Each kind of inbox place, empty."""
    if request.param == "folder":
        return Folder(tmp_path / "inbox")
    request.getfixturevalue("bucket")
    return Bucket(PLACE)


def test_files_are_put_found_fetched_and_moved(place: Inbox, tmp_path: Path) -> None:
    """Both kinds of places do the same with files, whatever their names hold, and nothing of what is gone."""
    assert place.keys("incoming/") == []
    names = [f"incoming/digits/a b+ü/{name}" for name in ("1 (2).png", "é=@,.png", "batch.json")]
    for name in names:
        place.put(name, name.encode())
    place.put(names[0], b"again")
    place.put("incoming2/other", b"")
    assert place.keys("incoming/") == sorted(names)
    place.fetch(names[0], tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"again"
    for name in names:
        place.rename(name, name.replace("incoming", "accepted"))
    assert place.keys("incoming/") == []
    assert place.keys("accepted/") == sorted(name.replace("incoming", "accepted") for name in names)
    place.delete("incoming2/other")
    place.delete("incoming2/other")
    assert place.keys("incoming2/") == []


def test_a_file_that_is_gone_ends_in_a_sentence(place: Inbox, tmp_path: Path) -> None:
    """A file that somebody took away meanwhile is no crash."""
    with pytest.raises(ServiceError, match=r"the inbox place .* cannot be used .*; check STILLHOUSE_INBOX"):
        place.fetch("incoming/digits/gone/batch.json", tmp_path / "copy")


@pytest.fixture
def house(tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose digits lack sixty, and whose raw files land in the bucket."""
    del bucket
    settings = make_house_with_inbox(tmp_path / "house", monkeypatch)
    monkeypatch.setenv("STILLHOUSE_INBOX", PLACE)
    return settings


def test_batches_land_in_a_bucket(house: Settings, bucket: Any) -> None:
    """A sound, a half-uploaded and an unfinished batch of a bucket come to what they would in a folder."""
    files, entries = batch_of(new_digits())
    send_digits(house, "a", new_digits())
    send(house, "b", files | {"003.png": files["003.png"][:40]}, entries)
    open_inbox(house).put("incoming/digits/c/000.png", files["000.png"])
    bucket.put_object(Bucket="inbox", Key="raw/files/incoming/digits/")  # what some tools make for a folder
    outcomes = ingest_all(house)
    assert [(each.batch, each.state) for each in outcomes] == [
        ("a", "accepted"),
        ("b", "quarantined"),
        ("c", "still arriving"),
    ]
    assert "003.png is half-uploaded or altered" in outcomes[1].sentence
    assert tags(house) == [outcomes[0].tag]
    assert at(house, "incoming") == ["digits/c/000.png"]
    assert (len(at(house, "accepted/digits/a")), len(at(house, "quarantine/digits/b"))) == (61, 62)


LONG = pytest.mark.long


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("nth", [1, pytest.param(30, marks=LONG), 61, pytest.param(62, marks=LONG)])
def test_a_move_that_was_killed_is_finished(house: Settings, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """Killed between copy and delete of any file, or before the note is dropped, a rerun finishes the move."""
    send_digits(house, "monday", new_digits())
    calls, real = 0, Bucket.delete

    def delete(self: Bucket, key: str) -> None:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise KilledError
        real(self, key)

    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "delete", delete)
        with pytest.raises(KilledError):
            ingest_all(house)
    assert [each.state for each in ingest_all(house)] == ["accepted"]
    assert (at(house, "incoming"), at(house, "moving"), len(tags(house))) == ([], [], 1)
    assert f"digits/monday/{CONTENTS}" in at(house, "accepted")
    assert len(at(house, "accepted")) == 61


def test_a_bucket_that_does_not_answer_is_named(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing bucket and a dead endpoint end in a sentence without credentials, and a folder that is a file, too."""
    monkeypatch.setenv("STILLHOUSE_INBOX", "s3://nowhere")
    with pytest.raises(ServiceError, match=r"the inbox place s3://nowhere cannot be used .*NoSuchBucket"):
        ingest_all(house)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ServiceError, match=r"cannot be used .*AWS_ENDPOINT_URL and the credentials") as caught:
        ingest_all(house)
    assert "very-secret" not in str(caught.value)


@pytest.mark.long
def test_the_command_line_says_a_line_for_each_batch(house: Settings) -> None:
    """`stillhouse data ingest` tells what became of each batch, and fails with a sentence if one was set aside."""
    send_digits(house, "a", new_digits())
    send(house, "b", {}, b"{}")
    call = [sys.executable, "-m", "stillhouse.tasks.cli", "data", "ingest", "digits"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(call, check=False, capture_output=True, text=True, env=environment, cwd=house.root)
    lines = done.stdout.splitlines()
    assert "digits: fetching 60 files of a" in lines
    assert any(line.startswith("a: accepted: 60 new, 0 known, version ") for line in lines)
    assert any(line.startswith("b: quarantined: digits batch b: batch.json does not fit") for line in lines)
    assert (done.returncode, done.stderr) == (
        1,
        "stillhouse: 1 of 2 batches of digits went to quarantine; mend what reason.txt beside them says\n",
    )
    again = subprocess.run(call, check=False, capture_output=True, text=True, env=environment, cwd=house.root)
    assert (again.returncode, again.stdout) == (0, "nothing landed for digits\n")
