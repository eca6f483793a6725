# ruff: noqa: ARG002, ARG005 (a fake has the signature of what it stands for)
import itertools
import json
import math
import queue
import random
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain.object_store.link import Link, linked
from distrain.object_store.place import Place
from distrain.track import children
from distrain.track.delivery import Delivery
from distrain.track.describe import assignment_params
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import list_segments
from distrain.track.layout import PLAIN_COLOR
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer
from distrain.track.unsent import has_unsent
from distrain.track.watermark import WATERMARK, Watermark
from tests.recorded_search import DATASET, KEY, LAYOUT, NAME, SWEEP, RecordedSearch

SERVER = TrackingServer("sqlite:////nowhere/mlflow.db", None, "storage")


class FakeRun:
    def __init__(self, run_id: str, start_ms: int, tags: dict[str, str], name: str) -> None:
        self.info = SimpleNamespace(
            run_id=run_id,
            run_name=name,
            experiment_id="1",
            lifecycle_stage="active",
            status="RUNNING",
            start_time=start_ms,
            end_time=None,
        )
        self.params: dict[str, str] = {}
        self.metrics: set[tuple[str, float, int, int]] = set()
        self.data = SimpleNamespace(
            tags=tags, params=self.params, metrics=self.metrics, to_proto=self._to_proto
        )

    def _to_proto(self) -> Any:
        newest = {key: step for key, _, _, step in sorted(self.metrics, key=lambda made: made[3])}
        points = [SimpleNamespace(key=key, step=step) for key, step in newest.items()]
        return SimpleNamespace(metrics=points)

    def points(self, name: str) -> dict[int, float]:
        return {step: value for key, value, _, step in sorted(self.metrics) if key == name}


class FakeStore:
    """A client and its store, as far as a search needs it.

    Args:
        trouble: called with each call's name before it takes effect and again after.
    """

    def __init__(self, trouble: Callable[[str], None] = lambda moment: None) -> None:
        self.trouble = trouble
        self.runs: dict[str, FakeRun] = {}
        self.calls: list[str] = []
        self.told_data: list[str] = []
        self.bad_names: set[str] = set()
        self._num_made = 0

    def _call(self, name: str, effect: Callable[[], Any]) -> Any:
        self.trouble(f"before {name}")
        self.calls.append(name)
        answer = effect()
        self.trouble(f"after {name}")
        return answer

    def _run(self, run_id: str) -> FakeRun:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

        if run_id not in self.runs:
            raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
        if self.runs[run_id].info.lifecycle_stage == "deleted":
            text = f"The run {run_id} must be in the 'active' state."
            raise MlflowException.invalid_parameter_value(text)
        return self.runs[run_id]

    def trial(self, number: int) -> FakeRun:
        """Return the one run of a trial."""
        # The winner's own journal may have made its run, and calls it after its folder.
        names = (f"trial {number:04d} of {SWEEP}", f"{SWEEP}-{number:04d}")
        (found,) = [run for run in self.runs.values() if run.info.run_name in names]
        return found

    @property
    def parent(self) -> FakeRun:
        """Return the run of the search."""
        (found,) = [run for run in self.runs.values() if run.info.run_name == SWEEP]
        return found

    def get_experiment_by_name(self, name: str) -> Any:
        return self.get_experiment("1")

    def get_experiment(self, experiment_id: str) -> Any:
        return SimpleNamespace(experiment_id="1", name="adult", lifecycle_stage="active")

    def search_runs(self, ids: list[str], query: str, **how: Any) -> Any:
        from mlflow.store.entities import PagedList

        tags = re.findall(r"tags\.`([^`]+)` = '([^']*)'", query)
        since_ms = int((re.findall(r"start_time >= (\d+)", query) or ["0"])[0])
        status = (re.findall(r"status = '(\w+)'", query) or [None])[0]
        page, size = int(how.get("page_token") or 0), how.get("max_results", 1000)

        def search() -> Any:
            found = [
                run
                for run in self.runs.values()
                if all(run.data.tags.get(name) == value for name, value in tags)
                and run.info.start_time >= since_ms
                and status in (None, run.info.status)
                and run.info.lifecycle_stage == "active"
            ]
            rest = str(page + size) if len(found) > page + size else None
            return PagedList(found[page : page + size], rest)

        return self._call("search_runs", search)

    def create_run(self, experiment: str, start: int, tags: dict[str, str], name: str) -> FakeRun:
        def create() -> FakeRun:
            self._num_made += 1
            run = FakeRun(f"id{self._num_made:03d}", start, dict(tags), name)
            self.runs[run.info.run_id] = run
            return run

        return self._call("create_run", create)

    def delete_run(self, run_id: str) -> None:
        self._call("delete_run", lambda: self.runs.pop(run_id))

    def restore_run(self, run_id: str) -> None:
        self.runs[run_id].info.lifecycle_stage = "active"

    def get_run(self, run_id: str) -> FakeRun:
        return self.runs[run_id]

    def log_batch(self, run_id: str, *, synchronous: bool, **items: list[Any]) -> None:
        self._call("log_batch", lambda: self._store(self._run(run_id), **items))

    def _store(self, run: FakeRun, params: Any = (), metrics: Any = (), tags: Any = ()) -> None:
        from mlflow.exceptions import MlflowException

        assert len(metrics) + len(params) + len(tags) <= 1000
        if any(item.key in self.bad_names for item in [*params, *metrics, *tags]):
            raise MlflowException.invalid_parameter_value("a bad name")
        if any(run.params.get(param.key, param.value) != param.value for param in params):
            raise MlflowException.invalid_parameter_value("Changing param values is not allowed")
        run.params |= {param.key: param.value for param in params}
        run.metrics |= {(m.key, m.value, m.timestamp, m.step) for m in metrics}
        run.data.tags |= {tag.key: tag.value for tag in tags}

    def log_inputs(self, run_id: str, datasets: list[Any]) -> None:
        self._call("log_inputs", lambda: self.told_data.append(self._run(run_id).info.run_id))

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self._call("set_tag", lambda: self._run(run_id).data.tags.update({key: value}))

    def set_terminated(self, run_id: str, status: str, end_ms: int) -> None:
        def end() -> None:
            self._run(run_id).info.status = status
            self._run(run_id).info.end_time = end_ms

        self._call("set_terminated", end)

    def update_run(self, run_id: str, status: str) -> None:
        def update() -> None:
            self._run(run_id).info.status = status

        self._call("update_run", update)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distrain.track.shipper.POLL_S", 0.02)
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_WHILE_DRAINING_S", 0.01)


