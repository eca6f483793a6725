"""What journals below a storage folder still hold, brought to MLflow by a later command.

    for each run whose journal holds something unsent, or whose record has no end:
        take its lease: nobody drives the run, and nobody else ships its journal
        the record has no end, so its driver is dead: record it, as KILLED
        ship, and write into its result what is known by now

Out: for each run what became of it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

from distrain import lease
from distrain.errors import ConfigError, DistrainError, TrackingError
from distrain.run_folder import JOURNAL, write_result
from distrain.track.delivery import has_unsent
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import last_step, recorded_kinds, written_by
from distrain.track.model_versions import RegisteredVersion
from distrain.track.record import DRIVER, OUTCOME, STOP_STEP
from distrain.track.runs import find_run_dir, list_runs, result_of, run_dirs
from distrain.track.sending import GOES_ON
from distrain.track.shipper import Shipper
from distrain.track.stores import Stores, store_of
from distrain.track.tracking_server import REQUEST_TIMEOUT_S, TrackingServer
from distrain.track.watermark import Watermark

PATIENCE_S = 30.0
OTHERS_S = 5.0
ROUND_S = 1.0
_STATUS = {
    "finished": "FINISHED",
    "stopped_early": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class SyncedRun:
    """What became of one run's journal.

    Attributes:
        run_dir: the run's folder, absolute.
        outcome: whether something was shipped, there was nothing to ship, or something still waits.
        was_closed: whether its record had no end, and was given one.
        run_id: MLflow's; None: the run does not exist there yet.
        model: the version that was made of its newest model.
        damages: what of the journal is damaged or cut off, each with its file and byte.
        error: why something still waits.
    """

    run_dir: Path
    outcome: Literal["shipped", "nothing", "pending"]
    was_closed: bool = False
    run_id: str | None = None
    model: RegisteredVersion | None = None
    damages: tuple[str, ...] = ()
    error: DistrainError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the run's entry in the object of `--json`."""
        return {
            "name": self.run_dir.parent.name,
            "run": self.run_dir.name,
            "run_dir": str(self.run_dir),
            "outcome": self.outcome,
            "was_closed": self.was_closed,
            "run_id": self.run_id,
            "model": asdict(self.model) if self.model else None,
            "damages": list(self.damages),
            "error": self.error.to_json() if self.error else None,
        }


@final
@dataclass(frozen=True)
class SyncResult:
    """What became of the journals that were to be shipped.

    Attributes:
        runs: one entry for each run.
    """

    runs: tuple[SyncedRun, ...]

    @property
    def tracking(self) -> Literal["complete", "pending"]:
        """Return whether everything has reached MLflow."""
        is_pending = any(run.outcome == "pending" for run in self.runs)
        return "pending" if is_pending else "complete"

    @property
    def exit_code(self) -> int:
        """Return the command's exit code: 4 where a tracking server cannot be reached."""
        errors = [run.error for run in self.runs if isinstance(run.error, TrackingError)]
        return errors[0].exit_code if errors else 0

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {"runs": [run.to_json() for run in self.runs], "tracking": self.tracking}


def sync(
    named: Sequence[str],
    storage: Path,
    *,
    on_wait: Callable[[str], None] = lambda _: None,
    on_done: Callable[[SyncedRun], None] = lambda _: None,
) -> SyncResult:
    """Ship what journals still hold, and close the records of runs whose driver is dead.

    Waits for the lease of a driver that may be dead, and for a server that falters.

    Args:
        named: runs' folders, names or MLflow ids; none: all below the storage folder.
        storage: the folder that runs are kept in.
        on_wait: told what is being waited for.
        on_done: told what became of each run.

    Raises:
        ConfigError: there is no such run or folder.
    """
    known = [Path(run.run_dir) for run in list_runs(storage)]
    stores, done = Stores(), []
    for run_dir in [find_run_dir(name, storage) for name in named] if named else known:
        done.append(_sync(run_dir, stores, on_wait, lambda: False))
        on_done(done[-1])
    return SyncResult(tuple(done))


def ship_rest(run_dir: Path) -> SyncedRun:
    """Ship what a run's journal still holds; the caller holds its lease.

    Raises:
        TrackingError: its store cannot be reached.
    """
    return _ship(run_dir, Stores(), lambda: False)


@contextmanager
def shipping_others(storage: Path, server: TrackingServer, but: Path) -> Iterator[None]:
    """Ship what other runs' journals hold for a store, beside a `with` block and shortly after it.

    Args:
        storage: the folder below which they lie.
        server: the store.
        but: the folder of the run that is left alone.
    """

    def is_meant(run_dir: Path) -> bool:
        return run_dir != but and store_of(run_dir).identity == server.identity

    has_ended = threading.Event()
    work = threading.Thread(
        target=lambda: _ship_free(storage, is_meant, has_ended.is_set),
        name="distrain-others",
        daemon=True,
    )
    work.start()
    try:
        yield
        work.join(OTHERS_S)
    finally:
        has_ended.set()
        work.join(ROUND_S)


