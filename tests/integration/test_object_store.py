"""Runs whose every state is in an object store: the same bits and record, whatever befell them."""

import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distrain.object_store.bucket import Bucket
from distrain.object_store.place import Place
from distrain.object_store.work_link import driver_folder
from distrain.track.journal_reading import lost_ends, missing_records
from tests.bad_cases import PEOPLE
from tests.integration.test_resume import EPOCHS, NET, RUN, STEPS_PER_EPOCH
from tests.private_ray import PrivateRay
from tests.s3_server import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.long]

STEPS = EPOCHS * STEPS_PER_EPOCH
TIMEOUT_S = 480.0


@final
class Machine:
    """A machine with nothing of distrain's on it but data, a model, and a tracking database.

    Args:
        folder: where these lie.
        server: the object store.
    """

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.folder = folder
        self.server = server
        self.storage = f"s3://{server.bucket}/kept"
        self.temporary = self._new_temporary()
        self._before: list[str] = []
        self._command: subprocess.Popen[bytes] | None = None
        for name, content in {"people.csv": PEOPLE, "net.py": NET, "run.yaml": RUN}.items():
            (folder / name).write_text(content)

    def empty(self) -> None:
        """Let the next command find nothing of what earlier ones had on the disk."""
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary = self._new_temporary()

    def start(
        self, *words: str, pause_s: float = 0.0, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a command, whose model takes so long for each part."""
        (self.folder / "pause_s").write_text(str(pause_s))
        if "train" in words or "tune" in words:
            self._before = self._runs()
        with (
            (self.folder / "told.txt").open("w") as told,
            (self.folder / "out.txt").open("w") as out,
        ):
            self._command = subprocess.Popen(
                [Path(sys.executable).parent / "distrain", *words, "--json"],
                cwd=self.folder,
                env={
                    **{name: text for name, text in os.environ.items() if name != "RAY_ADDRESS"},
                    **self.server.environment,
                    "TMPDIR": str(self.temporary),
                    "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
                    **(environment or {}),
                },
                stdout=out,
                stderr=told,
            )
        return self._command

    def result(self, *words: str, pause_s: float = 0.0) -> dict[str, Any]:
        """Run a command that comes to a good end and return its object."""
        return self.end(self.start(*words, pause_s=pause_s))

    def end(self, command: "subprocess.Popen[bytes]") -> dict[str, Any]:
        """Wait for the good end of a command and return its object."""
        try:
            command.wait(TIMEOUT_S)
        finally:
            command.kill()
            command.wait()
        assert command.returncode == 0, (self.folder / "told.txt").read_text()
        out = (self.folder / "out.txt").read_text()
        fields: dict[str, Any] = json.loads(out.splitlines()[-1])
        return fields

    def wait_for(self, is_so: Callable[[list[str]], bool]) -> None:
        """Wait until something is so of what the newest run has at the store."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if is_so(self.names()):
                return
            assert self._command is not None
            if self._command.poll():
                break
            time.sleep(0.1)
        raise AssertionError((self.folder / "told.txt").read_text())

    def newest(self) -> Place:
        """Return the place of the run that was begun last."""
        begun = [run for run in self._runs() if run not in self._before]
        return self.server.place("kept").below(f"run/{begun[-1] if begun else 'none'}")

    def names(self) -> list[str]:
        """Return the names of the newest run's objects."""
        return [entry.name for entry in Bucket(self.newest()).entries("")]

    def _runs(self) -> list[str]:
        return Bucket(self.server.place("kept")).folders("run/")

    def _new_temporary(self) -> Path:
        # Short, as Ray puts sockets there.
        return Path(tempfile.mkdtemp(prefix="s3-", dir="/tmp"))


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
        yield machine
        shutil.rmtree(machine.temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def straight(machine: Machine) -> dict[str, Any]:
    """A run that nothing befell."""
    return machine.result("train", "run.yaml", f"storage={machine.storage}")


def check_same_run(machine: Machine, result: dict[str, Any], straight: dict[str, Any]) -> None:
    """Check that a run is to the last bit, row and record what one is that nothing befell."""
    own = ("weights_sha256", "metrics", "step", "epoch", "status", "tracking", "dataset_digest")
    assert {key: result[key] for key in own} == {key: straight[key] for key in own}
    assert _curve(machine, result["run_id"]) == _curve(machine, straight["run_id"])
    assert _rows(machine, result) == _rows(machine, straight)
    assert set(_rows(machine, result).values()) == {1}
    with driver_folder(_place(machine, result), is_new=False) as run_dir:
        assert missing_records(run_dir / "journal") == {}
        assert lost_ends(run_dir / "journal", {}) == {}
        assert json.loads((run_dir / "result.json").read_text()) == result


def test_a_run_leaves_nothing_on_the_disk_and_all_of_it_at_the_store(
    machine: Machine, straight: dict[str, Any]
) -> None:
    names = Bucket(_place(machine, straight)).entries("")

    assert straight["status"] == "finished"
    assert straight["run_dir"].startswith(machine.storage)
    assert not any(path.is_dir() for path in machine.temporary.glob("distrain-runs-*/*"))
    assert {name.name.split("/")[0] for name in names} >= {"checkpoints", "journal", "ledger"}


def test_a_killed_driver_s_run_goes_on_elsewhere_to_the_same_bits(
    machine: Machine, straight: dict[str, Any]
) -> None:
    driver = machine.start("train", "run.yaml", f"storage={machine.storage}", pause_s=0.3)
    machine.wait_for(lambda names: any("/step-4/manifest.json" in name for name in names))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    run, name = machine.newest(), machine.newest().name
    was_done = any(name.endswith("/result.json") for name in machine.names())
    machine.empty()

    result = machine.result("resume", name, "--storage", machine.storage)

    assert not was_done
    assert result["run_dir"] == f"{machine.storage}/run/{run.name}"
    assert STEPS > result["resumed_from_step"] >= 4
    check_same_run(machine, result, straight)


def test_a_killed_worker_is_made_up_for(machine: Machine, straight: dict[str, Any]) -> None:
    driver = machine.start("train", "run.yaml", f"storage={machine.storage}", pause_s=0.3)
    machine.wait_for(lambda names: any("/step-4/manifest.json" in name for name in names))
    for pid in _workers_of(machine.temporary):
        os.kill(pid, signal.SIGKILL)

    result = machine.end(driver)

    assert result["resumed_from_step"] >= 4
    assert any("checkpoints/000001-002/" in name for name in machine.names())
    check_same_run(machine, result, straight)


def test_a_store_that_is_away_for_a_while_costs_no_run(
    machine: Machine, straight: dict[str, Any]
) -> None:
    driver = machine.start("train", "run.yaml", f"storage={machine.storage}", pause_s=0.3)
    machine.wait_for(lambda names: any("/step-2/manifest.json" in name for name in names))
    with machine.server.being_away():
        time.sleep(6.0)

    result = machine.end(driver)

    check_same_run(machine, result, straight)


def test_a_torn_checkpoint_is_passed_over(machine: Machine, straight: dict[str, Any]) -> None:
    driver = machine.start("train", "run.yaml", f"storage={machine.storage}", pause_s=0.3)
    machine.wait_for(lambda names: any("/step-6/manifest.json" in name for name in names))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    machine.empty()
    run = Bucket(machine.newest())
    newest = max(
        int(name.split("/step-")[1].split("/")[0])
        for name in machine.names()
        if name.endswith("/manifest.json")
    )
    run.remove([f"checkpoints/000001-001/step-{newest}/state.safetensors"])

    result = machine.result("resume", f"{machine.storage}/run/{machine.newest().name}")

    assert result["resumed_from_step"] == newest - 2
    assert "a checkpoint is passed over" in (machine.folder / "told.txt").read_text()
    check_same_run(machine, result, straight)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can hide a folder from a process")
def test_hosts_that_share_nothing_but_the_store_train_together(
    machine: Machine, straight: dict[str, Any]
) -> None:
    ray = PrivateRay(num_cpus=0, environment={"TMPDIR": str(machine.temporary)})
    account = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": ray.token}
    words = ("train.num_workers=2", f"storage={machine.storage}", "--address", ray.address)
    try:
        ray.start()
        for name in ("first", "second"):
            ray.add_node(name, hidden=machine.temporary)

        driver = machine.start("train", "run.yaml", *words, pause_s=0.1, environment=account)
        machine.wait_for(lambda names: any("/step-4/manifest.json" in name for name in names))
        ray.kill_node("second")
        ray.add_node("third", hidden=machine.temporary)
        result = machine.end(driver)
    finally:
        ray.remove()

    assert result["resumed_from_step"] >= 4
    assert result["num_workers"] == 2
    check_same_run(machine, result, straight)


def test_a_run_at_the_store_is_listed_and_predicts(
    machine: Machine, straight: dict[str, Any]
) -> None:
    listed = machine.result("runs", "--storage", machine.storage)["runs"]
    out = machine.folder / "predicted.csv"
    words = ("--data", "people.csv", "--out", str(out))

    predicted = machine.result("predict", straight["run_dir"], *words)

    assert straight["run_dir"] in [run["run_dir"] for run in listed]
    assert predicted["num_rows"] == len(PEOPLE.splitlines()) - 1
    assert out.exists()


def test_what_was_kept_back_is_shipped_from_the_store(
    machine: Machine, straight: dict[str, Any]
) -> None:
    at = ("--storage", machine.storage)
    trained = machine.result("train", "run.yaml", f"storage={machine.storage}", "--offline")
    machine.empty()

    first = machine.result("sync", *at)["runs"]
    second = machine.result("sync", *at)["runs"]

    outcomes = {run["run_dir"]: run["outcome"] for run in first}
    assert trained["tracking"] == "pending"
    assert outcomes[trained["run_dir"]] == "shipped"
    assert outcomes[straight["run_dir"]] == "nothing"
    assert {run["outcome"] for run in second} == {"nothing"}
    with driver_folder(_place(machine, trained), is_new=False) as run_dir:
        result = json.loads((run_dir / "result.json").read_text())
    assert result["tracking"] == "complete"
    assert result["model"]["name"] == "run"
    assert _curve(machine, result["run_id"]) == _curve(machine, straight["run_id"])


def test_the_record_of_a_killed_run_is_closed_from_the_store(machine: Machine) -> None:
    driver = machine.start("train", "run.yaml", f"storage={machine.storage}", pause_s=0.3)
    machine.wait_for(lambda names: any("/step-4/manifest.json" in name for name in names))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    killed_ms, uri = time.time() * 1000, f"{machine.storage}/run/{machine.newest().name}"
    machine.empty()

    [done] = machine.result("sync", uri)["runs"]
    [again] = machine.result("sync", uri)["runs"]

    assert (done["outcome"], done["was_closed"], done["run_dir"]) == ("shipped", True, uri)
    assert (again["outcome"], again["run_id"]) == ("nothing", done["run_id"])
    [(status, ended_ms)] = _query(
        machine, "SELECT status, end_time FROM runs WHERE run_uuid = ?", done["run_id"]
    )
    assert status == "KILLED"
    assert killed_ms - 30_000 < ended_ms <= killed_ms


def test_a_run_at_the_store_is_made_again_measured_and_promoted(
    machine: Machine, straight: dict[str, Any]
) -> None:
    at = ("--storage", machine.storage)
    version = f"models:/run/{straight['model']['version']}"
    machine.empty()

    for model in (straight["run_dir"], version):
        made = machine.result("reproduce", model, *at)
        assert made["status"] == "equal"
        assert made["run_dir"].startswith(f"{machine.storage}/run/")
        names = [entry.name for entry in Bucket(_place(machine, made)).entries("files/")]
        assert any(name.endswith("/reproduction.json") for name in names)
    measured = machine.result("evaluate", straight["run_dir"], "--data", "people.csv")
    moved = machine.result("promote", version, "--alias", "chosen", *at)

    assert measured["num_rows"] == len(PEOPLE.splitlines()) - 1
    assert (moved["status"], moved["model"]["alias"]) == ("moved", "chosen")
    newest = machine.result("runs", *at)["runs"][0]
    assert newest["reproduces"]


def test_data_that_changed_is_told_and_leaves_nothing_at_the_store(
    machine: Machine, straight: dict[str, Any]
) -> None:
    changed = machine.folder / "changed.csv"
    changed.write_text(PEOPLE.replace("Bern", "Basel"))
    before = Bucket(machine.server.place("kept")).folders()
    words = ("reproduce", straight["run_dir"], f"data.source={changed}")

    command = machine.start(*words)
    assert command.wait(TIMEOUT_S) == 3, (machine.folder / "told.txt").read_text()

    told = json.loads((machine.folder / "out.txt").read_text().splitlines()[-1])
    assert (told["status"], told["run_dir"]) == ("different", None)
    assert Bucket(machine.server.place("kept")).folders() == before


def _place(machine: Machine, result: dict[str, Any]) -> Place:
    return machine.server.place(result["run_dir"].removeprefix(f"s3://{machine.server.bucket}/"))


def _rows(machine: Machine, result: dict[str, Any]) -> Counter[tuple[int, int]]:
    run = Bucket(_place(machine, result))
    parts = [run.get(entry.name) for entry in run.entries("ledger/")]
    ledger = pa.concat_tables(pq.read_table(io.BytesIO(part)) for part in parts).to_pydict()
    return Counter(zip(ledger["epoch"], ledger["row"], strict=True))


def _curve(machine: Machine, run_id: str) -> list[tuple[Any, ...]]:
    return _query(
        machine,
        "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND key NOT LIKE 'time/%' "
        "AND key NOT LIKE 'system/%' ORDER BY key, step",
        run_id,
    )


def _query(machine: Machine, text: str, *values: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(machine.folder / "mlflow.db")) as database:
        return database.execute(text, values).fetchall()


def _workers_of(temporary: Path) -> list[int]:
    """Return the processes that train below a folder: their logs are open there."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                opened = [str(link.readlink()) for link in (process / "fd").iterdir()]
                if any(path.startswith(str(temporary)) and "/rank-" in path for path in opened):
                    found.append(int(process.name))
    return found
