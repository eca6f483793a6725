"""Trials of a search at a store, without Ray: on whatever host, and to the same bits."""

import errno
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import pytest

from distrain import lease
from distrain.config.load import settings_from_dict
from distrain.data.prepared import PreparedDataset
from distrain.errors import TrainError
from distrain.object_store import link as link_module
from distrain.object_store.bucket import Bucket
from distrain.object_store.link import Link, link_of
from distrain.object_store.place import Place
from distrain.object_store.work_link import driver_folder
from distrain.train.job import TrainOutcome
from distrain.train.loop import TrainJob, train
from distrain.train.placement import Placement
from distrain.train.speed import Speed
from distrain.train.taking_up import newest_good
from distrain.train.world import World
from distrain.tune import host, trial
from distrain.tune import sweep as sweep_module
from distrain.tune.course import Course
from distrain.tune.hangs import last_word, leave_last_word
from distrain.tune.host import (
    JOB_FILE,
    Here,
    attempt_at_store,
    folder_here,
    keep_logs,
    processes_folder,
    search_at_store,
    trial_at_store,
)
from distrain.tune.places import hand_over
from distrain.tune.reporter import Reporter
from distrain.tune.slots import Slots
from distrain.tune.space import Space
from distrain.tune.sweep import Sweep
from distrain.tune.trials import Work, fields_of
from tests.prepared_examples import write_classified
from tests.s3_server import S3Server

STEPS_PER_EPOCH = 8
STEPS = 2 * STEPS_PER_EPOCH
Prepare = Callable[[Work], Path]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    rows = {"train": STEPS_PER_EPOCH * 16, "validation": 32}
    return PreparedDataset.open(write_classified(tmp_path_factory.mktemp("data"), rows))


@pytest.fixture
def place(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The place of a search; the driver's host is the first that there is."""
    for name, text in server.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return server.place(f"kept/{tmp_path.name}/20261130T193230-5872f0")


@pytest.fixture
def search(place: Place) -> Iterator[Path]:
    """The folder of a search at a store, on its driver's host, with its lease taken."""
    with driver_folder(place, is_new=True) as folder, lease.holding(folder, print):
        yield folder


@pytest.fixture
def sweep(search: Path, dataset: PreparedDataset) -> Sweep:
    settings = settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "label", "task": "classification"},
            "model": {"name": "mlp", "hidden": [8]},
            "train": {"global_batch_size": 16, "epochs": 2},
            "tune": {
                "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
                "num_trials": 1,
                "search_alg": "random",
            },
        }
    )
    return Sweep(settings, Space.of(settings), dataset, search, Placement(1, 1.0, 0.0), [], 1)


