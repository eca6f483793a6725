"""What a later command does with journals that were not shipped, on a real MLflow database."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from distrain import lease
from distrain.errors import TrackingError
from distrain.report.tables import synced_line
from distrain.run_folder import JOURNAL
from distrain.track import journal_reading
from distrain.track import stores as stores_module
from distrain.track import sync as sync_module
from distrain.track.journal import JournalWriter
from distrain.track.pyfunc_model import build_pyfunc
from distrain.track.stores import server_of_run
from distrain.track.sync import ship_waiting, shipping_others, sync
from distrain.track.tracking_server import TrackingServer, connect, storage_server
from distrain.track.unsent import is_unshipped
from distrain.track.watermark import WATERMARK, Watermark
from tests.bad_cases import QUICK, fill, word
from tests.command_line import run_in_process
from tests.example_models import people, people_transform, save_example
from tests.mlflow_server import MlflowServer

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [
    # MLflow 3.17 uses what SQLAlchemy 2.1 and pandas 3 call deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]

SHA256 = "f" * 64
DRIVES = """
import sys, time
from pathlib import Path
from distrain import lease
lease.take(Path(sys.argv[1])).start()
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def client_of(storage: Path) -> "MlflowClient":
    return connect(storage_server(storage))


def record_run(storage: Path, run: str = "r1", status: str | None = "FINISHED") -> Path:
    """A run's folder as a driver leaves it whose tracking server was away."""
    run_dir = storage / "people" / run
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("data: {source: people.csv, target: pay}\n")
    with JournalWriter(run_dir / JOURNAL, "driver") as journal:
        journal.run({"experiment": "people", "key": f"people/{run}", "name": run, "tags": {}})
        for step in range(1, 21):
            journal.metrics(step, {"train/loss": 1 / step})
        journal.artifact(run_dir / "config.yaml")
        if status is not None:
            journal.status(status)
    return run_dir


def record_model(run_dir: Path) -> None:
    packaged = save_example(run_dir / "model" / "packaged", people_transform())
    build_pyfunc(run_dir / "model" / "mlflow", packaged, people(3))
    key = f"people/{run_dir.name}@{SHA256[:16]}"
    with JournalWriter(run_dir / JOURNAL, "driver") as journal:
        facts = {"name": "people", "key": key, "tags": {"distrain.seed": "7"}}
        journal.model(run_dir / "model" / "mlflow", facts, "champion")
    result = {"status": "finished", "weights_sha256": SHA256, "run_id": None, "model": None}
    (run_dir / "result.json").write_text(json.dumps(result | {"tracking": "pending"}))


