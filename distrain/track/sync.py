"""What journals below a storage folder still hold, brought to MLflow by a later command.

    for each run whose journal holds something unsent, or whose record has no end:
        take its lease: nobody drives the run, and nobody else ships its journal
        the record has no end, so its driver is dead: record it, as KILLED
        ship, and write into its result what is known by now

Which store a run belongs to stands in its journal's watermark, because the environment of the later
command may name another. Out: for each run what became of it.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from distrain import lease
from distrain.config.environment import expand_env
from distrain.config.load import load_settings
from distrain.errors import ConfigError, DistrainError, TrackingError
from distrain.run_folder import CONFIG, JOURNAL, RESULT, write_result
from distrain.track.delivery import has_unsent
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import last_step, recorded_kinds, written_by
from distrain.track.model_versions import RegisteredVersion
from distrain.track.reachable import check_reachable
from distrain.track.record import DRIVER, OUTCOME, STOP_STEP
from distrain.track.runs import find_run_dir, list_runs, run_dirs
from distrain.track.sending import GOES_ON
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import (
    REQUEST_TIMEOUT_S,
    STORAGE,
    TrackingServer,
    connect,
    has_hidden_password,
    resolve_tracking_uri,
    storage_server,
)
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE_S = 30.0
OTHERS_S = 5.0
ROUND_S = 1.0

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
        error: why something still waits.
    """

    run_dir: Path
    outcome: Literal["shipped", "nothing", "pending"]
    was_closed: bool = False
    run_id: str | None = None
    model: RegisteredVersion | None = None
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


@final
class Stores:
    """Clients of tracking stores, each made once; one that did not answer is not asked again."""

    def __init__(self) -> None:
        self._made: dict[str, MlflowClient | TrackingError] = {}

    def client(self, server: TrackingServer) -> "MlflowClient":
        """Return the client of a store.

        Raises:
            TrackingError: it cannot be reached, or refuses.
        """
        if server.uri not in self._made:
            try:
                check_reachable(server)
                self._made[server.uri] = connect(server)
            except TrackingError as error:
                self._made[server.uri] = error
        made = self._made[server.uri]
        if isinstance(made, TrackingError):
            raise made
        return made


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
    """Ship what free runs' journals hold, for at most a few seconds; raises nothing.

    Args:
        storage: the folder below which the runs lie.
    """
    deadline = time.monotonic() + OTHERS_S
    _ship_free(storage, lambda _: True, lambda: time.monotonic() > deadline)


def store_of(run_dir: Path) -> TrackingServer:
    """Return the tracking store that a run is recorded at.

    Raises:
        ConfigError: its configuration cannot be read.
        TrackingError: it cannot be told without the password, which is not kept.
    """
    storage = run_dir.parent.parent
    kept = Watermark.load(run_dir / JOURNAL).server
    if kept == STORAGE:
        return storage_server(storage)
    if kept and not has_hidden_password(kept):
        return resolve_tracking_uri(kept, storage)
    uri = load_settings([run_dir / CONFIG]).track.uri
    server = resolve_tracking_uri(expand_env(uri) if uri else None, storage)
    if kept in ("", server.identity):
        return server
    raise TrackingError(
        f"the run is recorded at {kept}, and the password is not kept with it",
        where=str(run_dir),
        expected="the tracking store that the run began with",
        mend="Set MLFLOW_TRACKING_URI to it in this command's environment",
    )


def is_unshipped(run_dir: Path) -> bool:
    """Return whether a run's journal holds something unsent, or has no end."""
    folder = run_dir / JOURNAL
    mark = Watermark.load(folder)
    if not has_unsent(folder, mark) and mark.status not in ("", GOES_ON):
        return False
    return "run" in recorded_kinds(folder, DRIVER)


def _ship_free(
    storage: Path, is_meant: Callable[[Path], bool], is_over: Callable[[], bool]
) -> None:
    """Ship the journals of runs that nobody drives, until one's store cannot be reached."""
    stores = Stores()
    try:
        for run_dir in run_dirs(storage.absolute()):
            if is_over():
                return
            if not (is_unshipped(run_dir) and lease.is_free(run_dir) and is_meant(run_dir)):
                continue
            done = _sync(run_dir, stores, lambda _: None, is_over)
            logger.info("%s: %s", run_dir, done.outcome)
            if isinstance(done.error, TrackingError):
                return
    except Exception as error:
        # The command has its own work, which what is left of other runs must not touch.
        logger.warning("what other runs recorded is not shipped now: %s", error)


def _sync(
    run_dir: Path, stores: Stores, on_wait: Callable[[str], None], is_over: Callable[[], bool]
) -> SyncedRun:
    if not is_unshipped(run_dir):
        return SyncedRun(run_dir, "nothing", run_id=Watermark.load(run_dir / JOURNAL).run_id)
    try:
        with lease.holding(run_dir, on_wait, is_shipping=True):
            return _ship(run_dir, stores, is_over)
    except DistrainError as error:
        return SyncedRun(run_dir, "pending", error=error)


def _ship(run_dir: Path, stores: Stores, is_over: Callable[[], bool]) -> SyncedRun:
    server = store_of(run_dir)
    client = stores.client(server)
    was_closed = _close_if_open(run_dir)
    shipper = Shipper(run_dir / JOURNAL, server, connect_to=lambda _: client)
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
    tags = {OUTCOME: "killed", STOP_STEP: str(last_step(folder))}
    newest_ms = max(int(path.stat().st_mtime * 1000) for path in folder.glob("*.jsonl"))
    with JournalWriter(folder, DRIVER) as journal:
        journal.tags(tags)
        journal.status("KILLED", ended_ms=newest_ms)
    return True


def _version_of(run_dir: Path, made: Mapping[str, RegisteredVersion]) -> RegisteredVersion | None:
    """Return the version that was made of the weights that a run's result names."""
    sha256 = _result(run_dir).get("weights_sha256") or "nothing"
    return next((made[key] for key in made if key.endswith(f"@{sha256[:16]}")), None)


def _result(run_dir: Path) -> dict[str, Any]:
    """Return the fields of a run's result; of one that was killed, none."""
    try:
        fields: dict[str, Any] = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return fields


def _update_result(done: SyncedRun) -> None:
    """Write into a run's result what its record has come to."""
    fields = _result(done.run_dir)
    if not fields:
        return
    fields["run_id"] = done.run_id
    fields["tracking"] = "complete" if done.outcome == "shipped" else "pending"
    if done.model is not None:
        fields["model"] = asdict(done.model)
    write_result(done.run_dir, fields)


def _unshipped(server: TrackingServer, problem: str | None) -> DistrainError:
    if problem is None:
        return ConfigError("there was no time for all of it", mend="Run `distrain sync`")
    return TrackingError(
        problem,
        where=f"{server.origin} = {server.shown}",
        expected="a tracking server that takes what was recorded",
        mend="Run `distrain sync` when it is back",
    )
