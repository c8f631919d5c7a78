"""What git is believed about: the code's own commit, and nothing of a repository around it; its reasons are told."""

import logging
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from data_samples import git as call

from stillhouse.tasks.artifacts.code_version import code_version, unpack_code
from stillhouse.tasks.data.store import git as asking
from stillhouse.tasks.data.store.data_branch import base_of, find_newest_md5, find_newest_tag
from stillhouse.tasks.data.store.revision import read_committed, read_pinned_md5, revision_of
from stillhouse.tasks.errors import DataError, StillhouseError

MD5 = f"{'0' * 32}.dir"
POINTER = f"outs:\n- md5: {MD5}\n  path: data/digits\n"
DIGESTED = r"source-[0-9a-f]{12}"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a checkout with a commit: a module, a recipe, and a data.dvc."""
    for name in (*asking.ELSEWHERE, "GIT_TEST_ASSUME_DIFFERENT_OWNER"):
        monkeypatch.delenv(name, raising=False)
    return committed(unpacked(tmp_path / "house"))


def unpacked(root: Path) -> Path:
    """Put the files there, as a tarball does."""
    for name in ("tasks/a.py", "models/b.py", "dags/recipes/tiny.yaml"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(f"# {name}\n", encoding="utf-8")
    (root / "data.dvc").write_text(POINTER, encoding="utf-8")
    (root / ".gitignore").write_text("scratch_*\n", encoding="utf-8")
    return root


def committed(root: Path) -> Path:
    """Make a repository of a folder, with all its files in its first commit."""
    root.mkdir(exist_ok=True)
    call(root, "init", "--quiet")
    call(root, "add", ".")
    call(root, "commit", "--quiet", "--allow-empty", "--message", "first")
    return root


def head(root: Path) -> str:
    """Name the commit that is checked out."""
    found = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def foreign(house: Path) -> Path:
    return committed(house.parent / "foreign")


def write(name: str) -> Callable[[Path, pytest.MonkeyPatch], Path]:
    """Make a change that writes one file."""

    def change(house: Path, _patch: pytest.MonkeyPatch) -> Path:
        (house / name).write_text("changed", encoding="utf-8")
        return house

    return change


def variable(name: str, value: Callable[[Path], str]) -> Callable[[Path, pytest.MonkeyPatch], Path]:
    """Make a change that sets a variable."""

    def change(house: Path, patch: pytest.MonkeyPatch) -> Path:
        patch.setenv(name, value(house))
        return house

    return change


def broken(house: Path, _patch: pytest.MonkeyPatch) -> Path:
    (house / ".git" / "config").write_text("[core", encoding="utf-8")
    return house


def no_git(house: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.setenv("PATH", str(house))
    return house


def slow_git(house: Path, patch: pytest.MonkeyPatch) -> Path:
    (tool := house.parent / "bin" / "git").parent.mkdir()
    tool.write_text("#!/bin/sh\nexec sleep 5\n", encoding="ascii")
    tool.chmod(0o755)
    patch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    patch.setattr(asking, "SECONDS", 0.1)
    return house


def other_owner(house: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    return house


def without_git(house: Path, _patch: pytest.MonkeyPatch) -> Path:
    shutil.rmtree(house / ".git")
    return house


CHANGES: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], Path], str]] = {
    "nothing": (lambda house, _: house, "COMMIT"),
    "a module changed": (write("tasks/a.py"), "COMMIT-dirty"),
    "a module that git does not track": (write("tasks/new.py"), "COMMIT-dirty"),
    "a module that git ignores": (write("models/scratch_new.py"), "COMMIT-dirty"),
    "a recipe of one's own": (write("dags/recipes/mine.yaml"), "COMMIT"),
    "a note of one's own": (write("notes.txt"), "COMMIT"),
    "GIT_DIR of another repository": (variable("GIT_DIR", lambda house: str(foreign(house) / ".git")), "COMMIT"),
    "GIT_DIR of nothing": (variable("GIT_DIR", lambda _: "/nowhere"), "COMMIT"),
    "GIT_WORK_TREE elsewhere": (variable("GIT_WORK_TREE", lambda house: str(foreign(house))), "COMMIT"),
    "GIT_INDEX_FILE elsewhere": (variable("GIT_INDEX_FILE", lambda _: "/nowhere"), "COMMIT"),
    "a German shell": (variable("LANG", lambda _: "de_DE.UTF-8"), "COMMIT"),
    "a folder of a larger repository": (lambda house, _: part_of_large(house), "TOP"),
    "a tarball": (without_git, DIGESTED),
    "a tarball in another repository": (lambda house, _: unpacked(foreign(house) / "unpacked"), DIGESTED),
    "a repository of another owner": (other_owner, DIGESTED),
    "a broken repository": (broken, DIGESTED),
    "a repository without a commit": (lambda house, _: fresh(house), DIGESTED),
    "no git on this machine": (no_git, DIGESTED),
    "a git that hangs": (slow_git, DIGESTED),
}


def part_of_large(house: Path) -> Path:
    part = unpacked(house.parent / "large" / "part")
    committed(part.parent)
    return part


def fresh(house: Path) -> Path:
    shutil.rmtree(house / ".git")
    call(house, "init", "--quiet")
    return house


@pytest.mark.parametrize("case", CHANGES)
def test_the_version_of_the_code_is_its_own(house: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """It is the commit of the repository that tracks the code, dirty if any module differs, or else a digest."""
    commit = head(house)[:12]
    change, expected = CHANGES[case]
    root = change(house, monkeypatch)
    found = code_version(root)
    if expected == DIGESTED:
        assert found.startswith("source-")
        assert len(found) == 19
        (root / "tasks" / "a.py").write_text("other", encoding="utf-8")
        assert code_version(root) not in {found, commit}
    else:
        own = head(root)[:12] if expected == "TOP" else commit
        assert found == expected.replace("COMMIT", own).replace("TOP", own)


def test_a_recipe_does_not_change_the_digest_of_the_code(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only source files count."""
    root = without_git(house, monkeypatch)
    before = code_version(root)
    (root / "dags" / "recipes" / "mine.yaml").write_text("a: 1", encoding="utf-8")
    assert code_version(root) == before


