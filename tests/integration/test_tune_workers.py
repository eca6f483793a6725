"""Searches whose trials have several workers each, on real Ray Tune."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import distrain
from distrain.results import TuneResult
from distrain.run_folder import JOURNAL
from distrain.train.beat import read_beats
from distrain.tune.events import read_events
from tests.command_line import run_in_process
from tests.digits_search import decisions, digits_search

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

REPOSITORY = Path(__file__).parents[2]
FAULTS = ["none", "exception", "nan", "memory_one", "allocates_one", "killed_one"]


@pytest.fixture(autouse=True)
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(REPOSITORY / "tests" / "faulty_trials.py", tmp_path)
    monkeypatch.chdir(tmp_path)


def config(storage: Path, **tune: Any) -> dict[str, Any]:
    model = {"target": "faulty_trials:Faulty", "args": {"fault": "slow"}}
    return digits_search(storage, model=model, train={"max_failures": 1}, tune=tune)


def events_of(result: TuneResult, kind: str) -> list[Mapping[str, Any]]:
    return [one for one in read_events(result.run_dir / JOURNAL) if one["event"] == kind]


def other_workers(storage: Path) -> dict[int, int]:
    """Return the steps of workers of rank 1, by process."""
    trials = storage.glob("digits/*/trials/*")
    beats = [read_beats(trial).get(1) for trial in trials]
    return {beat.process: beat.step for beat in beats if beat is not None}


class Killer:
    """Kills a worker of rank 1 in the midst of a trial, once."""

    def __init__(self, storage: Path) -> None:
        self.killed: int | None = None
        self.seen: set[int] = set()
        self._storage = storage
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.is_set():
            found = other_workers(self._storage)
            self.seen |= set(found)
            ready = [process for process, step in found.items() if step > 2]
            if ready and self.killed is None:
                self.killed = ready[0]
                os.kill(self.killed, signal.SIGKILL)
            time.sleep(0.02)


@pytest.mark.long
def test_two_workers_to_a_trial_give_what_one_gives_though_one_is_killed(tmp_path: Path) -> None:
    alone = distrain.tune(config(tmp_path / "alone"))
    with Killer(tmp_path / "together") as killer:
        together = distrain.tune(config(tmp_path / "together", workers_per_trial=2))

    assert (alone.error, together.error) == (None, None)
    lost = events_of(together, "lost")
    assert [event["gives_up"] for event in lost] == [False]
    assert "worker of rank 1" in lost[0]["error"]["where"]
    assert "killed" in lost[0]["error"]["message"]
    assert events_of(alone, "lost") == []
    assert decisions(together.run_dir) == decisions(alone.run_dir)
    assert together.num_failed == 0
    assert together.weights_sha256 == alone.weights_sha256 is not None
    assert not any(Path(f"/proc/{process}").exists() for process in killer.seen)
    # The slots' actors and their peers are few: they are kept from trial to trial.
    assert len(killer.seen) <= 4


@pytest.mark.long
def test_faults_of_one_worker_are_told_and_end_no_search(tmp_path: Path) -> None:
    result = distrain.tune(
        config(
            tmp_path,
            search_alg="grid",
            num_trials=None,
            scheduler="none",
            space={"model.args.fault": {"grid": FAULTS}},
            workers_per_trial=2,
        )
    )

    ended = {event["trial"]: event for event in events_of(result, "ended")}
    told = {
        fault: (ended[trial]["outcome"], ended[trial]["error"] or {})
        for trial, fault in enumerate(FAULTS)
    }
    assert told["none"][0] == "finished"
    assert [told[fault][0] for fault in FAULTS[1:]] == ["failed"] * 5
    assert "ValueError: no such thing as this" in told["exception"][1]["message"]
    assert "the loss is nan, from row" in told["nan"][1]["message"]
    memory = told["memory_one"][1]
    assert "MemoryError: cannot have 99 TiB" in memory["message"]
    assert "worker of rank 1" in memory["where"]
    assert "it had 2 workers with 1 CPU each, and held" in memory["expected"]
    assert "you tried to allocate 4503599627370496 bytes" in told["allocates_one"][1]["message"]
    assert "it had 2 workers with 1 CPU each" in told["allocates_one"][1]["expected"]
    assert "killed" in told["killed_one"][1]["message"]
    lost = [event["trial"] for event in events_of(result, "lost")]
    assert set(lost) == {FAULTS.index("killed_one")}


def test_a_trial_that_never_fits_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    asked = config(tmp_path / "runs", workers_per_trial=4, max_concurrent=2)
    (tmp_path / "search.yaml").write_text(json.dumps(asked))

    refused = run_in_process(["tune", "search.yaml", "--json"], tmp_path)

    assert refused.code == 2
    assert "2 trials of 4 workers with 1 CPU each do not fit on the cluster" in refused.stdout
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_tells_an_interval_and_how_it_was_got(tmp_path: Path) -> None:
    asked = config(tmp_path / "runs", workers_per_trial=2)
    (tmp_path / "search.yaml").write_text(json.dumps(asked))

    shown = run_in_process(["tune", "search.yaml", "--dry-run"], tmp_path)
    told = run_in_process(["tune", "search.yaml", "--dry-run", "--json"], tmp_path)
    prepared = run_in_process(["prepare", "search.yaml", "--json"], tmp_path)

    assert "the data is prepared first, to time trials on it" in shown.stdout
    assert "holds about 9 times in 10, from some steps of 6 trials" in shown.stdout
    assert "is prepared first" not in told.stderr
    assert json.loads(prepared.stdout)["reused"] is True
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["prepared"]
    fields = json.loads(told.stdout)
    assert 0 < fields["at_least_s"] < fields["at_most_s"]
    assert (fields["workers_per_trial"], fields["num_concurrent"]) == (2, 2)
    assert [probe["error"] for probe in fields["probes"]] == [None] * 6
