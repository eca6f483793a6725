# ruff: noqa: ARG002, ARG005 (a fake has the signature of what it stands for)
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain import lease
from distrain.claim_files import CLAIMS
from distrain.track.journal import JournalWriter
from distrain.track.model_versions import RegisteredVersion
from distrain.track.new_points import Sent
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer
from distrain.track.watermark import WATERMARK, Watermark

SERVER = TrackingServer("sqlite:////nowhere/mlflow.db", None, "storage")
RUN = {"experiment": "adult", "key": "adult/r1", "name": "r1", "tags": {"mlflow.user": "ann"}}


class FakeInfo:
    def __init__(self, run_id: str) -> None:
        self.run_id = self.run_name = run_id
        self.experiment_id = "1"
        self.lifecycle_stage = "active"


class FakeRun:
    def __init__(self, run_id: str, key: str = "adult/r1") -> None:
        self.info = FakeInfo(run_id)
        self.data = SimpleNamespace(tags={"distrain.key": key}, params={}, metrics={})


class FakeClient:
    """Stores as MLflow's SQL store does: identical metric rows once, params once and for all.

    Args:
        trouble: called with each call's name before it takes effect and again after, so that a
            request or its answer can be lost.
    """

    def __init__(self, trouble: Callable[[str], None] = lambda moment: None) -> None:
        self._trouble = trouble
        self.runs: dict[str, str] = {}
        self.params: dict[str, str] = {}
        self.metrics: set[tuple[str, float, int, int]] = set()
        self.tags: dict[str, str] = {}
        self.artifacts: list[tuple[str, str | None]] = []
        self.ends: list[tuple[str, int]] = []
        self.updates: list[str] = []
        self.bad_names: set[str] = set()
        self.calls: list[str] = []
        self.is_deleted = False

    def _call(self, name: str, effect: Callable[[], Any]) -> Any:
        self._trouble(f"before {name}")
        self.calls.append(name)
        answer = effect()
        self._trouble(f"after {name}")
        return answer

    def get_experiment_by_name(self, name: str) -> Any:
        return self._call("get_experiment", lambda: FakeInfo(""))

    def search_runs(self, ids: list[str], query: str, **how: Any) -> list[FakeRun]:
        return self._call(
            "search_runs", lambda: [FakeRun(i) for i, key in self.runs.items() if key in query]
        )

    def create_run(self, experiment: str, start: int, tags: dict[str, str], name: str) -> FakeRun:
        def create() -> FakeRun:
            run_id = f"run{len(self.runs)}"
            self.runs[run_id] = tags["distrain.key"]
            self.tags |= tags
            return FakeRun(run_id)

        return self._call("create_run", create)

    def delete_run(self, run_id: str) -> None:
        self._call("delete_run", lambda: self.runs.pop(run_id))

    def get_run(self, run_id: str) -> FakeRun:
        run = FakeRun(run_id)
        run.info.lifecycle_stage = "deleted" if self.is_deleted else "active"
        newest = {key: step for key, _, _, step in sorted(self.metrics, key=lambda made: made[3])}
        points = [SimpleNamespace(key=key, step=step) for key, step in newest.items()]
        run.data.to_proto = lambda: SimpleNamespace(metrics=points)
        return run

    def get_experiment(self, experiment_id: str) -> FakeInfo:
        return FakeInfo("")

    def restore_run(self, run_id: str) -> None:
        self.is_deleted = False

    def log_batch(self, run_id: str, *, synchronous: bool, **items: list[Any]) -> None:
        self._call("log_batch", lambda: self._store(**items))

    def _store(self, params: Any = (), metrics: Any = (), tags: Any = ()) -> None:
        assert len(metrics) <= 1000
        from mlflow.exceptions import MlflowException

        if any(item.key in self.bad_names for item in [*params, *metrics, *tags]):
            raise MlflowException.invalid_parameter_value("a bad name")
        self.params |= {param.key: param.value for param in params}
        self.metrics |= {(m.key, m.value, m.timestamp, m.step) for m in metrics}
        self.tags |= {tag.key: tag.value for tag in tags}

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self._call("set_tag", lambda: self.tags.update({key: value}))

    def log_inputs(self, run_id: str, datasets: Any) -> None:
        self._call("log_inputs", lambda: None)

    def log_artifact(self, run_id: str, path: str, artifact_path: str | None) -> None:
        self._call("log_artifact", lambda: self.artifacts.append((path, artifact_path)))

    def set_terminated(self, run_id: str, status: str, end_ms: int) -> None:
        self._call("set_terminated", lambda: self.ends.append((status, end_ms)))

    def update_run(self, run_id: str, status: str) -> None:
        self._call("update_run", lambda: self.updates.append(status))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalWriter]:
    with JournalWriter(tmp_path / "journal", "driver") as writer:
        writer.run(RUN)
        yield writer


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distrain.track.shipper.POLL_S", 0.02)
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_WHILE_DRAINING_S", 0.01)