def ship_waiting(storage: Path) -> None:
    """Ship what free runs' journals hold; raises nothing.

    After a few seconds nothing more is begun. What is under way then is waited for: a request, or
    the lease of a driver that died where it cannot be seen.

    Args:
        storage: the folder below which the runs lie.
    """
    deadline = time.monotonic() + OTHERS_S
    _ship_free(storage, lambda _: True, lambda: time.monotonic() > deadline)


def is_unshipped(run_dir: Path) -> bool:
    """Return whether a run's journal holds something unsent, or has no end."""
    folder = run_dir / JOURNAL
    mark = Watermark.load(folder)
    if not has_unsent(folder, mark) and mark.status not in ("", GOES_ON):
        return False
    return bool(recorded_kinds(folder, DRIVER))


def _ship_free(
    storage: Path, is_meant: Callable[[Path], bool], is_over: Callable[[], bool]
) -> None:
    """Ship the journals of runs that nobody drives."""
    stores = Stores()
    for run_dir in run_dirs(storage.absolute()):
        if is_over():
            return
        try:
            if is_unshipped(run_dir) and lease.is_free(run_dir) and is_meant(run_dir):
                done = _sync(run_dir, stores, lambda _: None, is_over)
                logger.info("%s: %s", run_dir, done.outcome)
        except Exception as error:  # logged; the journal keeps it, and `sync` raises it
            # The command has its own work, which what is left of other runs must not touch.
            logger.warning("what %s recorded is not shipped now: %s", run_dir, error)


def _sync(
    run_dir: Path, stores: Stores, on_wait: Callable[[str], None], is_over: Callable[[], bool]
) -> SyncedRun:
    try:
        if not is_unshipped(run_dir):
            return SyncedRun(run_dir, "nothing", run_id=Watermark.load(run_dir / JOURNAL).run_id)
        with lease.holding(run_dir, on_wait, is_shipping=True):
            return _ship(run_dir, stores, is_over)
    except DistrainError as error:
        return SyncedRun(run_dir, "pending", error=error)
    except OSError as error:
        return SyncedRun(run_dir, "pending", error=_unreadable(run_dir, error))


def _ship(run_dir: Path, stores: Stores, is_over: Callable[[], bool]) -> SyncedRun:
    server = store_of(run_dir)
    client = stores.client(server)
    was_closed = _close_if_open(run_dir)
    shipper = Shipper(run_dir / JOURNAL, server, connect_to=lambda _: client)
    shipper.note_lost_ends()
    shipper.start()
    trouble_s, is_shipped = 0.0, False
    while trouble_s < PATIENCE_S and not (is_shipped := shipper.drain(ROUND_S)):
        trouble_s = trouble_s + ROUND_S if shipper.problem else 0.0
        if shipper.is_refused or is_over():
            break
    shipper.close(REQUEST_TIMEOUT_S)
    done = SyncedRun(
        run_dir,
        "shipped" if is_shipped else "pending",
        was_closed,
        shipper.run_id,
        _version_of(run_dir, shipper.versions),
        tuple(shipper.damages),
        None if is_shipped else _unshipped(server, shipper.problem),
    )
    _update_result(done)
    return done


def _close_if_open(run_dir: Path) -> bool:
    """Record the end of a run whose driver is dead and came to none; return whether it was so."""
    folder = run_dir / JOURNAL
    records = list(written_by(DRIVER, folder))
    ends = [record.payload["status"] for record in records if record.kind == "status"]
    if ends and ends[-1] != GOES_ON:
        return False
    newest_ms = max(int(path.stat().st_mtime * 1000) for path in folder.glob("*.jsonl"))
    told = [r.payload[OUTCOME] for r in records if r.kind == "tags" and OUTCOME in r.payload]
    # Where it told how it ended, and the status behind that is missing, the status was damaged.
    status = _STATUS.get(told[-1]) if told else None
    with JournalWriter(folder, DRIVER) as journal:
        if status is None:
            journal.tags({OUTCOME: "killed", STOP_STEP: str(last_step(folder))})
        journal.status(status or "KILLED", ended_ms=newest_ms)
    return status is None


def _version_of(run_dir: Path, made: Mapping[str, RegisteredVersion]) -> RegisteredVersion | None:
    """Return the version that was made of the weights that a run's result names."""
    sha256 = result_of(run_dir).get("weights_sha256") or "nothing"
    return next((made[key] for key in made if key.endswith(f"@{sha256[:16]}")), None)


def _update_result(done: SyncedRun) -> None:
    """Write into a run's result what its record has come to."""
    fields = result_of(done.run_dir)
    if not fields:
        return
    fields["run_id"] = done.run_id
    fields["tracking"] = "complete" if done.outcome == "shipped" else "pending"
    if done.model is not None:
        fields["model"] = asdict(done.model)
    write_result(done.run_dir, fields)


def _unreadable(run_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the run's folder cannot be read or written ({error.strerror or error})",
        where=str(run_dir),
        expected="a folder that this user may read and write",
        mend="Ask whose it is to run `distrain sync`, or mend its rights",
    )


def _unshipped(server: TrackingServer, problem: str | None) -> DistrainError:
    if problem is None:
        return ConfigError("there was no time for all of it", mend="Run `distrain sync`")
    return TrackingError(
        problem,
        where=f"{server.origin} = {server.shown}",
        expected="a tracking server that takes what was recorded",
        mend="Run `distrain sync` when it is back",
    )
