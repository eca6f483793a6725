"""A search over 200 trials leaves no process, no folder and no growth behind."""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pytest

from distrain.run_folder import JOURNAL
from distrain.tune.events import read_events
from tests.leftovers import (
    DRIVER,
    MARK,
    OWN_THREADS,
    SHARED_MEMORY,
    end_marked,
    in_use,
    marked,
    wait_until_gone,
)

pytestmark = [pytest.mark.slow, pytest.mark.long]

NUM_TRIALS = 200
NUM_WARM = 50
"""Trials after which growth is looked for: imports and caches come with the first ones."""
LEAVE_S = 20.0
CONFIG = {
    "name": "many",
    "storage": "runs",
    "data": {"source": "sklearn:digits", "target": "target"},
    "model": {"name": "mlp", "hidden": [8]},
    "train": {"epochs": 2, "global_batch_size": 512, "num_workers": 1},
    "tune": {
        "num_trials": NUM_TRIALS,
        "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
        "scheduler": {"name": "asha", "reduction_factor": 2},
        "max_concurrent": 2,
    },
}


@final
@dataclass(frozen=True)
class Size:
    """How large a process is.

    Attributes:
        kib: its memory, in KiB.
        num_files: files and sockets that it has open.
        num_threads: its threads.
    """

    kib: int
    num_files: int
    num_threads: int


@final
@dataclass(frozen=True)
class Left:
    """What there is after the search, and what its processes grew by.

    Attributes:
        result: what the command printed.
        folder: where it ran.
        processes: command lines of processes that it started and that are still there.
        memory: files in shared memory that are new, and that no living process has open.
        temporary: names in the temporary folder; without Ray's own, and without the cache that
            torch keeps there for all programs of a user.
        held: what the driver had open at its end, and its threads.
        warm: sizes by process after `NUM_WARM` trials.
        last: sizes of the same processes at the last look before all trials had ended.
        num_between: trials that ended between the two.
    """

    result: dict[str, Any]
    folder: Path
    processes: list[str]
    memory: list[str]
    temporary: list[str]
    held: dict[str, list[str]]
    warm: dict[int, Size]
    last: dict[int, Size]
    num_between: int


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    folder = tmp_path_factory.mktemp("many")
    (folder / "search.yaml").write_text(json.dumps(CONFIG))
    # Ray's sockets lie in the temporary folder, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="left-") as temporary:
        yield _search(folder, Path(temporary))


def _search(folder: Path, temporary: Path) -> Left:
    before, mark = set(SHARED_MEMORY.iterdir()), uuid.uuid4().hex
    sizes: dict[int, dict[int, Size]] = {}
    with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("w") as err:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, "tune", "search.yaml", "--json"],
            cwd=folder,
            env={**os.environ, MARK: mark, "TMPDIR": str(temporary)},
            stdout=out,
            stderr=err,
        )
    try:
        while driver.poll() is None:
            sizes.setdefault(_num_ended(folder), {p: s for p in marked(mark) if (s := _size(p))})
            time.sleep(0.5)
        remaining = wait_until_gone(mark, LEAVE_S)
    finally:
        end_marked(mark)
        driver.wait()
    assert driver.returncode == 0, (folder / "err.txt").read_text()
    looks = sorted(num for num in sizes if NUM_WARM <= num < NUM_TRIALS)
    return Left(
        result=json.loads((folder / "out.txt").read_text().splitlines()[-1]),
        folder=folder,
        processes=remaining,
        memory=[str(path) for path in set(SHARED_MEMORY.iterdir()) - before - in_use()],
        temporary=[
            path.name
            for path in temporary.iterdir()
            if path.name != "ray" and not path.name.startswith("torchinductor_")
        ],
        held=json.loads((folder / "held.json").read_text()),
        warm=sizes[looks[0]],
        last=sizes[looks[-1]],
        num_between=looks[-1] - looks[0],
    )


def _num_ended(folder: Path) -> int:
    journals = folder.glob(f"runs/many/*/{JOURNAL}/search-*.jsonl")
    return sum(path.read_bytes().count(b'"event":"ended"') for path in journals)


def _size(process: int) -> Size | None:
    """Return how large a process is; None: it has ended."""
    proc = Path(f"/proc/{process}")
    try:
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        num_files = len(list((proc / "fd").iterdir()))
    except OSError:
        return None
    if "VmRSS" not in status:
        return None
    return Size(int(status["VmRSS"].split()[0]), num_files, int(status["Threads"]))


def test_nothing_of_a_search_is_left_in_the_system(left: Left) -> None:
    # Beside it lies the database, whose connections MLflow keeps for as long as the process lives.
    storage = str(left.folder / "runs" / "many")

    assert left.processes == []
    assert left.memory == []
    assert left.temporary == []
    assert [p for p in left.held["opened"] if p.startswith(("/memfd:distrain", storage))] == []
    assert [name for name in left.held["threads"] if name in OWN_THREADS] == []


def test_a_search_leaves_one_folder_and_its_winner_s_and_nothing_of_its_trials(left: Left) -> None:
    run_dir = Path(left.result["run_dir"])
    ended = [e for e in read_events(run_dir / JOURNAL) if e["event"] == "ended"]
    names = {path.name for path in run_dir.iterdir()}
    winner = f"{run_dir.name}-{left.result['best']['trial']:04d}"

    assert len(ended) == NUM_TRIALS
    assert {path.name for path in run_dir.parent.iterdir()} == {run_dir.name, winner}
    assert list((run_dir / "trials").iterdir()) == []
    assert [name for name in names if name.startswith(".tune")] == []
    assert {path.name for path in left.folder.iterdir()} == {
        *("runs", "search.yaml", "held.json", "out.txt", "err.txt"),
    }


def test_no_process_of_a_search_grows_with_its_trials(left: Left) -> None:
    pairs = [(left.warm[process], left.last[process]) for process in left.warm.keys() & left.last]

    assert left.num_between > NUM_TRIALS / 4
    assert len(pairs) > 4  # the driver, Ray's own, and two actors at least
    # The digits of one trial are 350 KiB: kept by each, they would come to 50 MiB.
    assert max(last.kib - warm.kib for warm, last in pairs) < 20 * 1024
    assert max(last.num_files - warm.num_files for warm, last in pairs) <= 4
    assert max(last.num_threads - warm.num_threads for warm, last in pairs) <= 4