def ship(folder: Path, client: FakeClient, timeout_s: float = 20) -> bool:
    shipper = Shipper(folder, SERVER, connect_to=lambda server: client)  # type: ignore[arg-type]
    shipper.start()
    try:
        return shipper.drain(timeout_s)
    finally:
        shipper.close()


def test_everything_recorded_arrives(journal: JournalWriter, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("seed: 1\n")
    journal.params({"train.lr": "0.001"})
    for step in range(1, 2501):
        journal.metrics(step, {"train/loss": 1 / step})
    journal.tags({"outcome": "good"})
    journal.artifact(config, "config")
    journal.progress({"shown": "only"})
    journal.status("FINISHED")
    client = FakeClient()

    assert ship(journal.path.parent, client)

    assert client.params == {"train.lr": "0.001"}
    assert len(client.metrics) == 2500
    assert client.tags["outcome"] == "good"
    assert client.tags["mlflow.user"] == "ann"
    assert client.artifacts == [(str(config), "config")]
    assert [status for status, _ in client.ends] == ["FINISHED"]
    assert client.calls[-2:] == ["set_terminated", "search_runs"]


def test_lost_requests_and_lost_answers_leave_one_run_and_no_doubles(
    journal: JournalWriter,
) -> None:
    chance = random.Random(5)

    def trouble(moment: str) -> None:
        if chance.random() < 0.3:
            raise ConnectionError("connection reset")

    client = FakeClient(trouble)
    journal.params({"a": "1"})
    for step in range(1, 3001):
        journal.metrics(step, {"loss": 0.5, "lr": 0.1})
    journal.status("FINISHED")

    assert ship(journal.path.parent, client)

    assert len(client.runs) == 1
    assert len(client.metrics) == 6000
    assert {status for status, _ in client.ends} == {"FINISHED"}


def test_a_run_that_a_slow_server_made_twice_is_left_once(journal: JournalWriter) -> None:
    def trouble(moment: str) -> None:
        if moment == "after create_run" and "create_run" not in client.calls[:-1]:
            client.runs["late"] = client.runs.pop("run0")
            hidden.update(client.runs)
            client.runs.clear()
            raise TimeoutError("no answer yet")
        if moment == "before log_batch":
            client.runs.update(hidden)

    hidden: dict[str, str] = {}
    client = FakeClient(trouble)
    journal.metrics(1, {"loss": 1.0})
    journal.status("FINISHED")

    assert ship(journal.path.parent, client)

    assert client.calls.count("create_run") == 2
    assert list(client.runs) == ["run0"]


class DeniedError(Exception):
    """As MLflow's client raises it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self._code = code

    def get_http_status_code(self) -> int:
        return self._code


@pytest.mark.parametrize(
    ("denied", "told"),
    [
        (DeniedError(401, "unauthenticated"), "MLFLOW_TRACKING_USERNAME"),
        (DeniedError(403, "Response body: 'Invalid Host header'"), "--allowed-hosts"),
    ],
)
def test_a_server_that_lets_nobody_in_is_told_once_and_left_alone(
    journal: JournalWriter, caplog: pytest.LogCaptureFixture, denied: Exception, told: str
) -> None:
    def trouble(moment: str) -> None:
        raise denied

    client = FakeClient(trouble)
    journal.metrics(1, {"loss": 1.0})
    started = time.monotonic()
    assert not ship(journal.path.parent, client, timeout_s=20)
    assert time.monotonic() - started < 2

    (line,) = [record.getMessage() for record in caplog.records]
    assert told in line
    assert "distrain sync" in line
    client = FakeClient()
    assert ship(journal.path.parent, client)
    assert len(client.metrics) == 1


def test_a_second_shipper_goes_on_at_the_watermark(journal: JournalWriter) -> None:
    folder = journal.path.parent
    journal.metrics(1, {"loss": 1.0})
    first = FakeClient()
    assert ship(folder, first)
    journal.metrics(2, {"loss": 0.5})
    second = FakeClient()
    assert ship(folder, second)

    assert {step for *_, step in first.metrics} == {1}
    assert {step for *_, step in second.metrics} == {2}
    assert second.runs == {}


def test_another_store_is_sent_the_whole_journal(journal: JournalWriter) -> None:
    journal.metrics(1, {"loss": 1.0})
    assert ship(journal.path.parent, FakeClient())
    other = FakeClient()
    elsewhere = TrackingServer("http://elsewhere:5000", None, "track.uri")
    shipper = Shipper(
        journal.path.parent,
        elsewhere,
        connect_to=lambda server: other,  # type: ignore[arg-type]
    )
    shipper.start()
    try:
        assert shipper.drain(20)
    finally:
        shipper.close()

    assert list(other.runs.values()) == ["adult/r1"]
    assert [row[:2] for row in other.metrics] == [("loss", 1.0)]


def test_a_store_that_has_lost_the_run_is_sent_the_whole_journal_again(
    journal: JournalWriter,
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

    journal.metrics(1, {"loss": 1.0})
    assert ship(journal.path.parent, FakeClient())

    def trouble(moment: str) -> None:
        if moment == "before log_batch" and not emptied.runs:
            raise MlflowException("Run with id=run0 not found", RESOURCE_DOES_NOT_EXIST)

    emptied = FakeClient(trouble)
    journal.metrics(2, {"loss": 0.5})
    assert ship(journal.path.parent, emptied)

    assert list(emptied.runs.values()) == ["adult/r1"]
    assert {step for *_, step in emptied.metrics} == {1, 2}


def test_a_run_that_goes_on_is_shown_as_running_again(journal: JournalWriter) -> None:
    journal.status("KILLED")
    client = FakeClient()
    assert ship(journal.path.parent, client)
    journal.status("RUNNING")
    assert ship(journal.path.parent, client)

    assert [status for status, _ in client.ends] == ["KILLED"]
    assert client.updates == ["RUNNING"]


def test_a_lost_watermark_sends_the_same_rows_again(journal: JournalWriter) -> None:
    folder = journal.path.parent
    journal.metrics(1, {"loss": 1.0})
    client = FakeClient()
    assert ship(folder, client)
    (folder / WATERMARK).write_text("{")
    assert ship(folder, client)

    assert len(client.metrics) == 1
    assert len(client.runs) == 1


def test_steps_computed_again_keep_their_first_value(journal: JournalWriter) -> None:
    folder = journal.path.parent
    with JournalWriter(folder, "rank0") as before:
        for step in (1, 2, 3):
            before.metrics(step, {"loss": 1.0, "rate": 10.0 + step})
    with JournalWriter(folder, "rank0") as after:
        for step in (2, 3, 4):
            after.metrics(step, {"loss": 1.0, "rate": 20.0 + step})
    client = FakeClient()
    assert ship(folder, client)

    rates = {step: value for key, value, _, step in client.metrics if key == "rate"}
    assert rates == {1: 11.0, 2: 12.0, 3: 13.0, 4: 24.0}


def test_a_finer_record_of_steps_that_are_computed_again_fills_in_and_doubles_nothing(
    journal: JournalWriter,
) -> None:
    folder, client = journal.path.parent, FakeClient()

    def attempt(first: int, last: int, every: int) -> None:
        with JournalWriter(folder, "rank0") as writer:
            writer.start(first - 1, is_exact=True, every_steps=every)
            for step in range(first, last + 1):
                if step % every == 0:
                    writer.metrics(step, {"loss": 1.0})
        assert ship(folder, client)

    attempt(1, 100, every=10)
    attempt(51, 80, every=1)
    attempt(71, 120, every=1)

    steps = sorted(step for *_, step in client.metrics)
    assert steps == [10, 20, 30, 40, 50, *range(51, 81), *range(81, 121)]


def test_a_point_whose_line_was_damaged_arrives_where_a_later_attempt_recorded_it_again(
    journal: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.track.delivery.READ_BYTES", 300)
    folder = journal.path.parent
    for first, last in ((1, 10), (5, 12)):
        with JournalWriter(folder, "rank0") as writer:
            writer.start(first - 1, is_exact=True, every_steps=1)
            for step in range(first, last + 1):
                writer.metrics(step, {"loss": 1.0})
    segment = folder / "rank0-00001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"step":5,', b'"step":6,'))
    client = FakeClient()

    assert ship(folder, client)

    assert sorted(step for *_, step in client.metrics) == list(range(1, 13))


def test_steps_that_may_differ_arrive_as_they_stayed(
    journal: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = journal.path.parent
    monkeypatch.setattr("distrain.track.delivery.READ_BYTES", 200)
    client = FakeClient()
    with JournalWriter(folder, "rank0") as before:
        before.start(0, is_exact=False, every_steps=1)
        for step in range(1, 31):
            before.metrics(step, {"loss": 1.0})
        before.checkpoint(10)
        assert ship(folder, client)
        assert {step for *_, step in client.metrics} == set(range(1, 11))
    with JournalWriter(folder, "rank0") as after:
        after.start(10, is_exact=False, every_steps=1)
        for step in range(11, 21):
            after.metrics(step, {"loss": 2.0})
        # Another process takes over, reads again what waits, and doubles nothing.
        assert ship(folder, client)
        after.checkpoint(15)
        assert ship(folder, client)
        assert {step for *_, step in client.metrics} == set(range(1, 16))
    journal.status("FINISHED")
    assert ship(folder, client)

    losses = {step: value for _, value, _, step in client.metrics}
    assert losses == dict.fromkeys(range(1, 11), 1.0) | dict.fromkeys(range(11, 21), 2.0)
    assert len(client.metrics) == 20


def test_timestamps_are_those_of_the_journal(journal: JournalWriter) -> None:
    before_ms = time.time_ns() // 1_000_000
    journal.metrics(1, {"loss": 1.0})
    after_ms = time.time_ns() // 1_000_000
    time.sleep(0.05)
    client = FakeClient()
    assert ship(journal.path.parent, client)
    ((_, _, time_ms, _),) = client.metrics
    assert before_ms <= time_ms <= after_ms


def test_a_refused_name_is_kept_apart_and_the_rest_goes_on(journal: JournalWriter) -> None:
    folder = journal.path.parent
    for step in range(1, 101):
        journal.metrics(step, {"good": 1.0})
    journal.metrics(50, {"bad[0]": 2.0})
    client = FakeClient()
    client.bad_names = {"bad[0]"}

    assert ship(folder, client)

    assert len(client.metrics) == 100
    assert client.tags["distrain.tracking.rejected"] == "1"
    rejected = json.loads((folder / "rejected.jsonl").read_text())
    assert rejected["what"] == "metrics bad[0]"


def test_a_store_that_refuses_every_write_for_a_while_has_all_of_it_afterwards(
    journal: JournalWriter,
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    def trouble(moment: str) -> None:
        if moment in ("before log_batch", "before set_tag") and next(left, None) is not None:
            raise MlflowException("cannot execute UPDATE in a read-only transaction", BAD_REQUEST)

    left = iter(range(40))
    client = FakeClient(trouble)
    journal.params({"lr": "0.1", "seed": "1"})
    for step in range(1, 101):
        journal.metrics(step, {"loss": 1 / step})
    journal.tags({"a": "b", "c": "d"})

    assert ship(journal.path.parent, client)

    assert next(left, None) is None
    assert len(client.metrics) == 100
    assert client.params == {"lr": "0.1", "seed": "1"}
    assert client.tags["a"] == "b"
    assert not (journal.path.parent / "rejected.jsonl").exists()


def test_a_single_record_that_was_refused_in_an_outage_is_no_rejected_one(
    journal: JournalWriter,
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    def trouble(moment: str) -> None:
        if moment == "before log_batch" and next(left, None) is not None:
            raise MlflowException("read-only", BAD_REQUEST)

    left = iter(range(1))
    client = FakeClient(trouble)
    journal.metrics(1, {"loss": 1.0})
    assert ship(journal.path.parent, client)

    assert len(client.metrics) == 1
    assert client.tags["distrain.tracking.rejected"] == "0"


def test_a_run_that_was_deleted_meanwhile_is_restored_with_a_word(
    journal: JournalWriter, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.exceptions import MlflowException

    def trouble(moment: str) -> None:
        if client.is_deleted and moment in ("before log_batch", "before set_tag"):
            text = "The run run0 must be in the 'active' state. Current state is deleted."
            raise MlflowException.invalid_parameter_value(text)

    client = FakeClient(trouble)
    journal.metrics(1, {"loss": 1.0})
    assert ship(journal.path.parent, client)
    client.is_deleted = True
    journal.metrics(2, {"loss": 0.5})
    assert ship(journal.path.parent, client)

    assert {step for *_, step in client.metrics} == {1, 2}
    assert "distrain.tracking.rejected" not in client.tags
    assert "run 'run0' was deleted while it is recorded; it is restored" in caplog.text


def test_text_that_no_store_takes_is_sent_without_what_it_does_not_take(
    journal: JournalWriter,
) -> None:
    client = FakeClient()
    journal.tags({"distrain.error": "cannot read b\udcff.csv: \0"})
    assert ship(journal.path.parent, client)
    assert client.tags["distrain.error"] == "cannot read b?.csv: \N{REPLACEMENT CHARACTER}"


def test_artifacts_and_status_go_while_the_journal_still_grows(journal: JournalWriter) -> None:
    def trouble(moment: str) -> None:
        # As in training: there is something new at every look.
        journal.progress({"step": 1})

    client = FakeClient(trouble)
    journal.status("RUNNING")
    journal.artifact(journal.path)
    shipper = Shipper(journal.path.parent, SERVER, connect_to=lambda server: client)  # type: ignore[arg-type,return-value]
    shipper.start()
    deadline = time.monotonic() + 10
    while not (client.artifacts and client.updates):
        journal.progress({"step": 2})
        assert time.monotonic() < deadline
        time.sleep(0.001)
    shipper.close()


def test_a_failing_server_is_not_asked_without_pause_while_draining(
    journal: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trouble(moment: str) -> None:
        asked.append(moment)
        raise ConnectionError("connection refused")

    asked: list[str] = []
    monkeypatch.setattr("distrain.track.shipper.POLL_S", 0.05)
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_WHILE_DRAINING_S", 0.05)
    assert not ship(journal.path.parent, FakeClient(trouble), timeout_s=0.5)
    assert 3 < len(asked) < 15


@pytest.mark.parametrize("at", ["its first record", "its second record"])
def test_of_an_altered_segment_the_rest_is_sent_and_what_is_lost_is_told(
    journal: JournalWriter, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    folder = journal.path.parent
    for step in (1, 2, 3):
        journal.metrics(step, {"loss": 1.0})
    journal.status("FINISHED")
    content = bytearray(journal.path.read_bytes())
    offset = 0 if at == "its first record" else content.index(b"\n") + 1
    content[offset + 40] ^= 1
    journal.path.write_bytes(content)
    client = FakeClient()

    assert ship(folder, client)

    steps = {1, 2, 3} if offset == 0 else {2, 3}
    assert {step for *_, step in client.metrics} == steps
    assert [status for status, _ in client.ends] == ["FINISHED"]
    assert client.tags["distrain.tracking.rejected"] == "1"
    assert f"record at byte {offset} of driver-00001.jsonl is not recorded" in caplog.text


def test_a_server_that_stays_away_is_told_and_harms_nothing(
    journal: JournalWriter, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(moment: str) -> None:
        raise ConnectionError("connection refused")

    started = time.monotonic()
    shipper = Shipper(
        journal.path.parent,
        SERVER,
        connect_to=lambda server: FakeClient(trouble),  # type: ignore[arg-type,return-value]
    )
    shipper.start()
    assert shipper.drain(0.3) is False
    assert shipper.problem == "connection refused"
    assert shipper.run_id is None
    shipper.close()
    assert time.monotonic() - started < 2
    told = [record for record in caplog.records if "records are kept in" in record.getMessage()]
    assert len(told) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_drains_is_told_where_the_thread_has_died(
    journal: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise MemoryError("a slip")

    monkeypatch.setattr("distrain.track.shipper.refusal_of", die)
    shipper = Shipper(journal.path.parent, SERVER, connect_to=die)  # type: ignore[arg-type]
    shipper.start()
    started = time.monotonic()

    assert not shipper.drain(60)

    assert time.monotonic() - started < 30
    assert shipper.is_refused
    assert shipper.problem == "the thread that ships has died: MemoryError: a slip"
    shipper.close()


def test_a_client_that_cannot_be_made_harms_nothing(journal: JournalWriter) -> None:
    def connect(server: TrackingServer) -> Any:
        raise RuntimeError("no database")

    shipper = Shipper(journal.path.parent, SERVER, connect_to=connect)
    shipper.start()
    assert shipper.drain(0.1) is False
    shipper.close()
    assert shipper.problem == "no database"


def test_the_run_id_is_known_once_the_run_exists(journal: JournalWriter) -> None:
    shipper = Shipper(
        journal.path.parent,
        SERVER,
        connect_to=lambda server: FakeClient(),  # type: ignore[arg-type,return-value]
    )
    assert shipper.run_id is None
    shipper.start()
    assert shipper.drain(10)
    assert shipper.run_id == "run0"
    shipper.close()


def test_a_damaged_record_is_counted(journal: JournalWriter) -> None:
    folder = journal.path.parent
    journal.metrics(1, {"loss": 1.0})
    journal.metrics(2, {"loss": 0.5})
    text = journal.path.read_text()
    journal.path.write_text(text.replace('"loss":1.0', '"loss":9.0'))
    client = FakeClient()
    assert ship(folder, client)
    assert {value for _, value, _, _ in client.metrics} == {0.5}
    assert client.tags["distrain.tracking.rejected"] == "1"


def test_what_nfs_shows_late_arrives_though_its_server_s_clock_is_behind(
    journal: JournalWriter,
) -> None:
    journal.metrics(1, {"loss": 1.0})
    journal.metrics(2, {"loss": 0.5})
    content = journal.path.read_bytes()
    lines = content.splitlines(keepends=True)
    journal.path.write_bytes(b"".join([lines[0], bytes(len(lines[1]) - 1), b"\n", lines[2]]))
    os.utime(journal.path, (0, time.time() - 120))
    client = FakeClient()

    assert ship(journal.path.parent, client)
    journal.path.write_bytes(content)
    assert ship(journal.path.parent, client)

    assert {value for _, value, _, _ in client.metrics} == {1.0, 0.5}
    assert "distrain.tracking.rejected" not in client.tags


def test_what_is_recorded_behind_the_end_of_a_run_arrives_and_ends_it_no_second_time(
    journal: JournalWriter, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text("how it went")
    client = FakeClient()
    journal.status("FINISHED")
    assert ship(journal.path.parent, client)
    journal.artifact(report, "report")

    assert ship(journal.path.parent, client)

    assert client.artifacts == [(str(report), "report")]
    assert [status for status, _ in client.ends] == ["FINISHED"]
    assert client.updates == []


def test_a_missing_artifact_does_not_stop_the_rest(journal: JournalWriter, tmp_path: Path) -> None:
    journal.artifact(tmp_path / "gone.txt")
    journal.status("FAILED")
    client = FakeClient()
    assert ship(journal.path.parent, client)
    assert [status for status, _ in client.ends] == ["FAILED"]


def test_two_long_segments_of_a_writer_arrive_whole(
    journal: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.track.delivery.READ_BYTES", 1000)
    for first in (1, 101):
        with JournalWriter(journal.path.parent, "rank0") as writer:
            for step in range(first, first + 100):
                writer.metrics(step, {"loss": 1.0})
    client = FakeClient()

    assert ship(journal.path.parent, client)

    assert {step for *_, step in client.metrics} == set(range(1, 201))


class RefusedError(Exception):
    """As requests raises it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"{status_code} refused")
        self.response = SimpleNamespace(status_code=status_code)


