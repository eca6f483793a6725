"""Points that a store has already are not sent once more, and no other is left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric, Run, RunData, RunInfo

from distrain.track.delivery import Delivery
from distrain.track.journal import JournalWriter
from distrain.track.tracking_server import TrackingServer

SERVER = TrackingServer("http://127.0.0.1:1", None, "track.uri")
NUM_STEPS = 2_500


class Store:
    """Keeps the points of one run, and loses what it is told to.

    Attributes:
        loses: number of a request for points to whether it is done before its answer is lost.
        stage: the run's.
    """

    def __init__(self) -> None:
        self.points: list[tuple[str, int]] = []
        self.sent: list[int] = []
        self.num_asked = 0
        self.loses: dict[int, bool] = {}
        self.stage = "active"

    def get_experiment_by_name(self, _: str) -> Any:
        return type("Experiment", (), {"experiment_id": "1", "lifecycle_stage": "active"})

    def search_runs(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def create_run(self, *_: Any) -> Any:
        return self.get_run("r")

    def set_tag(self, *_: Any) -> None:
        pass

    def get_run(self, run_id: str) -> Run:
        self.num_asked += 1
        newest = dict(sorted(self.points))
        metrics = [Metric(name, 0.0, 0, step) for name, step in newest.items()]
        info = RunInfo(run_id, "1", "ann", "RUNNING", 0, None, self.stage)
        return Run(info, RunData(metrics, [], []))

    def log_batch(self, _: str, metrics: list[Metric] = (), **__: Any) -> None:  # type: ignore[assignment]
        if not metrics:
            return
        self.sent.append(len(metrics))
        loss = self.loses.pop(len(self.sent), None)
        if loss is not False:
            self.points += [(metric.key, metric.step) for metric in metrics]
        if loss is not None:
            raise ConnectionError("no answer")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with JournalWriter(tmp_path, "driver") as journal:
        journal.run({"experiment": "e", "key": "e/r", "name": "r", "tags": {}})
        for step in range(1, NUM_STEPS + 1):
            journal.metrics(step, {"loss": 1 / step})
    return tmp_path


def deliver(delivery: Delivery, store: Any) -> None:
    while True:
        try:
            if not delivery.send_next(store):
                return
        except ConnectionError:
            pass


def all_points() -> list[tuple[str, int]]:
    return [("loss", step) for step in range(1, NUM_STEPS + 1)]


@pytest.mark.parametrize(
    ("is_done", "sent"), [(True, [1000, 1000, 500]), (False, [1000, 1000, 1000, 500])]
)
def test_a_request_whose_answer_was_lost_is_sent_again_where_it_did_not_arrive(
    folder: Path, is_done: bool, sent: list[int]
) -> None:
    store = Store()
    store.loses = {2: is_done}

    deliver(Delivery(folder, SERVER), store)

    assert store.points == all_points()
    assert store.sent == sent


def test_who_goes_on_after_a_process_that_died_sends_what_had_not_arrived(folder: Path) -> None:
    store = Store()
    store.loses = {3: False}
    first = Delivery(folder, SERVER)
    with pytest.raises(ConnectionError):
        first.send_next(store)  # type: ignore[arg-type]

    deliver(Delivery(folder, SERVER), store)

    assert store.points == all_points()
    assert store.sent == [1000, 1000, 500, 500]


def test_without_a_loss_the_store_is_asked_nothing(folder: Path) -> None:
    store = Store()

    deliver(Delivery(folder, SERVER), store)

    assert store.points == all_points()
    assert store.num_asked == 1  # the run, when it was made


@pytest.mark.parametrize("prepare", [lambda store: setattr(store, "stage", "deleted")])
def test_of_a_run_that_was_deleted_all_is_sent(
    folder: Path, prepare: Callable[[Store], None]
) -> None:
    store = Store()
    store.loses = {1: True}
    prepare(store)

    deliver(Delivery(folder, SERVER), store)

    assert store.sent == [1000, 1000, 1000, 500]
