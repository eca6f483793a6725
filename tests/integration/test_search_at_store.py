"""Searches that are kept in an object store: the same decisions and bits, whatever befell them."""

import os
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distrain.object_store.bucket import Bucket
from distrain.object_store.place import Place
from distrain.object_store.work_link import reading_folder
from distrain.run_folder import JOURNAL
from distrain.track.journal_reading import missing_records
from distrain.tune.events import read_events
from tests.digits_search import decisions
from tests.integration.test_object_store import Machine
from tests.private_ray import PrivateRay
from tests.s3_server import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.long]

NUM_TRIALS = 6
SEARCH = f"""
name: run
data: {{source: people.csv, target: income}}
model: {{target: "net:Net"}}
train: {{epochs: 4, global_batch_size: 16, num_workers: 1, checkpoint: {{every_steps: 2}}}}
tune:
  metric: validation/loss
  num_trials: {NUM_TRIALS}
  space: {{train.optimizer.lr: {{loguniform: [1e-4, 1e-1]}}}}
  scheduler: {{name: sha, reduction_factor: 2}}
  max_concurrent: 2
track: {{register: {{alias: champion}}}}
"""
POPULATION = SEARCH.replace(
    "{name: sha, reduction_factor: 2}", "{name: pbt, quantile_fraction: 0.5}"
)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def machine(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        for name, text in server.environment.items():
            patch.setenv(name, text)
        machine = Machine(tmp_path_factory.mktemp("machine"), server)
        (machine.folder / "search.yaml").write_text(SEARCH)
        (machine.folder / "population.yaml").write_text(POPULATION)
        yield machine
        shutil.rmtree(machine.temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def straight(machine: Machine) -> dict[str, Any]:
    """A search that nothing befell."""
    return machine.result("tune", "search.yaml", f"storage={machine.storage}")


def has_events(names: list[str]) -> bool:
    """Return whether a search has decided something, and is not over."""
    return sum("/search-" in name for name in names) >= 10


def check_same_search(
    machine: Machine, result: dict[str, Any], straight: dict[str, Any], folder: Path
) -> None:
    """Check that a search is to the last bit and decision what one is that nothing befell."""
    own = ("status", "num_trials", "num_stopped_early", "num_failed", "weights_sha256", "tracking")
    assert {key: result[key] for key in own} == {key: straight[key] for key in own}
    for key in ("trial", "config", "metrics"):
        assert result["best"][key] == straight["best"][key]
    events, decided = _events(machine, result)
    assert decided == _events(machine, straight)[1]
    ends = Counter(event["trial"] for event in events if event["event"] == "ended")
    assert ends == Counter(range(NUM_TRIALS))
    has_ended: set[int] = set()
    for event in events:
        has_ended |= {event["trial"]} if event["event"] == "ended" else set()
        assert event["event"] != "started" or event["trial"] not in has_ended
    assert _trials(folder, result["run_id"]) == _trials(folder, straight["run_id"])
    place = _place(machine, result)
    assert Bucket(place).folders("trials/") == [], "what the winner needs is its own run's"
    assert Bucket(place).entries("live/") == []


def test_a_search_leaves_nothing_on_the_disk_and_all_of_it_at_the_store(
    machine: Machine, straight: dict[str, Any]
) -> None:
    number = straight["best"]["trial"]
    place = _place(machine, straight)
    winner = Bucket(place.parent.below(f"{place.name}-{number:04d}"))

    assert straight["status"] == "finished"
    assert straight["run_dir"].startswith(machine.storage)
    assert not any(path.is_dir() for path in machine.temporary.glob("distrain-runs-*/*"))
    assert any(entry.name.endswith("/manifest.json") for entry in winner.entries("checkpoints/"))
    with reading_folder(place) as run_dir:
        assert missing_records(run_dir / JOURNAL) == {}
        assert (run_dir / "search" / "trials.csv").exists()


def test_a_search_at_a_store_is_listed_and_looked_back_at(
    machine: Machine, straight: dict[str, Any]
) -> None:
    best = str(straight["best"]["trial"])

    listed = machine.result("runs", "--storage", machine.storage)["runs"]
    why = machine.result("why", straight["run_dir"], best)
    other = "tune.scheduler.reduction_factor=4"
    replayed = machine.result("replay", straight["run_dir"], other)
    again = machine.result("resume", straight["run_dir"])

    assert straight["run_dir"] in [run["run_dir"] for run in listed]
    assert why["is_winner"]
    assert replayed["recorded"]["epochs"] == straight["epochs_spent"]
    assert again == straight


def test_a_killed_driver_s_search_goes_on_on_an_empty_machine(
    machine: Machine, straight: dict[str, Any]
) -> None:
    driver = machine.start("tune", "search.yaml", f"storage={machine.storage}", pause_s=0.1)
    machine.wait_for(has_events)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    search = machine.newest()
    machine.empty()

    result = machine.result("resume", f"{machine.storage}/run/{search.name}")

    assert result["run_dir"] == f"{machine.storage}/run/{search.name}"
    check_same_search(machine, result, straight, machine.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can hide a folder from a process")
def test_hosts_that_share_nothing_but_the_store_search_together(
    machine: Machine, straight: dict[str, Any]
) -> None:
    ray = PrivateRay(num_cpus=0, environment={"TMPDIR": str(machine.temporary)})
    account = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": ray.token}
    words = (f"storage={machine.storage}", "--address", ray.address)
    try:
        ray.start()
        for name in ("first", "second"):
            ray.add_node(name, hidden=machine.temporary)

        driver = machine.start("tune", "search.yaml", *words, pause_s=0.1, environment=account)
        machine.wait_for(has_events)
        ray.kill_node("second")
        ray.add_node("third", hidden=machine.temporary)
        result = machine.end(driver)
    finally:
        ray.remove()

    check_same_search(machine, result, straight, machine.folder)


def test_a_population_takes_over_at_a_store_as_in_a_folder(machine: Machine) -> None:
    words = ("tune", "population.yaml", "tune.num_trials=4")
    in_folder = machine.result(*words, f"storage={machine.folder}/kept")
    driver = machine.start(*words, f"storage={machine.storage}", pause_s=0.1)
    machine.wait_for(has_events)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    search = machine.newest()
    machine.empty()

    result = machine.result("resume", f"{machine.storage}/run/{search.name}")

    took_over = [one for one in _events(machine, result)[0] if one.get("source") is not None]
    assert took_over, "the test has tested nothing else"
    assert _events(machine, result)[1] == decisions(Path(in_folder["run_dir"]))
    assert result["weights_sha256"] == in_folder["weights_sha256"]
    assert result["best"]["config"] == in_folder["best"]["config"]


def _place(machine: Machine, result: Mapping[str, Any]) -> Place:
    return machine.server.place(result["run_dir"].removeprefix(f"s3://{machine.server.bucket}/"))


def _events(
    machine: Machine, result: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], list[tuple[Any, ...]]]:
    with reading_folder(_place(machine, result)) as run_dir:
        return list(read_events(run_dir / JOURNAL)), decisions(run_dir)


def _trials(folder: Path, run_id: str) -> list[tuple[Any, ...]]:
    """Return what MLflow has of a search's trials: each value by trial and name, but for times."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return database.execute(
            "SELECT trial.value, metrics.key, step, metrics.value "
            "FROM metrics JOIN tags USING (run_uuid) JOIN tags AS trial USING (run_uuid) "
            "WHERE tags.key = 'mlflow.parentRunId' AND tags.value = ? "
            "AND trial.key = 'distrain.trial' "
            "AND metrics.key NOT LIKE 'time/%' AND metrics.key NOT LIKE 'system/%' "
            "AND metrics.key NOT IN ('search/train_s', 'search/gpu_hours') "
            "ORDER BY 1, 2, 3",
            (run_id,),
        ).fetchall()