@pytest.fixture
def search(tmp_path: Path) -> Iterator[RecordedSearch]:
    with RecordedSearch(tmp_path / "journal") as recorded:
        yield recorded


def ship(search: RecordedSearch, store: FakeStore, **how: bool) -> bool:
    return ship_journal(search.folder, store, **how)


def ship_journal(
    folder: Path, store: FakeStore, *, may_restore: bool = True, with_data: bool = False
) -> bool:
    connect_to: Any = lambda server: store  # noqa: E731
    shipper = Shipper(folder, SERVER, connect_to=connect_to, may_restore=may_restore)
    shipper.start()
    try:
        return shipper.drain(20, with_data=with_data)
    finally:
        shipper.close()


def ship_winner(folder: Path, trial: int, store: FakeStore) -> FakeRun:
    """Record and ship the run that a trial becomes which won; return it."""
    name = f"{SWEEP}-{trial:04d}"
    tags = {"distrain.kind": "trial", "distrain.sweep": KEY, "distrain.trial": str(trial)}
    tags |= {"distrain.lineage.sha256": "e" * 64, "mlflow.user": "ann"}
    with JournalWriter(folder, "driver") as journal:
        journal.run({"experiment": NAME, "key": f"{KEY}-{trial:04d}", "name": name, "tags": tags})
        journal.params({"train.batch_size": "32"})
        journal.metrics(40, {"test/accuracy": 0.8})
        journal.status("FINISHED")
    assert ship_journal(folder, store)
    return store.trial(trial)


def run_trial(search: RecordedSearch, trial: int, outcome: str = "finished") -> None:
    search.suggest(trial, train__optimizer__lr=0.01)
    for time in (1, 2):
        search.report(trial, time, 20 * time, train__loss=1 / time, validation__accuracy=0.9)
    search.end(trial, outcome)


@pytest.mark.parametrize(
    ("number", "kind", "of_trial", "label"),
    [
        (1_000_003, "audit", 3, "0003-audit"),
        (2_003_000, "confirm", 3, "0003-confirm-1"),
        (2_012_001, "confirm", 12, "0012-confirm-2"),
    ],
)
def test_what_comes_after_a_search_is_a_run_of_its_own(
    search: RecordedSearch, number: int, kind: str, of_trial: int, label: str
) -> None:
    search.suggest(of_trial, seed=4)
    search.end(of_trial, "stopped", 20)
    search.suggest(number, seed=5)
    search.report(number, 1, 20, train__loss=0.5)
    search.end(number, "finished", 20)
    store = FakeStore()

    assert ship(search, store)

    [run] = (run for run in store.runs.values() if run.data.tags.get("distrain.kind") == kind)
    assert run.data.tags["distrain.trial"] == str(of_trial)
    assert run.data.tags["distrain.key"] == f"{KEY}-{label}"
    assert run.data.tags["distrain.seed"] == "5"
    assert run.info.run_name == f"trial {label} of {SWEEP}"
    assert run.points("train/loss") == {20: 0.5}