@pytest.mark.parametrize("fault", [RefusedError(413), PermissionError(13, "Permission denied")])
def test_a_refused_artifact_is_kept_apart_and_the_rest_goes_on(
    journal: JournalWriter, tmp_path: Path, fault: Exception
) -> None:
    def trouble(moment: str) -> None:
        if moment == "before log_artifact":
            raise fault

    (tmp_path / "profile.json").touch()
    journal.artifact(tmp_path / "profile.json")
    journal.metrics(1, {"loss": 1.0})
    journal.status("FINISHED")
    client = FakeClient(trouble)

    assert ship(journal.path.parent, client)

    assert len(client.metrics) == 1
    assert client.tags["distrain.tracking.rejected"] == "1"
    assert [status for status, _ in client.ends] == ["FINISHED"]


def refusing(times: int) -> Callable[..., RegisteredVersion]:
    """A registration that a database in trouble refuses some times, as MLflow tells it."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    errors = iter([MlflowException("read-only transaction", BAD_REQUEST)] * times)

    def register_version(*_: Any, **__: Any) -> RegisteredVersion:
        for error in errors:
            raise error
        return RegisteredVersion("adult", "1", None)

    return register_version


@pytest.mark.parametrize(
    ("times", "versions", "rejected"),
    [(1, {"k": ["adult", "1", None]}, "0"), (10, {}, "1")],
    ids=["that is over by then", "that lasts"],
)
def test_a_model_is_set_aside_only_where_the_store_takes_other_things_and_not_that(
    journal: JournalWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    versions: dict[str, Any],
    rejected: str,
) -> None:
    monkeypatch.setattr("distrain.track.closing.register_version", refusing(times))
    (tmp_path / "model").mkdir()
    journal.model(tmp_path / "model", {"name": "adult", "key": "k"}, None)
    journal.status("FINISHED")
    client = FakeClient()

    assert ship(journal.path.parent, client)

    assert Watermark.load(journal.path.parent).versions == versions
    assert client.tags["distrain.tracking.rejected"] == rejected
    assert [status for status, _ in client.ends] == ["FINISHED"]


def test_who_was_taken_over_within_a_request_sends_and_marks_nothing_more(
    journal: JournalWriter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fence = lease.take(tmp_path).fence

    def trouble(moment: str) -> None:
        if moment == "before log_batch":
            (tmp_path / CLAIMS / str(fence + 1)).touch()

    journal.params({"a": "1"})
    journal.metrics(1, {"loss": 1.0})
    journal.status("FINISHED")
    client = FakeClient(trouble)
    shipper = Shipper(
        journal.path.parent,
        SERVER,
        connect_to=lambda server: client,  # type: ignore[arg-type,return-value]
        check=partial(lease.check, tmp_path, fence),
    )
    shipper.start()
    assert not shipper.drain(20)
    shipper.close()

    assert client.calls == ["get_experiment", "search_runs", "create_run", "log_batch"]
    assert Watermark.load(journal.path.parent).reached == {}
    assert shipper.is_refused
    (line,) = [record.getMessage() for record in caplog.records]
    assert "the run was taken over" in line
    assert "Nothing more is sent from here" in line


def test_a_shipper_that_is_not_waited_for_any_more_sends_nothing_after_its_request(
    journal: JournalWriter,
) -> None:
    is_sending, may_end = threading.Event(), threading.Event()

    def trouble(moment: str) -> None:
        if moment == "before log_batch":
            is_sending.set()
            assert may_end.wait(20)

    journal.params({"a": "1"})
    journal.metrics(1, {"loss": 1.0})
    client = FakeClient(trouble)
    shipper = Shipper(journal.path.parent, SERVER, connect_to=lambda server: client)  # type: ignore[arg-type,return-value]
    shipper.start()
    assert is_sending.wait(20)

    shipper.close(0.01)
    may_end.set()
    shipper._thread.join(20)

    assert client.calls.count("log_batch") == 1
    assert client.metrics == set()


def test_an_artifact_store_that_is_away_holds_up_no_other_record(
    journal: JournalWriter, tmp_path: Path
) -> None:
    def trouble(moment: str) -> None:
        if moment == "before log_artifact":
            raise RefusedError(503)

    folder = journal.path.parent
    (tmp_path / "config.yaml").touch()
    journal.artifact(tmp_path / "config.yaml")
    assert not ship(folder, FakeClient(trouble), 0.1)
    journal.metrics(1, {"loss": 1.0})
    journal.status("FINISHED")
    client = FakeClient(trouble)
    assert not ship(folder, client, 0.3)
    assert len(client.metrics) == 1
    assert [status for status, _ in client.ends] == ["FINISHED"]

    back = FakeClient()
    assert ship(folder, back)
    assert back.artifacts == [(str(tmp_path / "config.yaml"), None)]


def test_a_folder_is_gone_on_with_at_the_file_that_failed(
    journal: JournalWriter, tmp_path: Path
) -> None:
    chance = random.Random(1)

    def trouble(moment: str) -> None:
        if moment == "after log_artifact" and chance.random() < 0.3:
            raise ConnectionError("connection reset")

    names = [f"{number:02}/file.txt" for number in range(40)]
    for name in names:
        (tmp_path / "kept" / name).parent.mkdir(parents=True)
        (tmp_path / "kept" / name).touch()
    journal.artifact(tmp_path / "kept", "place")
    client = FakeClient(trouble)

    assert ship(journal.path.parent, client)

    found = [(str(tmp_path / "kept" / name), f"place/{name[:2]}") for name in names]
    assert sorted(set(client.artifacts)) == found
    assert len(client.artifacts) < 2 * len(names)


def test_a_watermark_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    sent = Sent({"loss": 3}, 10, ["rank0-00002.jsonl", 2])  # type: ignore[arg-type]
    mark = Watermark("r", "e", {"a-00001.jsonl": 7}, sent, ["FINISHED", 5], 2)  # type: ignore[arg-type]
    mark.save(tmp_path)
    assert Watermark.load(tmp_path) == mark
