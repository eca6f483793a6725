"""The driver of a search, without Ray: what it gives its trials, and what it leaves."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from distrain import lease
from distrain.config.load import settings_from_dict
from distrain.data.prepared import PreparedDataset
from distrain.run_folder import JOURNAL
from distrain.train.loop import TrainJob, train
from distrain.train.placement import Placement
from distrain.train.speed import Speed
from distrain.train.worker import STOP_FILE
from distrain.train.world import World
from distrain.tune import sweep as sweep_module
from distrain.tune.course import Course
from distrain.tune.events import writing_events
from distrain.tune.measured import value_of
from distrain.tune.peers import JOB_FILE
from distrain.tune.reporter import Reporter
from distrain.tune.space import Space
from distrain.tune.sweep import Sweep
from distrain.tune.trials import Work
from tests.prepared_examples import write_classified

STEPS_PER_EPOCH = 8


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    rows = {"train": STEPS_PER_EPOCH * 16, "validation": 32}
    return PreparedDataset.open(write_classified(tmp_path_factory.mktemp("data"), rows))


@pytest.fixture
def sweep_of(dataset: PreparedDataset, tmp_path: Path) -> Callable[..., Sweep]:
    def make(train: Mapping[str, Any], evaluate: Mapping[str, Any], **tune: Any) -> Sweep:
        space = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
        settings = settings_from_dict(
            {
                "data": {"source": "a.csv", "target": "label", "task": "classification"},
                "model": {"name": "mlp", "hidden": [8]},
                "train": {"global_batch_size": 16, **train},
                "evaluate": evaluate,
                "tune": {"space": space, "num_trials": 1, "search_alg": "random", **tune},
            }
        )
        run_dir = tmp_path / "digits" / "20261129T193230-5872f0"
        run_dir.mkdir(parents=True)
        fence = lease.take(run_dir).fence
        placement = Placement(1, 1.0, 0.0)
        return Sweep(settings, Space.of(settings), dataset, run_dir, placement, [], fence)

    return make


def job_of_first_trial(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> TrainJob:
    """Return what the actor of the first trial is given; it is not run."""
    folders: list[Path] = []

    def give_away(
        course: Course, _run: Any, prepare: Callable[[Work], Path], *_: Any, **__: Any
    ) -> None:
        work = course.next_work()
        assert work is not None
        folders.append(prepare(work))

    monkeypatch.setattr(sweep_module, "run_search", give_away)
    sweep.search(lambda _: None, lambda _: None)
    return TrainJob.from_json(json.loads((folders[0] / JOB_FILE).read_text()))


class Channel:
    """Keeps what is told, and pauses the trial where that is asked for."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, Any]] = []

    def tell(self, _kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        self.told.append(fields)
        return {"reply": "go_on"}


def reports(job: TrainJob, *, by_epoch: bool, stops_after: int | None = None) -> list[Any]:
    """Return what a trial reports; it may be stopped after so many steps."""
    channel: Any = Channel()
    reporter = Reporter({"by_epoch": by_epoch}, {"until": None}, channel, 0.0, Speed())
    steps = iter(range(1, 1_000))
    train(
        job,
        World.single("cpu"),
        reporter,
        stop_requested=lambda: next(steps) == stops_after,
        ask=reporter.ask,
    )
    told: list[Any] = channel.told
    return told


def test_train_loss_is_in_every_report_by_steps(
    sweep_of: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = {"name": "asha", "time_attr": "step", "grace_period": 3}
    tune = {"metric": "train/loss", "scheduler": scheduler}
    sweep = sweep_of({"steps": 9}, {"every_steps": 3}, **tune)

    told = reports(job_of_first_trial(sweep, monkeypatch), by_epoch=False)

    assert [one["time"] for one in told] == [3, 6, 9]
    assert all(value_of(one["values"], "train/loss", "trial 0") > 0 for one in told)


def test_train_loss_is_reported_of_who_goes_on_between_an_epoch_s_end_and_its_evaluation(
    sweep_of: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_of({"epochs": 2}, {"every_steps": 5}, metric="train/loss")
    job = job_of_first_trial(sweep, monkeypatch)
    # Evaluated at steps 5, 10 and 15; the first epoch has 8.
    assert reports(job, by_epoch=True, stops_after=9) == []

    told = reports(job, by_epoch=True)

    assert [(one["time"], one["step"]) for one in told] == [(1, 10)]
    assert value_of(told[0]["values"], "train/loss", "trial 0") > 0


def test_what_a_driver_left_that_was_killed_at_the_end_of_its_search_is_removed(
    sweep_of: Callable[..., Sweep],
) -> None:
    sweep = sweep_of({"epochs": 1}, {})
    actors = sweep.run_dir / ".tune-1" / "slots"
    actors.mkdir(parents=True)
    (sweep.run_dir / STOP_FILE).touch()
    with writing_events(sweep.run_dir / JOURNAL, lambda: True) as log:
        log.add("began")
        log.add("suggested", trial=0, assignment={"train.optimizer.lr": 0.01}, batch=[0, 1])
        log.add("started", trial=0, attempt=1, until=None)
        end = {"step": 8, "epoch": 1, "metrics": {"validation/loss": 0.5}, "train_s": 0.1}
        log.add("ended", trial=0, outcome="finished", **end, weights_sha256="5f3c0a1e", error=None)

    course = sweep.search(lambda _: None, lambda _: None)

    assert course.is_over
    assert not actors.parent.exists()
    assert not (sweep.run_dir / STOP_FILE).exists()