def test_a_trial_is_a_run_below_the_search_s_own(search: RecordedSearch) -> None:
    search.suggest(3, train__optimizer__lr=0.01, model__hidden=[128], seed=11)
    search.report(3, 1, 20, train__loss=0.5, validation__accuracy=math.nan)
    search.decide(3, "stop", "rung 0: 17th of 64")
    search.end(3, "stopped_early", 20, metrics={"train/loss": 0.4, "validation/loss": 0.3})
    store = FakeStore()

    assert ship(search, store)

    run, parent = store.trial(3), store.parent.info.run_id
    assert run.params == {"train.optimizer.lr": "0.01", "model.hidden": "[128]", "seed": "11"}
    assert run.points("train/loss") == {20: 0.5}
    assert math.isnan(run.points("validation/accuracy")[20])
    assert run.points("validation/loss") == {20: 0.3}
    assert run.data.tags == {
        "distrain.key": f"{KEY}-0003",
        "distrain.kind": "trial",
        "distrain.trial": "3",
        "distrain.sweep": KEY,
        "distrain.seed": "11",
        "distrain.data.sha256": "d" * 64,
        "distrain.outcome": "stopped_early",
        "distrain.stop_reason": "rung 0: 17th of 64",
        "distrain.stop_step": "20",
        "mlflow.parentRunId": parent,
        "mlflow.runColor": PLAIN_COLOR,
        "mlflow.user": "ann",
        "mlflow.source.name": "distrain tune run.yaml",
    }
    assert run.info.status == "FINISHED"
    suggested, *_, ended = search.events.earlier(0)
    assert (run.info.start_time, run.info.end_time) == (suggested.time_ms, ended.time_ms)


def test_what_changes_in_the_course_of_a_trial_is_a_parameter_once_it_has_ended(
    search: RecordedSearch,
) -> None:
    """MLflow takes a parameter once: the settings of a population's trials are tags until then."""
    began = {"train.optimizer.lr": 0.5}
    taken = {
        "train.optimizer.lr": 0.25,
        "train.changes": [{"step": 20, "values": {"train.optimizer.lr": 0.3}}],
    }
    text = "It takes over from trial 1, at step 20, with train.optimizer.lr 0.25 -> 0.3."
    search.events.search(
        {"event": "suggested", "trial": 3, "assignment": began, "may_change": True}
    )
    search.report(3, 1, 20, train__loss=0.5)
    search.decide(3, "copy", text, source=1, assignment=taken)
    store = FakeStore()
    assert ship(search, store)
    assert store.trial(3).params == {}

    search.report(3, 2, 40, train__loss=0.25)
    search.end(3, "finished", assignment=taken)
    assert ship(search, store)

    run = store.trial(3)
    assert run.data.tags["distrain.suggested.train.optimizer.lr"] == "0.5"
    assert run.data.tags["distrain.took_over.0"] == text
    assert "distrain.stop_reason" not in run.data.tags
    assert run.params == assignment_params(taken)
    assert run.params["train.optimizer.lr"] == "0.25"
    assert run.points("train/loss") == {20: 0.5, 40: 0.25}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("finished", "FINISHED"),
        ("stopped_early", "FINISHED"),
        ("stopped", "FINISHED"),
        ("failed", "FAILED"),
        ("killed", "KILLED"),
        ("interrupted", "KILLED"),
    ],
)
def test_each_outcome_has_its_status(search: RecordedSearch, outcome: str, status: str) -> None:
    run_trial(search, 0, outcome)
    store = FakeStore()
    assert ship(search, store)
    run = store.trial(0)
    assert (run.info.status, run.data.tags["distrain.outcome"]) == (status, outcome)


def test_a_failed_trial_says_why(search: RecordedSearch) -> None:
    error = {"kind": "train", "message": "the loss is nan", "where": "step 7", "expected": ""}
    more = {"mend": "Use a lower rate", "class": "not_finite", "cause": "user"}
    search.suggest(0, seed=1)
    search.end(0, "failed", 7, error=error | more)
    store = FakeStore()
    assert ship(search, store)

    tags = store.trial(0).data.tags
    assert tags["distrain.error"] == "step 7: the loss is nan. Use a lower rate."
    assert tags["distrain.error.kind"] == "train"
    assert tags["distrain.error.class"] == "not_finite"
    assert tags["distrain.error.cause"] == "user"
    assert tags["distrain.stop_step"] == "7"


def test_a_whole_trial_takes_three_requests_and_all_of_them_one_search(
    search: RecordedSearch,
) -> None:
    for trial in range(20):
        run_trial(search, trial)
    store = FakeStore()
    assert ship(search, store)

    assert store.calls.count("create_run") == 1 + 20
    assert store.calls.count("log_batch") == 20
    assert store.calls.count("set_terminated") == 20
    assert store.calls.count("search_runs") == 1 + 1