def test_why_the_code_has_no_commit_is_told(
    house: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has git's own reason, with the command that git names."""
    with caplog.at_level(logging.WARNING):
        code_version(other_owner(house, monkeypatch))
    assert "dubious ownership" in caplog.text
    assert "safe.directory" in caplog.text


FAULTS: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], Path], str]] = {
    "a repository of another owner": (other_owner, "dubious ownership .*safe.directory"),
    "a broken repository": (broken, "bad config line"),
    "a git that hangs": (slow_git, r"did not answer within 0\.1 s"),
    "no git on this machine": (no_git, "git is not installed"),
}
QUESTIONS: dict[str, Callable[[Path], object]] = {
    "where a new version begins": lambda root: base_of(root, "digits"),
    "the newest version": lambda root: find_newest_md5(root, "digits"),
    "the newest tag": lambda root: find_newest_tag(root, "digits"),
    "the data of a revision": lambda root: read_pinned_md5(root, "HEAD", "digits"),
    "data.dvc of a revision": lambda root: read_committed(root, "HEAD"),
    "the revision of a digest": lambda root: revision_of(root, "digits", f"{'1' * 32}.dir"),
    "the code of a commit": lambda root: unpack_code(root, "HEAD", root.parent / "code"),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_reason_of_git_is_told(house: Path, monkeypatch: pytest.MonkeyPatch, fault: str, question: str) -> None:
    """Whatever is asked, a git that cannot answer ends in a sentence with its own reason."""
    change, reason = FAULTS[fault]
    root = change(house, monkeypatch)
    with pytest.raises(StillhouseError, match=reason):
        QUESTIONS[question](root)


def test_what_git_does_not_have_is_a_no(house: Path) -> None:
    """An unknown revision and one without data.dvc have their own remedies; without a branch HEAD is the base."""
    assert base_of(house, "digits").commit == head(house)
    assert find_newest_md5(house, "digits") == read_pinned_md5(house, "HEAD", "digits") == MD5
    with pytest.raises(DataError, match=r"data revision 'v9' is not a commit .*git fetch --tags"):
        read_committed(house, "v9")
    call(house, "rm", "--quiet", "--cached", "data.dvc")
    call(house, "commit", "--quiet", "--message", "without")
    with pytest.raises(DataError, match=r"revision 'HEAD' has no data\.dvc; name a later one"):
        read_committed(house, "HEAD")


def test_a_tarball_has_the_deployed_data(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a repository the newest version is the deployed one, and a new one cannot be made."""
    root = without_git(house, monkeypatch)
    assert find_newest_md5(root, "digits") == MD5
    with pytest.raises(DataError, match="is no git repository with a commit"):
        base_of(root, "digits")


def test_code_without_a_commit_cannot_be_fetched(house: Path) -> None:
    """A version made by code of a tarball names that code, and the one that is here."""
    with pytest.raises(StillhouseError, match=r"^code source-0123456789ab had no commit, and the code here is "):
        unpack_code(house, "source-0123456789ab", house.parent / "code")


def test_git_is_started_in_one_place() -> None:
    """No other module of the pipeline runs git, so that no other one can lose its reason."""
    root = Path(asking.__file__).resolve().parents[3]
    files = (file for package in ("dags", "models", "tasks") for file in (root / package).rglob("*.py"))
    assert [file.name for file in files if '["git"' in file.read_text(encoding="utf-8")] == ["git.py"]