@final
class Hosts:
    """Hosts that share nothing with the driver's but the store."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def enter(self, name: str, sweep: Sweep) -> AbstractContextManager[Here]:
        """Return where a process of a search works on a host of a name."""
        (self._folder / name).mkdir(exist_ok=True)
        self._monkeypatch.setattr(tempfile, "tempdir", str(self._folder / name))
        common = {"sweep_dir": str(sweep.run_dir), "store": search_at_store(sweep.run_dir)}
        return processes_folder(json.loads(json.dumps(common)))


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(tmp_path, monkeypatch)


@pytest.fixture
def drive(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Course]:
    """Does something in the place of Ray Tune."""

    def do(do_it: Callable[..., None], *, with_events: bool = False) -> Course:
        def fake(course: Course, _run: Any, prepare: Prepare, *_: Any, **told: Any) -> None:
            do_it(course, prepare, *([told["on_event"]] if with_events else []))

        monkeypatch.setattr(sweep_module, "run_search", fake)
        return sweep.search(lambda _: None, lambda _: None)

    return do


class Channel:
    """Stands for the driver, who lets a trial go on."""

    def tell(self, _kind: str, _fields: Mapping[str, Any]) -> dict[str, Any]:
        return {"reply": "go_on"}


def train_in(folder: Path, stops_after: int | None = None, job: Any = None) -> TrainOutcome:
    channel: Any = Channel()
    reporter = Reporter({"by_epoch": True}, {"until": None}, channel, 0.0, Speed())
    steps = iter(range(1, 1_000))
    return train(
        job or TrainJob.from_json(json.loads((folder / JOB_FILE).read_text())),
        World.single("cpu"),
        reporter,
        stop_requested=lambda: next(steps) == stops_after,
        ask=reporter.ask,
    )


def given(course: Course, prepare: Prepare) -> tuple[Work, dict[str, Any]]:
    """Return the next work, and what a slot on another host is told of it."""
    work = course.next_work()
    assert work is not None
    folder = prepare(work)
    told = {"folder": str(folder), "attempt": work.attempt, **attempt_at_store(folder)}
    return work, json.loads(json.dumps(told))


def end(course: Course, outcome: TrainOutcome) -> None:
    course.ended(
        0,
        "finished",
        step=outcome.step,
        epoch=outcome.epoch,
        metrics=outcome.metrics,
        weights_sha256=outcome.weights_sha256,
        train_s=0.1,
    )


def test_a_trial_goes_on_on_another_host_to_the_same_bits_and_becomes_a_run(
    sweep: Sweep, hosts: Hosts, drive: Callable[..., Course], tmp_path: Path
) -> None:
    told: list[TrainOutcome] = []

    def run(course: Course, prepare: Prepare) -> None:
        for name, stops_after in (("first", 9), ("second", None)):
            _, work = given(course, prepare)
            with hosts.enter(name, sweep) as here, here.trial(work, 0) as folder:
                assert here.is_apart
                told.append(train_in(folder, stops_after))
            assert not folder.exists(), "the store has it"
            if stops_after:
                course.paused(0, told[-1].step, 0.1)
        end(course, told[-1])
        job = TrainJob.from_json({**work["job"], "run_dir": str(tmp_path / "straight")})
        (tmp_path / "straight").mkdir()
        told.append(train_in(tmp_path, job=replace(job, fence=None, attempt=None)))

    found = drive(run).search

    best = found.best
    own = link_of(sweep.run_dir)
    assert own is not None
    assert best is not None
    assert [one.status for one in told] == ["interrupted", "finished", "finished"]
    assert told[1].resumed_from_step == told[0].step
    assert told[1].weights_sha256 == told[2].weights_sha256
    winner = own.place.parent.below(f"{own.place.name}-0000")
    with driver_folder(winner, is_new=False) as folder, lease.holding(folder, print):
        link = link_of(folder)
        assert link is not None
        hand_over(own, "0000", sweep.num_taken(found, 0), link)
        assert newest_good(folder) == STEPS
    assert Bucket(own.place).folders("trials/") == []


def test_every_event_is_at_the_store_before_it_takes_effect(
    sweep: Sweep, drive: Callable[..., Course], place: Place, server: S3Server
) -> None:
    def known() -> str:
        bucket = Bucket(place)
        pieces = [entry.name for entry in bucket.entries("journal/")]
        return "".join(text.decode() for _, text in bucket.get_all(pieces))

    def run(course: Course, prepare: Prepare, on_event: Callable[[], None]) -> None:
        given(course, prepare)
        on_event()
        assert '"event":"suggested"' in known()
        before = len(server.requests)
        course.paused(0, 3, 0.1)
        given(course, prepare)
        on_event()
        assert '"event":"paused"' in known()
        puts = [path for method, path in server.requests[before:] if method == "PUT"]
        assert len(puts) == 1, "of one moment, one request"
        course.interrupt()

    drive(run, with_events=True)


def test_a_slot_on_another_host_finds_its_answer_at_the_store(
    sweep: Sweep, hosts: Hosts, drive: Callable[..., Course], tmp_path: Path
) -> None:
    def run(course: Course, prepare: Prepare) -> None:
        folder = tmp_path / "slots"
        slots = Slots(course, prepare, sweep.placement, folder, lambda: None, "node")
        config = slots.open("a")
        assert config is not None
        lost = {"step": 3, "error": fields_of(TrainError("it died")), "train_s": 0.1}

        goes_on = slots.take("a", "lost", lost, True)

        assert goes_on
        with hosts.enter("other", sweep) as here:
            first = here.first_work(Path(config["slot"]), config["work"])
            assert "job" not in config["work"]
            assert first["job"]["run_dir"] == first["folder"]
            answer = json.loads(here.read_reply(Path(config["slot"]), "reply-1.json") or "")
            assert answer["reply"] == "stop"
            assert answer["work"]["attempt"] == 2
            assert not answer["work"]["is_first"]
            assert here.read_reply(Path(config["slot"]), "reply-2.json") is None
        course.interrupt()

    drive(run)


def test_what_a_host_tells_of_its_end_is_heard_by_the_driver_and_kept(
    sweep: Sweep, hosts: Hosts, drive: Callable[..., Course], place: Place
) -> None:
    error = TrainError("the trial hangs", where="trial 0000", cause="user", error_class="hangs")

    def hang(course: Course, prepare: Prepare) -> None:
        _, work = given(course, prepare)
        folder = sweep.folder_of(0)
        assert last_word(folder) is None
        with hosts.enter("other", sweep) as here, here.trial(work, 0) as theirs:
            (theirs / "logs").mkdir()
            (theirs / "logs" / "rank-0.txt").write_text("its stacks")
            leave_last_word(theirs, error)
            keep_logs(theirs)
            with folder_here(folder, trial_at_store(folder)) as again:
                assert again == theirs
        assert str(last_word(folder)) == str(error)
        course.interrupt()

    drive(hang)

    log = "files/000001-000/trials/0000/logs/rank-0.txt"
    assert Bucket(place).get(log) == b"its stacks"


class Telling:
    """Stands for the driver, who gives a slot nothing more to do.

    Args:
        here: where the slot works.
    """

    def __init__(self, here: Here) -> None:
        self.here = here
        self.told: list[tuple[str, Mapping[str, Any]]] = []

    def tell(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        self.told.append((kind, fields))
        return {"work": {}}


def test_a_store_that_is_away_as_a_trial_begins_is_told_as_storage_that_fails(
    sweep: Sweep, hosts: Hosts, drive: Callable[..., Course], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "no answer")

    common = {"by_epoch": True, "num_workers": 1}

    def run(course: Course, prepare: Prepare) -> None:
        _, work = given(course, prepare)
        with hosts.enter("other", sweep) as here:
            slot: Any = Telling(here)
            trial._run_trial(common, {**work, "until": None}, slot, Speed())
        [(kind, fields)] = slot.told
        assert (kind, fields["step"], fields["error"]["cause"]) == ("lost", 0, "cluster")
        assert "it could not begin (OSError: [Errno 5] no answer)" in fields["error"]["message"]
        assert fields["error"]["where"] == "trial 0000"
        course.interrupt()

    monkeypatch.setattr(host, "begin_alone", away)
    monkeypatch.setattr(link_module, "WORKER_PATIENCE_S", 0.0)
    drive(run)


def test_an_attempt_takes_nothing_from_the_host_that_the_store_does_not_count(
    sweep: Sweep, drive: Callable[..., Course]
) -> None:
    def run(course: Course, prepare: Prepare) -> None:
        _, work = given(course, prepare)
        folder, link = sweep.folder_of(0), link_of(sweep.run_dir)
        assert link is not None
        stale = folder / "checkpoints" / "step-8"
        stale.mkdir(parents=True)
        told = search_at_store(sweep.run_dir)
        with processes_folder({"sweep_dir": "", "store": told}) as here:
            assert not here.is_apart
            with here.trial(work, 0) as theirs:
                assert theirs == folder
                assert not stale.exists()
        course.interrupt()

    drive(run)


def test_where_hosts_share_the_folder_nothing_is_asked_for(tmp_path: Path) -> None:
    with processes_folder({"sweep_dir": str(tmp_path), "store": None}) as here:
        (tmp_path / "reply-1.json").write_text("{}")
        with here.trial({"folder": str(tmp_path / "0003")}, 0) as folder:
            assert folder == tmp_path / "0003"
        assert here.read_reply(tmp_path, "reply-1.json") == "{}"
        assert here.read_reply(tmp_path, "reply-1.json") is None
    assert (attempt_at_store(tmp_path), search_at_store(tmp_path)) == ({}, None)
    assert not isinstance(link_of(tmp_path), Link)