def result_of(run_dir: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
    return fields


@pytest.mark.slow
def test_what_waits_is_shipped_and_registered_even_where_the_storage_was_moved(
    storage: Path, tmp_path: Path
) -> None:
    run_dir = record_run(storage)
    record_model(run_dir)
    Watermark(server="storage").save(run_dir / JOURNAL)
    moved = tmp_path / "elsewhere"
    storage.rename(moved)
    run_dir = moved / "people" / "r1"

    done = sync([], moved)

    (run,) = done.runs
    assert (run.outcome, done.tracking, done.exit_code) == ("shipped", "complete", 0)
    assert run.run_id is not None
    client = client_of(moved)
    assert len(client.get_metric_history(run.run_id, "train/loss")) == 20
    assert [file.path for file in client.list_artifacts(run.run_id)] == ["config.yaml"]
    version = client.get_model_version_by_alias("people", "champion")
    assert version.run_id == run.run_id
    result = result_of(run_dir)
    assert result["tracking"] == "complete"
    assert result["run_id"] == run.run_id
    assert result["model"] == {"name": "people", "version": "1", "alias": "champion"}

    assert [again.outcome for again in sync(["people/r1"], moved).runs] == ["nothing"]


def test_a_server_that_is_away_is_exit_4_and_asked_once(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in ("r1", "r2"):
        Watermark(server="http://127.0.0.1:9").save(record_run(storage, run) / JOURNAL)
    asked: list[TrackingServer] = []
    really = stores_module.check_reachable
    monkeypatch.setattr(
        stores_module, "check_reachable", lambda server: (asked.append(server), really(server))
    )

    done = sync([], storage)

    assert (done.tracking, done.exit_code, len(asked)) == ("pending", 4, 1)
    assert all("no tracking server answers" in str(run.error) for run in done.runs)
    assert all(is_unshipped(run.run_dir) for run in done.runs)


def test_a_run_whose_driver_lives_is_left_to_it(storage: Path) -> None:
    run_dir = record_run(storage, status=None)
    driver = subprocess.Popen([sys.executable, "-c", DRIVES, run_dir], stdout=subprocess.PIPE)
    assert driver.stdout is not None
    assert driver.stdout.readline() == b"taken\n"
    try:
        ship_waiting(storage)
        (run,) = sync([], storage).runs
        assert (run.outcome, run.was_closed) == ("pending", False)
        assert f"driven by process {driver.pid}" in str(run.error)

        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        (run,) = sync([], storage).runs
    finally:
        driver.kill()
        driver.stdout.close()

    assert (run.outcome, run.was_closed) == ("shipped", True)
    recorded = client_of(storage).get_run(str(run.run_id))
    assert recorded.info.status == "KILLED"
    assert recorded.info.end_time < time.time() * 1000
    assert recorded.data.tags["distrain.outcome"] == "killed"
    assert recorded.data.tags["distrain.stop_step"] == "20"


def test_another_command_ships_what_it_finds_beside_its_own_work(storage: Path) -> None:
    others = [record_run(storage, run) for run in ("r1", "r2")]
    own = record_run(storage, "own")
    away = record_run(storage, "away")
    Watermark(server="http://127.0.0.1:9").save(away / JOURNAL)

    with shipping_others(storage, storage_server(storage), but=own):
        pass

    assert [is_unshipped(run_dir) for run_dir in (*others, own, away)] == [False, False, True, True]


def test_an_unreadable_run_and_a_dead_store_keep_no_other_from_being_shipped(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Watermark(server="http://127.0.0.1:9").save(record_run(storage, "r1") / JOURNAL)
    (record_run(storage, "r2") / "config.yaml").write_text("track: {uri: ${NOT_SET}}\n")
    Watermark(server="http://ann:***@127.0.0.1:9").save(storage / "people" / "r2" / JOURNAL)
    good = record_run(storage, "r3")
    run_dirs = [storage / "people" / run for run in ("r1", "r2", "r3")]
    monkeypatch.setattr(sync_module, "run_dirs", lambda _: run_dirs)

    ship_waiting(storage)

    assert not is_unshipped(good)


@pytest.mark.parametrize("line", ["run", "status"])
def test_of_a_damaged_journal_all_else_is_shipped_and_it_is_told(storage: Path, line: str) -> None:
    run_dir = record_run(storage, status=None)
    with JournalWriter(run_dir / JOURNAL, "driver") as journal:
        journal.tags({"distrain.outcome": "finished"})
        journal.status("FINISHED")
    segment = run_dir / JOURNAL / f"driver-0000{1 if line == 'run' else 2}.jsonl"
    content = bytearray(segment.read_bytes())
    offset = 0 if line == "run" else content.index(b"\n") + 1
    content[offset + 50] ^= 1
    segment.write_bytes(content)

    (run,) = sync([], storage).runs

    assert (run.outcome, run.was_closed) == ("shipped", False)
    assert run.damages == (f"{segment} is damaged at byte {offset}",)
    recorded = client_of(storage).get_run(str(run.run_id))
    assert (recorded.info.run_name, recorded.info.status) == ("r1", "FINISHED")
    assert recorded.data.tags["distrain.tracking.rejected"] == "1"
    assert len(client_of(storage).get_metric_history(run.run_id, "train/loss")) == 20


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "its watermark lost"])
@pytest.mark.parametrize("deleted", ["run", "experiment"])
def test_what_was_deleted_at_mlflow_is_left_so_by_who_passes_by(
    storage: Path, deleted: str, is_known: bool
) -> None:
    run_dir = record_run(storage)
    run_id = str(sync([], storage).runs[0].run_id)
    client = client_of(storage)
    if deleted == "run":
        client.delete_run(run_id)
    else:
        client.delete_experiment(client.get_run(run_id).info.experiment_id)
    if not is_known:
        (run_dir / JOURNAL / WATERMARK).unlink()
    with JournalWriter(run_dir / JOURNAL, "driver") as journal:
        journal.metrics(21, {"train/loss": 0.5})

    ship_waiting(storage)
    assert not is_unshipped(run_dir)
    (run,) = sync([], storage).runs

    assert (run.outcome, run.is_deleted) == ("nothing", True)
    assert "deleted at MLflow, and left so" in synced_line(run)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    experiment = client.get_experiment_by_name("people")
    assert client.search_runs([experiment.experiment_id]) == []


def test_a_run_that_is_named_is_taken_up_again_by_other_commands_too(storage: Path) -> None:
    run_dir = record_run(storage)
    run_id = str(sync([], storage).runs[0].run_id)
    client_of(storage).delete_run(run_id)
    with JournalWriter(run_dir / JOURNAL, "driver") as journal:
        journal.metrics(21, {"train/loss": 0.5})
    ship_waiting(storage)

    assert sync(["r1"], storage).runs[0].outcome == "shipped"
    with JournalWriter(run_dir / JOURNAL, "driver") as journal:
        journal.metrics(22, {"train/loss": 0.5})
    ship_waiting(storage)

    assert len(client_of(storage).get_metric_history(run_id, "train/loss")) == 22


@pytest.mark.parametrize("deleted", ["run", "experiment"])
def test_what_was_deleted_at_mlflow_while_records_wait_is_restored_where_it_is_named(
    storage: Path, deleted: str
) -> None:
    run_dir = record_run(storage)
    run_id = str(sync([], storage).runs[0].run_id)
    client = client_of(storage)
    if deleted == "run":
        client.delete_run(run_id)
    else:
        client.delete_experiment(client.get_run(run_id).info.experiment_id)
    with JournalWriter(run_dir / JOURNAL, "driver") as journal:
        for step in range(21, 31):
            journal.metrics(step, {"train/loss": 1 / step})
        journal.status("FINISHED")

    (run,) = sync(["people/r1"], storage).runs

    assert (run.outcome, run.run_id) == ("shipped", run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "active"
    assert len(client.get_metric_history(run_id, "train/loss")) == 30
    assert "distrain.tracking.rejected" not in client.get_run(run_id).data.tags


def test_a_segment_that_was_cut_is_told_with_its_byte(storage: Path) -> None:
    run_dir = record_run(storage)
    segment = run_dir / JOURNAL / "driver-00001.jsonl"
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) // 2])

    (run,) = sync([], storage).runs

    end = content.rfind(b"\n", 0, len(content) // 2) + 1
    assert run.damages == (f"{segment} is cut off at byte {end}",)
    assert (run.outcome, run.was_closed) == ("shipped", True)
    assert len(client_of(storage).get_metric_history(str(run.run_id), "train/loss")) > 5


def test_records_that_are_missing_are_told_even_where_there_is_nothing_to_ship(
    storage: Path,
) -> None:
    run_dir = record_run(storage)
    segment = run_dir / JOURNAL / "driver-00001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:3] + lines[5:]))

    (run,) = sync([], storage).runs
    (named,) = sync([str(run_dir)], storage).runs

    told = (f"{segment} lacks records that came before others of it: 4 to 5",)
    assert (run.outcome, run.damages) == ("shipped", told)
    assert (named.outcome, named.damages) == ("nothing", told)
    assert synced_line(named) == f"people/r1  nothing to ship; {told[0]}"
    assert len(client_of(storage).get_metric_history(str(run.run_id), "train/loss")) == 18


@pytest.fixture
def with_a_hole(storage: Path) -> Path:
    """A run whose journal has zeros in its midst, as NFS shows what another host has written."""
    run_dir = record_run(storage)
    result = {"status": "finished", "run_id": None, "model": None, "tracking": "pending"}
    (run_dir / "result.json").write_text(json.dumps(result))
    segment = run_dir / JOURNAL / "driver-00001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[2] = bytes(len(lines[2]) - 1) + b"\n"
    segment.write_bytes(b"".join(lines))
    return run_dir


def test_what_is_not_shown_yet_is_pending_for_who_does_not_wait(
    storage: Path, with_a_hole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_module, "OTHERS_S", 0.5)

    ship_waiting(storage)

    assert result_of(with_a_hole)["tracking"] == "pending"
    assert is_unshipped(with_a_hole)


def test_what_is_never_shown_is_told_as_damaged_and_the_rest_is_shipped(
    storage: Path, with_a_hole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_reading, "SHOWN_AFTER_S", 0.5)

    (run,) = sync([], storage).runs

    assert (run.outcome, result_of(with_a_hole)["tracking"]) == ("shipped", "complete")
    assert "is damaged at byte" in run.damages[0]
    client = client_of(storage)
    assert client.get_run(str(run.run_id)).info.status == "FINISHED"
    assert len(client.get_metric_history(str(run.run_id), "train/loss")) == 19


def test_a_run_that_is_named_and_cannot_be_shipped_is_a_failure(storage: Path) -> None:
    run_dir = record_run(storage)
    (run_dir / "config.yaml").write_text("track: {uri: ${NOT_SET}}\n")
    Watermark(server="http://ann:***@127.0.0.1:9").save(run_dir / JOURNAL)

    passed_by, named = sync([], storage), sync(["r1"], storage)

    assert (passed_by.tracking, passed_by.exit_code) == ("pending", 0)
    assert (named.tracking, named.exit_code) == ("pending", 2)


def test_a_run_that_cannot_be_read_is_told_also_where_it_is_named(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_run(storage)
    sync([], storage)

    def unreadable(_: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sync_module, "losses_at", unreadable)
    result = sync(["r1"], storage)

    assert (result.tracking, result.exit_code) == ("pending", 2)
    assert "Permission denied" in str(result.runs[0].error)


def test_the_end_of_a_killed_run_is_its_last_record_and_not_what_was_rejected_later(
    storage: Path,
) -> None:
    run_dir = record_run(storage, status=None)
    os.utime(run_dir / JOURNAL / "driver-00001.jsonl", (1_000_000_000, 1_000_000_000))
    (run_dir / JOURNAL / "rejected.jsonl").write_text("{}\n")

    (run,) = sync([], storage).runs

    assert client_of(storage).get_run(str(run.run_id)).info.end_time == 1_000_000_000_000


@pytest.mark.slow
def test_two_that_sync_at_once_make_one_run(storage: Path) -> None:
    record_run(storage)
    words = [str(Path(sys.executable).with_name("distrain")), "sync", "--storage", str(storage)]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=100)[0].decode() for process in started]

    assert [process.returncode for process in started] == [0, 0]
    assert all("people/r1  " in output for output in outputs)
    client = client_of(storage)
    experiment = client.get_experiment_by_name("people")
    (found,) = client.search_runs([experiment.experiment_id])
    assert len(client.get_metric_history(found.info.run_id, "train/loss")) == 20


def test_a_store_whose_password_is_not_kept_has_to_be_named(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = record_run(storage)
    Watermark(server="http://ann:***@127.0.0.1:9").save(run_dir / JOURNAL)
    with pytest.raises(TrackingError, match="password is not kept"):
        server_of_run(run_dir)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:9")
    assert server_of_run(run_dir).uri == "http://ann:secret@127.0.0.1:9"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
@pytest.mark.long
def test_a_run_whose_server_went_away_is_registered_by_resume_without_training(
    tmp_path: Path,
) -> None:
    (tmp_path / "server").mkdir()
    server = MlflowServer(tmp_path / "server")
    server.start()
    fill(tmp_path, word("track.drain_s=1"))
    words = ["run.yaml", *QUICK, f"track.uri={server.tracking.uri}", "track.drain_s=1", "--json"]
    has_ended = threading.Event()

    def stop_when_training_begins() -> None:
        while not has_ended.wait(0.02):
            if list(tmp_path.glob("runs/run/*/journal/rank0-*.jsonl")):
                server.stop()
                return

    watching = threading.Thread(target=stop_when_training_begins)
    watching.start()
    try:
        trained = run_in_process(["train", *words], tmp_path)
        has_ended.set()
        watching.join()
        fields = json.loads(trained.stdout)
        assert (trained.code, fields["tracking"], fields["model"]) == (0, "pending", None)

        assert run_in_process(["resume", "--last"], tmp_path).code == 4
        assert run_in_process(["sync"], tmp_path).code == 4
        server.start()
        resumed = run_in_process(["resume", "--last", "--json"], tmp_path)
    finally:
        server.stop()

    after = json.loads(resumed.stdout)
    assert (resumed.code, after["tracking"]) == (0, "complete")
    assert after["model"]["version"] == "1"
    assert after["weights_sha256"] == fields["weights_sha256"]
    assert "preparing the data" not in resumed.stderr
    assert json.loads((Path(fields["run_dir"]) / "result.json").read_text()) == after


def test_a_driver_waits_for_who_ships_and_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    told: list[str] = []
    shipping = lease.take(tmp_path, is_shipping=True)
    shipping.start()
    threading.Timer(0.5, shipping.close).start()
    with lease.holding(tmp_path, told.append) as held:
        assert held.fence == 2
    assert len(told) == 1
    assert "which ships what the run recorded" in told[0]
