"""A job under one kind of fault after another, beside the same job undisturbed.

start a private Ray of a head and two nodes, and a private MLflow server
train the job, made small, undisturbed
for each kind of fault: train it again, put the fault in, resume it where that is due
    compare weights, rows and record with the undisturbed run's
end all processes, remove the folder
"""

import random
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain.display import Display
from distrain.errors import ConfigError, DistrainError, TrainError, error_from_json
from distrain.jobs.chaos.disk import can_mount, small_disk
from distrain.jobs.chaos.faults import faults_of
from distrain.jobs.chaos.job import Job
from distrain.jobs.chaos.nodes import PrivateRay
from distrain.jobs.chaos.outcome import ChaosResult, Survived, Undisturbed
from distrain.jobs.chaos.rows import Rows, rows_missing, rows_repeated, trained_rows
from distrain.jobs.chaos.server import PrivateServer
from distrain.jobs.chaos.small import (
    STEPS,
    checkpoint_interval,
    fitting_steps,
    has_promised_bits,
    place_overrides,
    small_overrides,
    steps_asked,
)
from distrain.jobs.chaos.undertaking import Undertaking, step_of
from distrain.track.history import Point, history_of

NUM_NODES: Final = 2
PROBE_S: Final = 10.0
_LEAST_DISK_MIB: Final = 64
_FIRST_FAULT: Final = (0.25, 0.35)
"""Where the first fault comes, as a share of all steps."""


@final
@dataclass(frozen=True)
class _Reference:
    """The undisturbed run, and what the others are compared with."""

    told: Undisturbed
    rows: Rows
    points: Sequence[Point]
    num_bytes: int
    small: Sequence[str]

    @property
    def steps(self) -> int:
        return self.told.steps


@final
@dataclass(frozen=True)
class _Place:
    """Where runs are made: a folder, a cluster and a server, all of their own."""

    job: Job
    folder: Path
    ray: PrivateRay
    server: PrivateServer

    def begin(self, name: str, small: Sequence[str]) -> Undertaking:
        """Begin a run, all of which is below the folder of its name."""
        own = self.folder / name
        storage = own / "runs"
        places = {
            "storage": str(storage),
            "prepared": str(self.folder / "prepared"),
            "tracking": self.server.tracking.uri,
            "address": self.ray.address,
        }
        return Undertaking(
            own,
            storage / str(self.job.settings.name),
            self.job.words(small, place_overrides(places)),
            self.ray.environment,
            tracking=self.server,
        )

    def restore(self) -> None:
        """Have as many nodes as at the beginning, and the server."""
        while len(self.ray.nodes()) < NUM_NODES:
            self.ray.add_node()
        self.server.wait()


def survey(job: Job, names: Sequence[str], seed: int, display: Display) -> ChaosResult:
    """Put a job under faults, and compare each run with the undisturbed one.

    Args:
        job: the user's.
        names: kinds of faults, as `faults.faults_of` has them.
        seed: of where and when they come.
        display: what is told meanwhile.

    Raises:
        DistrainError: the job does not train undisturbed, or Ray or MLflow does not start here.
        KeyboardInterrupt: interrupted; nothing is left.
    """
    _check_system()
    asked = steps_asked(job.settings, job.overrides)
    job.check_small(asked or STEPS)
    with _place(job, display) as place:
        reference = _undisturbed(place, asked, display)
        survived = []
        for name in names:
            place.restore()
            display.stage(f"under faults: {name}")
            started = time.monotonic()
            run = _under_fault(place, name, reference, random.Random(f"{seed}-{name}"))
            survived.append(run)
            display.note(f"{name}: {run.verdict} after {time.monotonic() - started:.0f} s")
        display.stage("removing the private Ray, the server and all files")
    return ChaosResult(
        name=str(job.settings.name),
        overrides=reference.small,
        has_promised_bits=has_promised_bits(job.settings),
        seed=seed,
        undisturbed=reference.told,
        survived=survived,
    )


def _check_system() -> None:
    """Refuse a system on which processes could not be found again, and so be left behind."""
    if not Path("/proc/self/stat").exists():
        raise ConfigError(
            "this system does not tell which processes a session has",
            where="this machine",
            expected="Linux with /proc",
            mend="Use a Linux machine or container",
        )


@contextmanager
def _place(job: Job, display: Display) -> Iterator[_Place]:
    display.stage(f"starting a private Ray of {NUM_NODES + 1} nodes, and a private MLflow server")
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)
            )
        )
        (folder / "tmp").mkdir()
        environment = job.environment(folder / "tmp")
        server = stack.enter_context(PrivateServer(folder / "server", environment))
        ray = stack.enter_context(PrivateRay(folder / "ray", environment, NUM_NODES))
        yield _Place(job, folder, ray, server)