def test_a_trial_of_many_portions_is_one_run_with_each_point_once(
    search: RecordedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.track.delivery.READ_BYTES", 700)
    store = FakeStore()
    search.suggest(0, seed=1)
    for time in range(1, 31):
        search.report(0, time, time, train__loss=1 / time)
        if time % 10 == 0:
            assert ship(search, store)
    search.end(0, "finished", 30)
    search.driver.status("FINISHED")
    assert ship(search, store)

    run = store.trial(0)
    assert run.points("train/loss") == {time: 1 / time for time in range(1, 31)}
    assert len(run.metrics) == 30
    assert run.info.status == store.parent.info.status == "FINISHED"


def test_more_than_one_request_takes_is_sent_in_several(search: RecordedSearch) -> None:
    names = {f"model__{number}": number for number in range(250)}
    search.suggest(0, **names)
    for step in range(1, 1201):
        search.report(0, step, step, train__loss=0.5, train__lr=0.1)
    store = FakeStore()
    assert ship(search, store)
    assert len(store.trial(0).params) == 250
    assert len(store.trial(0).metrics) == 2400


def test_lost_requests_and_lost_answers_leave_one_run_a_trial_and_no_doubles(
    search: RecordedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)

    def trouble(moment: str) -> None:
        if chance.random() < 0.3:
            raise ConnectionError("connection reset")

    monkeypatch.setattr("distrain.track.delivery.READ_BYTES", 4000)
    store = FakeStore(trouble)
    for trial in range(30):
        run_trial(search, trial)
        if trial % 10 == 9:
            assert ship(search, store)
    search.driver.status("FINISHED")
    assert ship(search, store)

    assert len(store.runs) == 1 + 30
    for trial in range(30):
        assert len(store.trial(trial).metrics) == 4
        assert store.trial(trial).info.status == "FINISHED"
        assert store.trial(trial).params == {"train.optimizer.lr": "0.01"}


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the shipper runs after it."""


def test_a_shipper_that_is_killed_anywhere_makes_no_run_twice(search: RecordedSearch) -> None:
    for trial in range(4):
        run_trial(search, trial)
    search.driver.status("FINISHED")
    store = FakeStore()

    def is_killed_at(fatal: int) -> bool:
        moments = itertools.count()

        def trouble(moment: str) -> None:
            if next(moments) == fatal:
                raise KilledError

        store.trouble = trouble
        try:
            Delivery(search.folder, SERVER).send_next(store)  # type: ignore[arg-type]
        except KilledError:
            return True
        return False

    num_kills = next(fatal for fatal in itertools.count() if not is_killed_at(fatal))

    assert num_kills > 4 * 4
    assert len(store.runs) == 1 + 4
    assert [len(store.trial(trial).metrics) for trial in range(4)] == [4] * 4


def test_a_run_that_a_slow_server_made_twice_is_left_once(search: RecordedSearch) -> None:
    late: dict[str, FakeRun] = {}

    def trouble(moment: str) -> None:
        if moment == "after create_run" and len(store.runs) == 2 and not late:
            late.update([store.runs.popitem()])
            raise TimeoutError("no answer yet")
        if moment == "before log_batch":
            store.runs.update(late)

    store = FakeStore(trouble)
    run_trial(search, 0)
    search.driver.status("FINISHED")
    assert ship(search, store)

    assert len(late) == 1
    assert len(store.trial(0).metrics) == 4


def test_a_winner_s_run_that_was_made_first_is_its_trial_s(
    search: RecordedSearch, tmp_path: Path
) -> None:
    run_trial(search, 0)
    run_trial(search, 1)
    search.driver.status("FINISHED")
    store = FakeStore()
    winner = ship_winner(tmp_path / "winner", 1, store)
    assert ship(search, store)

    assert store.trial(1) is winner
    assert winner.data.tags["mlflow.parentRunId"] == store.parent.info.run_id
    assert winner.params == {"train.batch_size": "32", "train.optimizer.lr": "0.01"}
    assert winner.points("train/loss") == {20: 1.0, 40: 0.5}
    assert winner.points("test/accuracy") == {40: 0.8}
    assert len(store.runs) == 1 + 2


def test_a_winner_whose_run_its_search_made_has_the_tags_of_its_own(
    search: RecordedSearch, tmp_path: Path
) -> None:
    run_trial(search, 0)
    store = FakeStore()
    assert ship(search, store)
    tags = ship_winner(tmp_path / "winner", 0, store).data.tags

    assert tags["distrain.lineage.sha256"] == "e" * 64
    assert tags["mlflow.parentRunId"] == store.parent.info.run_id


def test_trials_of_a_search_that_goes_on_come_from_the_code_of_then(
    search: RecordedSearch,
) -> None:
    search.driver.tags({"distrain.code.sha256": "1" * 64, "distrain.lineage.sha256": "e" * 64})
    store = FakeStore()
    run_trial(search, 0)
    assert ship(search, store)
    search.driver.tags({"distrain.code.sha256": "2" * 64, "distrain.lineage.sha256": "f" * 64})
    search.driver.tags({"distrain.code.sha256": "3" * 64})
    run_trial(search, 1)
    assert ship(search, store)

    codes = [store.trial(trial).data.tags["distrain.code.sha256"] for trial in (0, 1)]
    assert codes == ["1" * 64, "2" * 64]
    assert store.trial(1).data.tags["distrain.data.sha256"] == "d" * 64


def test_a_winner_s_run_that_is_made_while_the_search_s_trials_are_sent_is_found(
    search: RecordedSearch, tmp_path: Path
) -> None:
    run_dir = tmp_path.with_name(f"{tmp_path.name}-0001")

    def trouble(moment: str) -> None:
        if moment == "after log_batch" and not run_dir.exists():
            run_dir.mkdir()
            ship_winner(run_dir / "journal", 1, store)

    store = FakeStore(trouble)
    run_trial(search, 0)
    run_trial(search, 1)
    assert ship(search, store)

    assert len(store.runs) == 1 + 2
    assert store.trial(1).points("test/accuracy") == {40: 0.8}


def test_at_a_store_it_is_found_too_though_its_folder_is_elsewhere(
    search: RecordedSearch, tmp_path: Path
) -> None:
    place = Place.parse(f"s3://team/runs/name/{tmp_path.name}")
    own, elsewhere = Link(tmp_path, place), tmp_path / "elsewhere" / f"{tmp_path.name}-0001"

    with ExitStack() as stack:

        def trouble(moment: str) -> None:
            if moment == "after log_batch" and not elsewhere.exists():
                ship_winner(elsewhere / "journal", 1, store)
                stack.enter_context(linked(Link(elsewhere, place.parent.below(elsewhere.name))))

        store = FakeStore(trouble)
        run_trial(search, 0)
        run_trial(search, 1)
        own.durable = {path.name: path.stat().st_size for path in search.folder.glob("*.jsonl")}
        stack.enter_context(linked(own))
        assert ship(search, store)

    assert len(store.runs) == 1 + 2
    assert store.trial(1).points("test/accuracy") == {40: 0.8}


def test_a_winner_that_ends_deletes_no_run_that_holds_something(
    search: RecordedSearch, tmp_path: Path
) -> None:
    run_trial(search, 0)
    store = FakeStore()
    assert ship(search, store)
    ours = store.trial(0)
    other = FakeRun("other", 0, dict(ours.data.tags), "other")
    other.metrics.add(("train/loss", 0.5, 0, 20))
    empty = FakeRun("empty", 0, dict(ours.data.tags), "empty")
    store.runs |= {"other": other, "empty": empty}
    ship_winner(tmp_path / "winner", 0, store)
    search.driver.status("FINISHED")
    assert ship(search, store)

    assert set(store.runs) == {store.parent.info.run_id, ours.info.run_id, "other"}


def test_of_two_runs_of_a_trial_the_one_that_holds_something_is_gone_on_with(
    search: RecordedSearch,
) -> None:
    run_trial(search, 0)
    store = FakeStore()
    assert ship(search, store)
    ours = store.trial(0)
    empty = FakeRun("empty", 0, dict(ours.data.tags), "empty")
    store.runs = {"empty": empty, **store.runs}
    (search.folder / WATERMARK).unlink()
    assert ship(search, store)

    assert store.trial(0) is ours
    assert "empty" not in store.runs


def test_steps_that_are_reported_again_keep_their_first_value(search: RecordedSearch) -> None:
    store = FakeStore()
    search.suggest(0, seed=1)
    for time in (1, 2, 3):
        search.report(0, time, time, train__loss=1.0)
    assert ship(search, store)
    for time in (2, 3, 4):
        search.report(0, time, time, train__loss=2.0)
    assert ship(search, store)
    assert store.trial(0).points("train/loss") == {1: 1.0, 2: 1.0, 3: 1.0, 4: 2.0}
    assert len(store.trial(0).metrics) == 4


def test_a_search_that_was_killed_ends_its_trials_and_goes_on_with_them(
    search: RecordedSearch,
) -> None:
    store = FakeStore()
    run_trial(search, 0)
    search.suggest(1, seed=1)
    search.report(1, 1, 20, train__loss=1.0)
    search.driver.status("KILLED", ended_ms=12345)
    assert ship(search, store)

    assert store.trial(0).info.status == "FINISHED"
    cut = store.trial(1)
    assert (cut.info.status, cut.info.end_time) == ("KILLED", 12345)
    assert cut.data.tags["distrain.outcome"] == "killed"
    assert cut.data.tags["distrain.stop_step"] == "20"

    search.driver.status("RUNNING")
    search.report(1, 1, 20, train__loss=3.0)
    search.report(1, 2, 40, train__loss=2.0)
    assert ship(search, store)
    assert cut.info.status == "RUNNING"
    assert cut.data.tags["distrain.outcome"] == "running"
    assert cut.data.tags["distrain.stop_step"] == "none"
    assert cut.points("train/loss") == {20: 1.0, 40: 2.0}
    search.end(1, "finished")
    assert ship(search, store)
    assert (cut.info.status, cut.data.tags["distrain.outcome"]) == ("FINISHED", "finished")


def test_a_shipper_that_is_killed_while_a_search_ends_knows_which_trials_it_ended(
    search: RecordedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.track.children.SAVE_EVERY_S", 0)

    def trouble(moment: str) -> None:
        if moment == "before log_batch" and store.trial(0).info.status == "KILLED":
            raise KilledError

    store = FakeStore()
    search.suggest(0, seed=0)
    search.suggest(1, seed=1)
    assert ship(search, store)
    search.driver.status("KILLED")
    store.trouble = trouble
    with pytest.raises(KilledError):
        Delivery(search.folder, SERVER).send_next(store)  # type: ignore[arg-type]

    store.trouble = lambda moment: None
    search.driver.status("RUNNING")
    search.report(0, 1, 20, train__loss=1.0)
    assert ship(search, store)
    assert store.trial(0).info.status == "RUNNING"


def test_a_trial_that_was_cut_off_runs_once_it_is_started_again(search: RecordedSearch) -> None:
    store = FakeStore()
    search.suggest(0, seed=0)
    search.suggest(1, seed=1)
    search.driver.status("KILLED")
    assert ship(search, store)
    search.driver.status("RUNNING")
    search.events.search({"event": "started", "trial": 0, "attempt": 2})
    assert ship(search, store)

    assert (store.trial(0).info.status, store.trial(1).info.status) == ("RUNNING", "KILLED")
    assert store.trial(0).data.tags["distrain.outcome"] == "running"
    assert store.trial(0).data.tags["distrain.stop_step"] == "none"


def test_a_trial_that_was_cut_off_and_finished_stopped_at_no_step(search: RecordedSearch) -> None:
    store = FakeStore()
    search.suggest(0, seed=0)
    search.report(0, 1, 20, train__loss=1.0)
    search.driver.status("KILLED")
    assert ship(search, store)
    search.end(0, "finished")
    assert ship(search, store)

    tags = store.trial(0).data.tags
    assert (tags["distrain.outcome"], tags["distrain.stop_step"]) == ("finished", "none")


def test_what_is_kept_of_a_trial_that_has_ended_does_not_grow_with_its_metrics(
    search: RecordedSearch,
) -> None:
    search.suggest(0, seed=1)
    search.report(0, 1, 20, **{f"validation__{number}": 1.0 for number in range(50)})
    search.suggest(1, seed=1)
    search.report(1, 1, 20, train__loss=1.0)
    store = FakeStore()
    assert ship(search, store)
    search.end(0, "finished")
    assert ship(search, store)

    kept = json.loads((search.folder / WATERMARK).read_text())["trials"]
    marks = {"has_reason": False, "has_won": False, "score": None, "rank": 0}
    assert kept["0"] == {"outcome": "finished", "ended_step": 40, "last_steps": {}, **marks}
    assert kept["1"] == {
        "outcome": "",
        "ended_step": -1,
        "last_steps": {"train/loss": 20},
        **marks,
    }
    mark = Watermark.load(search.folder)
    assert mark.child_ids == {n: store.trial(n).info.run_id for n in (0, 1)}
    mark.save(search.folder)
    assert Watermark.load(search.folder) == mark


def test_a_lost_watermark_sends_the_same_rows_again(search: RecordedSearch) -> None:
    store = FakeStore()
    for trial in range(3):
        run_trial(search, trial)
    assert ship(search, store)
    (search.folder / WATERMARK).write_text("{")
    assert ship(search, store)

    assert len(store.runs) == 1 + 3
    assert [len(store.trial(trial).metrics) for trial in range(3)] == [4] * 3


def test_of_many_runs_all_pages_are_looked_at(
    search: RecordedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.track.children._PAGE", 2)
    store = FakeStore()
    for trial in range(5):
        run_trial(search, trial)
    assert ship(search, store)
    (search.folder / WATERMARK).unlink()
    assert ship(search, store)
    assert len(store.runs) == 1 + 5


def test_a_trial_s_run_that_was_deleted_while_it_is_recorded_is_restored(
    search: RecordedSearch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FakeStore()
    search.suggest(0, seed=1)
    search.report(0, 1, 20, train__loss=1.0)
    assert ship(search, store)
    store.trial(0).info.lifecycle_stage = "deleted"
    search.report(0, 2, 40, train__loss=0.5)
    assert ship(search, store)

    assert store.trial(0).points("train/loss") == {20: 1.0, 40: 0.5}
    assert "distrain.tracking.rejected" not in store.parent.data.tags
    assert (
        f"run 'trial 0000 of {SWEEP}' was deleted while it is recorded; it is restored"
        in caplog.text
    )


def test_many_runs_that_were_deleted_are_restored_one_after_the_other_without_longer_pauses(
    search: RecordedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.track.shipper.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_S", 60)
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_WHILE_DRAINING_S", 60)
    store = FakeStore()
    for trial in range(16):
        search.suggest(trial, seed=1)
    assert ship(search, store)
    for trial in range(16):
        store.trial(trial).info.lifecycle_stage = "deleted"
        search.end(trial, "finished")
    assert ship(search, store)
    assert {store.trial(trial).info.status for trial in range(16)} == {"FINISHED"}


def test_a_trial_s_run_that_was_deleted_is_left_so_until_its_search_is_named(
    search: RecordedSearch,
) -> None:
    store = FakeStore()
    for trial in range(3):
        search.suggest(trial, seed=trial)
        search.report(trial, 1, 20, train__loss=1.0)
    assert ship(search, store)
    deleted = store.trial(1)
    deleted.info.lifecycle_stage = "deleted"
    for trial in range(3):
        search.report(trial, 2, 40, train__loss=0.5)
        search.end(trial, "finished")
    search.driver.status("FINISHED")

    assert ship(search, store, may_restore=False)
    assert deleted.info.lifecycle_stage == "deleted"
    assert deleted.points("train/loss") == {20: 1.0}
    assert store.trial(2).points("train/loss") == {20: 1.0, 40: 0.5}
    assert store.parent.info.status == "FINISHED"
    assert "distrain.tracking.rejected" not in store.parent.data.tags
    assert Watermark.load(search.folder).left_deleted == [deleted.info.run_id]

    assert ship(search, store)
    assert store.trial(1) is deleted
    assert deleted.info.lifecycle_stage == "active"
    assert deleted.points("train/loss") == {20: 1.0, 40: 0.5}
    assert deleted.info.status == store.parent.info.status == "FINISHED"
    assert [len(store.trial(trial).metrics) for trial in range(3)] == [2] * 3
    assert Watermark.load(search.folder).left_deleted == []


def test_a_search_that_ends_passes_over_an_open_trial_whose_run_was_deleted(
    search: RecordedSearch,
) -> None:
    store = FakeStore()
    search.suggest(0, seed=0)
    search.suggest(1, seed=1)
    assert ship(search, store)
    store.trial(0).info.lifecycle_stage = "deleted"
    search.driver.status("KILLED")
    assert ship(search, store, may_restore=False)
    assert (store.trial(0).info.status, store.trial(1).info.status) == ("RUNNING", "KILLED")


def test_a_trial_s_run_that_is_gone_for_good_is_made_again_from_the_journal(
    search: RecordedSearch,
) -> None:
    store = FakeStore()
    search.suggest(0, seed=1)
    search.report(0, 1, 20, train__loss=1.0)
    assert ship(search, store)
    del store.runs[store.trial(0).info.run_id]
    search.report(0, 2, 40, train__loss=0.5)
    assert ship(search, store)

    assert store.trial(0).points("train/loss") == {20: 1.0, 40: 0.5}
    assert store.trial(0).params == {"seed": "1"}


def test_what_is_refused_of_a_trial_is_told_in_its_run_and_the_search_s(
    search: RecordedSearch,
) -> None:
    store = FakeStore()
    store.bad_names = {"bad[0]"}
    search.suggest(0, seed=1)
    search.report(0, 1, 20, **{"good": 1.0, "bad[0]": 2.0})
    run_trial(search, 1)
    assert ship(search, store)

    assert store.trial(0).points("good") == {20: 1.0}
    assert store.trial(0).params == {"seed": "1"}
    assert store.trial(0).data.tags["distrain.tracking.rejected"] == "1"
    assert store.parent.data.tags["distrain.tracking.rejected"] == "1"
    assert "distrain.tracking.rejected" not in store.trial(1).data.tags
    rejected = json.loads((search.folder / "rejected.jsonl").read_text())
    assert rejected["what"] == "metrics bad[0]"


def test_of_a_damaged_segment_the_rest_is_sent_and_what_is_lost_is_told(
    search: RecordedSearch,
) -> None:
    run_trial(search, 0)
    segment = list_segments(search.folder)[-1]
    segment.write_bytes(segment.read_bytes().replace(b'"train.optimizer.lr":0.01', b'"x":0.01', 1))
    store = FakeStore()
    assert ship(search, store)

    assert len(store.trial(0).metrics) == 4
    assert store.trial(0).params == {}
    assert store.parent.data.tags["distrain.tracking.rejected"] == "1"


def test_what_the_store_is_not_told_of_is_passed_over(search: RecordedSearch) -> None:
    for event in ("started", "paused"):
        search.events.search({"event": event, "trial": 0})
    search.events.search({"event": "best", "value": math.inf})
    search.decide(0, "go_on", "rung 0: 3rd of 64")
    store = FakeStore()
    assert ship(search, store)
    assert list(store.runs) == [store.parent.info.run_id]


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store that takes the layout of an experiment's page."""
    store: Any = FakeStore()
    store.experiment = {}
    store.set_experiment_tag = lambda _, name, value: store.experiment.update({name: value})
    store.get_experiment = lambda _: SimpleNamespace(
        experiment_id="1", name="adult", lifecycle_stage="active", tags=store.experiment
    )
    return store


def end_trial(search: RecordedSearch, trial: int, accuracy: float) -> None:
    search.suggest(trial, train__optimizer__lr=0.01)
    search.end(trial, "finished", metrics={"validation/accuracy": accuracy})


def test_ranks_and_the_data_are_told_once_a_laid_out_search_has_ended(
    tmp_path: Path, laid_out: Any
) -> None:
    with RecordedSearch(tmp_path / "journal", LAYOUT, DATASET) as search:
        for trial, accuracy in enumerate((0.5, 0.75, 0.75)):
            end_trial(search, trial, accuracy)
        search.driver.status("FINISHED")

        assert ship(search, laid_out)

    ranks = [laid_out.trial(trial).points("search/rank") for trial in range(3)]
    assert ranks == [{40: 3.0}, {40: 1.0}, {40: 2.0}]
    assert {laid_out.trial(trial).info.run_id for trial in range(3)} < set(laid_out.told_data)
    shared = [name for name in laid_out.experiment if name.startswith("mlflow.sharedViewState.")]
    assert len(shared) == 2
    assert laid_out.trial(0).params["log10.train.optimizer.lr"] == "-2.0"


def test_the_best_alone_are_told_their_rank(
    tmp_path: Path, laid_out: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "MAX_RANKED", 1)
    with RecordedSearch(tmp_path / "journal", LAYOUT, DATASET) as search:
        for trial, accuracy in enumerate((0.5, 0.75)):
            end_trial(search, trial, accuracy)
        search.driver.status("FINISHED")

        assert ship(search, laid_out)

    assert [laid_out.trial(trial).points("search/rank") for trial in range(2)] == [{}, {40: 1.0}]


def test_of_a_search_that_goes_on_only_the_ranks_that_changed_are_told_again(
    tmp_path: Path, laid_out: Any
) -> None:
    with RecordedSearch(tmp_path / "journal", LAYOUT, DATASET) as search:
        for trial, accuracy in enumerate((0.5, 0.75, 0.9)):
            end_trial(search, trial, accuracy)
        search.driver.status("FINISHED")
        assert ship(search, laid_out)
        search.driver.status("RUNNING")
        end_trial(search, 3, 0.6)
        search.driver.status("FINISHED")
        laid_out.calls.clear()
        assert ship(search, laid_out)

    assert laid_out.calls.count("log_batch") == 3  # news of trial 3, its rank, and that of trial 0
    marked = Watermark.load(tmp_path / "journal").trials
    assert [marked[trial].rank for trial in range(4)] == [4, 2, 1, 3]


def test_while_a_search_goes_on_its_trials_are_told_their_data(
    tmp_path: Path, laid_out: Any
) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    laid_out.trouble = heard.put
    with RecordedSearch(tmp_path / "journal", LAYOUT, DATASET) as search:
        end_trial(search, 0, 0.5)
        search.suggest(1, seed=1)
        shipper = Shipper(search.folder, SERVER, connect_to=lambda _: laid_out)
        shipper.start()
        told = (moment == "after log_inputs" for moment in iter(lambda: heard.get(timeout=20), ""))
        assert sum(itertools.islice(filter(None, told), 3)) == 3
        shipper.close()

    ids = [laid_out.parent.info.run_id, *(laid_out.trial(n).info.run_id for n in (0, 1))]
    assert laid_out.told_data == ids
    assert Watermark.load(search.folder).without_data == []


def test_the_data_of_all_but_the_best_comes_last_of_all(
    tmp_path: Path, laid_out: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "MAX_RANKED", 1)
    with RecordedSearch(tmp_path / "journal", LAYOUT, DATASET) as search:
        for trial, accuracy in enumerate((0.5, 0.75, 0.25)):
            end_trial(search, trial, accuracy)
        search.driver.status("FINISHED")
    delivery = Delivery(search.folder, SERVER)
    while delivery.send_next(laid_out):
        pass
    ids = [laid_out.trial(trial).info.run_id for trial in range(3)]

    assert laid_out.parent.info.status == "FINISHED"
    assert laid_out.told_data == [laid_out.parent.info.run_id, ids[1]]
    assert has_unsent(search.folder, Watermark.load(search.folder))

    while delivery.tell_data(laid_out):
        pass
    assert laid_out.told_data[2:] == [ids[0], ids[2]]
    assert not has_unsent(search.folder, Watermark.load(search.folder))


def test_a_shipper_that_is_killed_anywhere_leaves_each_trial_told_its_data(tmp_path: Path) -> None:
    with RecordedSearch(tmp_path / "journal", dataset=DATASET) as search:
        for trial in range(4):
            run_trial(search, trial)
        search.driver.status("FINISHED")
    store = FakeStore()

    def is_killed_at(fatal: int) -> bool:
        moments = itertools.count()

        def trouble(moment: str) -> None:
            if next(moments) == fatal:
                raise KilledError

        store.trouble = trouble
        delivery = Delivery(search.folder, SERVER)
        try:
            delivery.send_next(store)  # type: ignore[arg-type]
            while delivery.tell_data(store):  # type: ignore[arg-type]
                pass
        except KilledError:
            return True
        return False

    assert next(fatal for fatal in itertools.count() if not is_killed_at(fatal)) > 4 * 4

    assert set(store.told_data) == set(store.runs)
    assert len(store.runs) == 1 + 4
    assert Watermark.load(search.folder).without_data == []


def test_lost_requests_and_lost_answers_leave_each_trial_told_its_data(tmp_path: Path) -> None:
    chance = random.Random(5)

    def trouble(moment: str) -> None:
        if chance.random() < 0.3:
            raise ConnectionError("connection reset")

    with RecordedSearch(tmp_path / "journal", dataset=DATASET) as search:
        for trial in range(20):
            run_trial(search, trial)
        search.driver.status("FINISHED")
    store = FakeStore(trouble)

    assert ship(search, store, with_data=True)
    assert set(store.told_data) == set(store.runs)
    assert not has_unsent(search.folder, Watermark.load(search.folder))


def test_a_trial_s_run_that_was_deleted_is_told_its_data_once_its_search_is_named(
    tmp_path: Path,
) -> None:
    with RecordedSearch(tmp_path / "journal", dataset=DATASET) as search:
        run_trial(search, 0)
        run_trial(search, 1)
        search.driver.status("FINISHED")
    store = FakeStore()
    Delivery(search.folder, SERVER).send_next(store)  # type: ignore[arg-type]
    deleted, other = (store.trial(trial).info for trial in (0, 1))
    deleted.lifecycle_stage = "deleted"

    assert ship(search, store, may_restore=False, with_data=True)
    assert store.told_data == [store.parent.info.run_id, other.run_id]
    assert ship(search, store, with_data=True)
    assert deleted.run_id in store.told_data
    assert "distrain.tracking.rejected" not in store.parent.data.tags
