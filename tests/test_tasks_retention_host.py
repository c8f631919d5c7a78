"""What `stillhouse gc` deletes beside MLflow: data, caches, logs, rows and objects; and what the command says."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from data_samples import built_digits, commit_house, digest_of, git, make_house
from mlflow.tracking import MlflowClient
from retention_samples import collect_before, make_deployment, toy_night
from tiny_house import tiny_house

from stillhouse.tasks.cli import main as cli
from stillhouse.tasks.data.format.dataset import fault_of
from stillhouse.tasks.data.store.remote import list_folder, listing_md5, open_remote
from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.foreign.environment import OPENVINO, environment_folder
from stillhouse.tasks.local_stack.servers import AIRFLOW
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.retention import server_logs
from stillhouse.tasks.retention.airflow_rows import clean_rows
from stillhouse.tasks.retention.collect import DAY, collect, refuse_too_large, table
from stillhouse.tasks.retention.dvc_objects import clean_objects
from stillhouse.tasks.retention.in_use import collecting
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.stages.pull import pull_dataset

OLD = time.time() - 50 * DAY
DIGITS = Data(dataset="digits")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A deployment with an MLflow of files, and no night yet."""
    return make_deployment(tmp_path, monkeypatch)


def grow_old(*folders: Path) -> None:
    """Let folders look as if nobody had changed them for fifty days."""
    for path in (each for folder in folders for each in (*folder.rglob("*"), folder)):
        os.utime(path, (OLD, OLD), follow_symlinks=False)


def filled(folder: Path, name: str = "content") -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"x" * 1_000)
    return folder


@pytest.mark.usefixtures("house")
def test_old_caches_and_logs_go_and_what_people_need_stays() -> None:
    """Each kind of folder goes by its age; keys, inboxes, imports and the environment in use stay at any age."""
    settings = load_settings()
    state, key = settings.state, "0" * 64
    go = [
        *(state / "shared" / name for name in (f"teacher_answers/{key}", "models/a", "tried/b")),
        *(state / name for name in (f"scratch/{key}", f"artifacts/{key}-0123456789ab", f"artifacts/.{key}.partial")),
        *(state / "airflow" / "logs" / name for name in ("dag_id=x/run_id=y", "dag_processor/2026-01-01")),
        *(state / name for name in ("environments/openvino-0123", "reproduce/tiny-1")),
    ]
    stay = [
        *(state / name for name in ("keys", "inbox/digits", "imports/mine", "ladders/mine", "conversions/mine")),
        *(environment_folder(settings, OPENVINO), state / "data" / key, settings.runs / "of somebody else"),
    ]
    for folder in (*go, *stay):
        filled(folder)
    grow_old(state)
    young = filled(state / "shared" / "tried" / "young")
    done = collect_before(OLD + DAY)
    assert not [folder for folder in go if folder.exists()]
    assert all((folder / "content").exists() for folder in (*stay, young))
    assert done.bytes == 1_000 * len(go)


def test_caches_stay_while_a_stage_is_under_way(house: MlflowClient) -> None:
    """MLflow does not know which cached outputs and datasets a stage reads, so none goes."""
    settings = load_settings()
    answers = filled(settings.state / "shared" / "teacher_answers" / ("1" * 64))
    grow_old(answers)
    toy_night(house, 1, open_stage="export")
    collect_before(OLD + DAY)
    assert answers.exists()


def test_the_newest_report_stays(house: MlflowClient) -> None:
    """The folder to which the link `latest` points is not deleted."""
    for number in (1, 2):
        toy_night(house, number)
    runs = load_settings().runs
    (runs / "latest").symlink_to("night_1")
    collect_before(time.time())
    assert sorted(path.name for path in runs.iterdir()) == ["latest", "night_1"]