def _undisturbed(place: _Place, asked: int | None, display: Display) -> _Reference:
    """Train the job undisturbed: so many steps, or those that there is time for."""
    steps = asked or STEPS
    small = small_overrides(place.job.settings, steps)
    display.stage(f"training {steps} steps undisturbed")
    started = time.monotonic()
    run = place.begin(f"undisturbed-{steps}", small)
    try:
        fitting = steps if asked else _affordable_steps(run, steps)
        if fitting < steps:
            run.abandon()
            return _undisturbed(place, fitting, display)
        result = _result_of(run)
    finally:
        run.abandon()
    rows = trained_rows(run.made)
    points = history_of(place.server.tracking, str(result["run_id"]))
    told = Undisturbed(
        weights_sha256=str(result["weights_sha256"]),
        steps=steps,
        num_rows=len(rows),
        rows_repeated=rows_repeated(rows, rows),
        num_points=len(points),
        wall_s=round(time.monotonic() - started, 1),
    )
    return _Reference(told, rows, points, _num_bytes(run.made), small)


def _affordable_steps(run: Undertaking, steps: int) -> int:
    """Return how many of so many steps there is time for, by the pace of the first ones."""
    since: tuple[float, int] | None = None
    while run.process.poll() is None:
        beats, now = run.beats(), time.monotonic()
        step = step_of(beats) if beats else 0
        if since is None:
            since = (now, step) if step else None
        elif step >= steps // 2 or now - since[0] >= PROBE_S:
            return fitting_steps(steps, (now - since[0]) / max(1, step - since[1]))
        time.sleep(0.05)
    return steps


def _under_fault(
    place: _Place, name: str, reference: _Reference, chance: random.Random
) -> Survived:
    """Train the job again under a kind of fault; whatever goes wrong is told in the outcome."""
    with ExitStack() as stack:
        if name == "disk":
            size_mib = _LEAST_DISK_MIB + 3 * (reference.num_bytes >> 20)
            skipped = _why_no_disk(place.folder / "tried", size_mib)
            if skipped:
                return Survived(name, skipped=skipped)
            stack.enter_context(small_disk(place.folder / name / "runs", size_mib))
        run = place.begin(name, reference.small)
        stack.callback(run.abandon)
        interval = checkpoint_interval(reference.steps)
        step = int(reference.steps * chance.uniform(*_FIRST_FAULT))
        try:
            for fault in faults_of(interval)[name]:
                run.wait_for_step(step)
                fault(run, place.ray, chance)
                step = run.injected[-1].step + chance.randint(interval // 2, 2 * interval)
            result = _result_of(run)
            return _compared(place, name, run, result, reference)
        except (DistrainError, OSError, LookupError, subprocess.SubprocessError) as error:
            return Survived(name, run.injected, error=str(error) or type(error).__name__)


def _compared(
    place: _Place, name: str, run: Undertaking, result: dict[str, Any], reference: _Reference
) -> Survived:
    """Return a run that has come to its end beside the undisturbed one."""
    is_exact = has_promised_bits(place.job.settings)
    rows = trained_rows(run.made)
    points = history_of(place.server.tracking, str(result["run_id"]))
    width = 3 if is_exact else 2  # without promised bits the values may differ
    is_same = result["weights_sha256"] == reference.told.weights_sha256
    return Survived(
        name,
        run.injected,
        is_same=is_same if is_exact else None,
        rows_repeated=rows_repeated(rows, reference.rows),
        rows_missing=rows_missing(rows, reference.rows),
        is_recorded=result["tracking"] == "complete"
        and [point[:width] for point in points] == [point[:width] for point in reference.points],
    )


def _result_of(run: Undertaking) -> dict[str, Any]:
    """Return the result of a run that trains to its end.

    Raises:
        DistrainError: it does not, or is refused.
    """
    result = run.end()
    if result.get("error"):
        raise error_from_json(result["error"])
    if result.get("status") != "finished":
        raise TrainError(f"it ended as {result.get('status')}", where="the run")
    return result


def _why_no_disk(folder: Path, size_mib: int) -> str:
    """Return why no small disk can be had; empty: it can."""
    folder.mkdir(exist_ok=True)
    if size_mib << 20 > _free_memory() // 2:
        return f"a disk in memory for it would take {size_mib:,} MiB of {_free_memory() >> 20:,}"
    if not can_mount(folder):
        return "a small disk can be mounted by root alone, and not in every container"
    return ""


def _free_memory() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
