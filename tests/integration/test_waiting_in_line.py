"""Several commands on one cluster of two CPUs: each waits in line, and says so; the real thing."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.undertaking import undertake
from tests.digits_search import digits_search
from tests.private_ray import PrivateRay, private_ray

pytestmark = [pytest.mark.slow, pytest.mark.long]

DISTRAIN = Path(sys.executable).with_name("distrain")
TIMEOUT_S = 240.0
HOLD = """
import sys, ray
from ray.util import placement_group
ray.init(address=sys.argv[1], log_to_driver=False)
assert placement_group([{"CPU": 1}] * int(sys.argv[2])).wait(60)
print("held", flush=True)
sys.stdin.read()
"""
SEARCH_WITHOUT_ROOM = """
import sys
from pathlib import Path
from distrain import lease
from distrain.ray_session import ray_session
from distrain.train.placement import Placement
from distrain.tune.course import Afterwards, Course
from distrain.tune.on_ray import Actors, run_search
from distrain.tune.search import Search
from tests.simulated_trials import MemoryLog, plan_of
folder = Path(sys.argv[2])
course = Course(Search(plan_of("none"), MemoryLog()), MemoryLog(), Afterwards())
course.begin()
with ray_session(sys.argv[1], num_cpus=1):
    actors = Actors(Placement(2, 1.0, 0.0), {}, 60.0)
    opened = lambda: print("opened", flush=True)
    fence = lease.take(folder).fence
    try:
        run_search(
            course, lambda _: None, lambda _: folder, actors, folder, fence=fence, on_event=opened
        )
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.fixture(scope="module")
def ray() -> Iterator[PrivateRay]:
    with private_ray() as made:
        yield made


def use(ray: PrivateRay, monkeypatch: pytest.MonkeyPatch) -> PrivateRay:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray.token)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return ray


@pytest.fixture
def own(ray: PrivateRay, monkeypatch: pytest.MonkeyPatch) -> PrivateRay:
    return use(ray, monkeypatch)


@pytest.fixture
def growing(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateRay]:
    """A head without a CPU, for which an autoscaler brings one node of two at most."""
    made = PrivateRay(num_cpus=0)
    made.let_grow(num_cpus=2, most=1)
    try:
        made.start()
        yield use(made, monkeypatch)
    finally:
        made.remove()


@contextlib.contextmanager
def started(*words: str | Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        words,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def held(ray: PrivateRay, num_cpus: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold CPUs until the process's stdin is closed."""
    words = (sys.executable, "-c", HOLD, ray.address, str(num_cpus))
    with started(*words, folder=folder) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder


@contextlib.contextmanager
def command(
    name: str, ray: PrivateRay, folder: Path, *settings: str
) -> Iterator[subprocess.Popen[str]]:
    config = folder / "digits.yaml"
    config.write_text(json.dumps(digits_search(folder / "runs")), encoding="utf-8")
    words = (DISTRAIN, name, config, f"cluster.address={ray.address}", *settings, "--json")
    with started(*words, folder=folder) as process:
        yield process


def told_of(process: subprocess.Popen[str], text: str) -> list[str]:
    """Read what a command tells until a line begins so."""
    assert process.stderr is not None
    told: list[str] = []
    while not told or not told[-1].startswith(text):
        line = process.stderr.readline()
        assert line, told
        told.append(line.rstrip())
    return told


def end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    lines = stdout.strip().splitlines()
    return process.returncode, json.loads(lines[-1]) if lines else {}, stderr


def runs_in(folder: Path) -> Sequence[Path]:
    return list((folder / "runs").glob("digits/*"))


def test_the_second_of_two_runs_waits_says_so_and_finishes(own: PrivateRay, tmp_path: Path) -> None:
    brief = ["train.num_workers=2", "train.epochs=3"]
    first = undertake(tmp_path / "first", own.address, brief, part_s=0.2)
    try:
        first.wait_for_step(2)
        with command("train", own, tmp_path, "train.num_workers=2") as second:
            told = told_of(second, "waiting for room")
            assert runs_in(tmp_path) == []
            assert first.end()["status"] == "finished"
            code, result, _ = end(second)
    finally:
        first.abandon()

    assert told[-1] == (
        "waiting for room for 2 workers with 1 CPU each: 0 of 2 CPUs are free (for 600 s at most)"
    )
    assert (code, result["status"], result["num_workers"]) == (0, "finished", 2)


@pytest.mark.parametrize("name", ["train", "tune"])
def test_a_wait_that_runs_out_leaves_nothing(name: str, own: PrivateRay, tmp_path: Path) -> None:
    with held(own, 2, tmp_path), command(name, own, tmp_path, "cluster.wait_s=3") as process:
        code, told, _ = end(process)

    assert code == 4
    assert told["error"]["kind"] == "cluster"
    assert re.search("no room for 1 worker with 1 CPU: 0 of 2 CPUs", told["error"]["message"])
    assert runs_in(tmp_path) == []


@pytest.mark.parametrize("name", ["train", "tune"])
def test_ctrl_c_ends_the_wait_and_leaves_nothing(
    name: str, own: PrivateRay, tmp_path: Path
) -> None:
    with held(own, 2, tmp_path), command(name, own, tmp_path) as process:
        told_of(process, "waiting for room")
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        code, _, _ = end(process)

    assert code == 130
    assert time.monotonic() - began < 15
    assert runs_in(tmp_path) == []


def test_auto_takes_what_is_free(own: PrivateRay, tmp_path: Path) -> None:
    with (
        held(own, 1, tmp_path),
        command("train", own, tmp_path, "train.num_workers=auto") as process,
    ):
        code, result, told = end(process)

    assert (code, result["num_workers"]) == (0, 1)
    assert "waiting" not in told


def test_a_search_begins_with_one_trial_and_ends_with_it(own: PrivateRay, tmp_path: Path) -> None:
    few = ("tune.num_trials=3", "train.epochs=1", "tune.scheduler=none")
    with held(own, 1, tmp_path), command("tune", own, tmp_path, *few) as process:
        code, result, told = end(process)

    assert (code, result["num_trials"], result["status"]) == (0, 3, "finished"), told
    assert "searching: 3 trials, 2 at a time" in told
    assert "waiting for room for" not in told


def test_a_search_takes_no_more_than_its_share(own: PrivateRay, tmp_path: Path) -> None:
    share = (
        "cluster.max_cpus=1",
        "tune.max_concurrent=auto",
        "tune.num_trials=2",
        "train.epochs=1",
        "tune.scheduler=none",
    )
    with command("tune", own, tmp_path, *share) as process:
        code, _, told = end(process)

    assert code == 0
    assert "searching: 2 trials, 1 at a time" in told


def test_ctrl_c_ends_a_search_without_room_for_any_actor(own: PrivateRay, tmp_path: Path) -> None:
    words = (sys.executable, "-c", SEARCH_WITHOUT_ROOM, own.address, str(tmp_path))
    with held(own, 2, tmp_path), started(*words, folder=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "opened\n"
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)

    assert "interrupted" in stdout, stderr


def test_an_autoscaler_brings_what_a_run_waits_for(growing: PrivateRay, tmp_path: Path) -> None:
    with command("train", growing, tmp_path, "train.num_workers=2") as process:
        told = told_of(process, "waiting for room")
        code, result, rest = end(process)

    assert "0 of 0 CPUs are free; its autoscaler may bring nodes" in told[-1]
    assert (code, result.get("status"), result.get("num_workers")) == (0, "finished", 2), rest