@pytest.fixture
def data_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A house whose remote has the digits, and whose MLflow is a file."""
    make_house(tmp_path / "house", monkeypatch)
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path / "house" / ".stillhouse"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return load_settings()


def test_data_goes_only_if_the_remote_has_it(data_house: Settings) -> None:
    """A dataset that DVC has goes and comes back whole; with one object missing there, this host keeps its copy."""
    folder = pull_dataset(data_house, DIGITS)
    grow_old(folder)
    remote = open_remote(data_house)
    lost = Path(remote.address(list_folder(data_house.root / "data" / "digits")["manifest.parquet"]))
    content = lost.read_bytes()
    lost.unlink()
    collect_before(OLD + DAY)
    assert not fault_of(folder, folder.name)
    lost.write_bytes(content)
    collect_before(OLD + DAY)
    assert not folder.exists()
    assert not fault_of(pull_dataset(data_house, DIGITS), digest_of(built_digits()))


def test_data_that_no_commit_pins_stays(data_house: Settings) -> None:
    """A dataset that somebody imported and did not pin stays on this host, though the remote has it until then."""
    pointer = data_house.root / "data.dvc"
    md5 = listing_md5(list_folder(data_house.root / "data" / "digits"))
    folder = pull_dataset(data_house, DIGITS)
    grow_old(folder)
    shutil.rmtree(data_house.root / ".git")
    git(data_house.root, "init", "--quiet")
    git(data_house.root, "commit", "--quiet", "--allow-empty", "--message", "anew")
    pointer.write_text(pointer.read_text(encoding="utf-8").replace(md5, f"{'0' * 32}.dir"), encoding="utf-8")
    done = collect_before(OLD + DAY)
    assert not fault_of(folder, folder.name)
    assert done.counts["datasets on this host"].things == 0


def test_a_stage_waits_for_a_collection(tmp_path: Path) -> None:
    """While a collection decides, a real stage looks for no earlier work; then it goes on."""
    with tiny_house(tmp_path) as house:
        thread = Thread(target=house.run, args=("test/night",), kwargs={"until": "pull"})
        with collecting(house.settings.state):
            thread.start()
            thread.join(5.0)
            assert thread.is_alive()
            assert house.stages("test/night")["pull"].info.status == "RUNNING"
        thread.join()
        assert house.stages("test/night")["pull"].info.status == "FINISHED"


def test_without_a_repository_the_remote_is_left_alone(data_house: Settings) -> None:
    """Nobody can tell then which data is needed."""
    shutil.rmtree(data_house.root / ".git")
    Path(open_remote(data_house).address("0" * 32)).parent.mkdir(exist_ok=True)
    Path(open_remote(data_house).address("0" * 32)).write_bytes(b"left")
    assert clean_objects(data_house, (), delete=True) == (0, 0)


def test_objects_go_only_if_no_commit_pins_them(data_house: Settings) -> None:
    """Versions of a branch, of a tag and of the checkout stay whole; what a killed push left goes."""
    root, remote = data_house.root, open_remote(data_house)
    first = list_folder(root / "data" / "digits")
    (root / "data" / "digits" / "LICENSE.txt").write_text("another\n", encoding="utf-8")
    commit_house(data_house, "second")
    second = list_folder(root / "data" / "digits")
    git(root, "checkout", "--quiet", "--detach", "digits")
    left = Path(remote.address("0123456789abcdef0123456789abcdef"))
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"left")
    assert clean_objects(data_house, (), delete=False) == (1, 4)
    assert left.exists()
    with pytest.raises(ServiceError, match=r"no commit of this checkout pins the data version 12\.dir.*git fetch"):
        clean_objects(data_house, ["12.dir"], delete=True)
    assert clean_objects(data_house, [listing_md5(first)], delete=True) == (1, 4)
    assert not left.exists()
    for listing in (first, second):
        assert all(remote.holds(oid) for oid in (listing_md5(listing), *listing.values()))


def test_the_end_of_a_long_log_stays(house: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that has the log open writes on into the emptied file, and the newest lines are beside it."""
    del house
    monkeypatch.setattr(server_logs, "MOST_BYTES", 100)
    log = tmp_path / "logs" / "mlflow.log"
    log.parent.mkdir()
    with log.open("ab", buffering=0) as server:
        server.write(b"a" * 200 + b"b" * 100)
        done = collect_before(time.time())
        server.write(b"later")
    assert done.counts["logs of the servers"].bytes == 200
    assert log.read_bytes() == b"later"
    assert log.with_name("mlflow.log.1").read_bytes() == b"b" * 100


@pytest.fixture
def airflow(house: MlflowClient) -> Iterator[sqlite3.Connection]:
    """The database of an Airflow with an old row of its log."""
    del house
    settings = load_settings()
    database = settings.state / "airflow" / "airflow.db"
    environment = AIRFLOW.environment(settings, AIRFLOW.ports, "")
    environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{database}"
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent / "src")
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("insert into log (dttm, event) values ('2020-05-01 00:00:00', 'old')")
        connection.commit()
        yield connection


def test_old_rows_of_airflow_go(airflow: sqlite3.Connection) -> None:
    """Airflow's own command deletes them. Rows since the oldest unfinished run stay."""
    settings, now = load_settings(), time.time()
    assert clean_rows(settings, now - DAY, delete=False) == 1
    columns = "dag_id, run_id, run_type, state, start_date, queued_at, run_after, log_template_id, clear_number"
    began = "2020-04-01 00:00:00.000000"
    values = f"'promotion_x', 'r', 'manual', 'running', '{began}', '{began}', '{began}', 1, 0"
    airflow.execute(f"insert into dag_run ({columns}) values ({values})")  # noqa: S608 - ours
    airflow.commit()
    assert clean_rows(settings, now - DAY, delete=True) == 0
    airflow.execute("update dag_run set state = 'success'")
    airflow.commit()
    assert clean_rows(settings, now - DAY, delete=True) == 2
    assert airflow.execute(
        "select (select count(*) from log where event = 'old') + count(*) from dag_run"
    ).fetchone() == (0,)


def test_more_nights_go_if_the_deployment_is_too_large(house: MlflowClient) -> None:
    """The oldest go until the rest is small enough; nights of the last day stay, and a sentence says what is left."""
    nights = [toy_night(house, number) for number in range(3)]
    for night, days in zip(nights, (20, 10, 0), strict=True):
        moment = int((time.time() - days * DAY) * 1000)
        with closing(sqlite3.connect(load_settings().state / "mlflow" / "mlflow.db")) as rows:
            rows.execute(
                "update runs set start_time = ?, end_time = ? where run_uuid = ?",
                (moment, moment, night.nightly.run_id),
            )
            for run in night.runs.values():
                rows.execute("update runs set start_time = ?, end_time = ? where run_uuid = ?", (moment, moment, run))
                rows.execute("delete from tags where key = 'stillhouse.opened' and run_uuid = ?", (run,))
            rows.commit()
    whole = collect(load_settings())
    assert whole.bytes == 0
    some = collect(load_settings(), most_bytes=whole.before - 300_000)
    assert some.counts["runs in MLflow, with their files"].things == 4
    most = collect(load_settings(), most_bytes=1)
    assert most.counts["runs in MLflow, with their files"].things == 8
    with pytest.raises(ServiceError, match=r"MB are needed and would stay, more than the 0\.0 MB .*; allow more, or"):
        refuse_too_large(most, 1)


def test_the_command_says_what_it_would_do(
    house: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --delete it prints a table by kind and deletes nothing; a size that cannot be met is a sentence."""
    toy_night(house, 1)
    monkeypatch.setattr(sys, "argv", ["stillhouse", "gc"])
    with pytest.raises(SystemExit):
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[: len(table(collect(load_settings())))] == table(collect(load_settings()))
    assert lines[-1].startswith("nothing was deleted; ")
    monkeypatch.setattr(sys, "argv", ["stillhouse", "gc", "--most-gigabytes", "0.0001"])
    with pytest.raises(SystemExit, match=r"^stillhouse: .* are needed and would stay"):
        cli.main()


def test_a_worker_without_airflow_s_database_leaves_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of a stack gets a sentence with the command; a host without Airflow has no rows to clean."""
    settings = Settings(tmp_path, tmp_path, tmp_path, "")
    assert clean_rows(settings, time.time(), delete=True) == 0
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "gc")
    with pytest.raises(ServiceError, match=r"a worker has no access .*; run `airflow db clean .* of the scheduler"):
        clean_rows(settings, time.time(), delete=True)
