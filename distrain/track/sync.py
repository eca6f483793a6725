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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from distrain import lease
from distrain.errors import (
    ConfigError,
    DistrainError,
    StorageError,
    TrackingError,
    first_line,
)
from distrain.object_store.link import link_of
from distrain.object_store.place import remote_text
from distrain.object_store.runs import cannot_tell
from distrain.run_folder import JOURNAL, keep_files
from distrain.track.deleted import is_deleted
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import (
    DRIVER,
    SHOWN_AFTER_S,
    last_step,
    last_written,
    list_segments,
    segments_of,
    written_by,
)
from distrain.track.links import NOTE_TAG
from distrain.track.meant_runs import MeantRun, meant_runs
from distrain.track.model_versions import RegisteredVersion
from distrain.track.outcome import OUTCOME, STOP_STEP
from distrain.track.patient import patient
from distrain.track.runs import result_of, run_dirs
from distrain.track.sending import GOES_ON
from distrain.track.shipper import Shipper
from distrain.track.stores import Stores, server_of_run
from distrain.track.synced import SyncedRun, SyncResult, update_result, update_search
from distrain.track.tracking_server import REQUEST_TIMEOUT_S, TrackingServer
from distrain.track.trials import SEARCH
from distrain.track.unsent import has_unsent, is_unshipped, losses_at
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

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


def sync(
    named: Sequence[str],
    storage: Path,
    *,
    on_wait: Callable[[str], None] = lambda _: None,
    on_done: Callable[[SyncedRun], None] = lambda _: None,
) -> SyncResult:
    """Ship what journals still hold, and close the records of runs whose driver is dead.

    Waits for the lease of a driver that may be dead, and for a server that falters. A run that was
    deleted at MLflow is restored where it is named, and left alone where not.

    Args:
        named: runs' folders, names, URIs or MLflow ids; none: all below the storage.
        storage: the folder that runs are kept in, or its URI.
        on_wait: told what is being waited for.
        on_done: told what became of each run.

    Raises:
        ConfigError: there is no such run, folder or bucket.
        StorageError: the object store that is named does not answer.
    """
    stores, done = Stores(), []
    with meant_runs(named, storage) as runs:
        for meant in runs:
            run = _sync_meant(meant, stores, on_wait, is_named=bool(named))
            done.append(run)
            on_done(run)
    return SyncResult(tuple(done), is_named=bool(named))


def _sync_meant(
    meant: MeantRun, stores: Stores, on_wait: Callable[[str], None], *, is_named: bool
) -> SyncedRun:
    if meant.is_shipped and not is_named:
        return replace(_nothing_left(meant.summary, is_named=False), uri=meant.uri)
    try:
        with meant.opened() as run_dir:
            run = _sync(run_dir, stores, on_wait, lambda: False, is_named=is_named)
    except StorageError as error:
        run = SyncedRun(meant.summary, "pending", error=error)
    return replace(run, uri=meant.uri)


def ship_rest(run_dir: Path, fence: int) -> SyncedRun:
    """Ship what a run's journal still holds; the run is restored where it was deleted.

    Args:
        run_dir: the run's folder.
        fence: the number of its lease, which the caller holds.

    Raises:
        CheckpointError: another has taken the run over.
        TrackingError: its store cannot be reached.
    """
    return _ship(run_dir, Stores(), lambda: False, fence, is_named=True)


@contextmanager
def shipping_others(storage: Path, server: TrackingServer, but: Path) -> Iterator[None]:
    """Ship what other runs' journals hold for a store, beside a `with` block and shortly after it.

    Args:
        storage: the folder below which they lie.
        server: the store.
        but: the folder of the run that is left alone.
    """

    def is_meant(run_dir: Path) -> bool:
        return run_dir != but and server_of_run(run_dir).identity == server.identity

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
    if remote_text(storage) is not None:  # `resume` ships what runs at a store have left
        return
    deadline = time.monotonic() + OTHERS_S
    _ship_free(storage, lambda _: True, lambda: time.monotonic() > deadline)


def _ship_free(
    storage: Path, is_meant: Callable[[Path], bool], is_over: Callable[[], bool]
) -> None:
    """Ship the journals of runs that nobody drives."""
    stores = Stores()
    for run_dir in sorted(run_dirs(storage.absolute())):  # a search before its winner
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
    run_dir: Path,
    stores: Stores,
    on_wait: Callable[[str], None],
    is_over: Callable[[], bool],
    *,
    is_named: bool = False,
) -> SyncedRun:
    try:
        if not is_unshipped(run_dir, is_named=is_named):
            found = _nothing_left(run_dir, is_named=is_named)
            if not found.is_deleted and result_of(run_dir).get("tracking") == "pending":
                update_search(run_dir)  # whose winner was shipped since, by who could not tell it
            return found
        with lease.holding(run_dir, on_wait, is_shipping=True) as held:
            return _ship(run_dir, stores, is_over, held.fence, is_named=is_named)
    except DistrainError as error:
        return SyncedRun(run_dir, "pending", error=error)
    except OSError as error:
        link = link_of(run_dir)
        told = _unreadable(run_dir, error) if link is None else cannot_tell(link.place, error)
        return SyncedRun(run_dir, "pending", error=told)


def _nothing_left(run_dir: Path, *, is_named: bool) -> SyncedRun:
    mark = Watermark.load(run_dir / JOURNAL)
    damages = tuple(losses_at(run_dir)) if is_named else ()
    return SyncedRun(
        run_dir, "nothing", run_id=mark.run_id, damages=damages, is_deleted=mark.is_deleted
    )


def _ship(
    run_dir: Path, stores: Stores, is_over: Callable[[], bool], fence: int, *, is_named: bool
) -> SyncedRun:
    server = server_of_run(run_dir)
    client = stores.client(server)
    check = partial(lease.check, run_dir, fence)
    check()  # a server that does not answer may have been waited for
    if not is_named and _is_deleted(run_dir, server, patient(client, check)):
        return SyncedRun(run_dir, "nothing", run_id=_note_deleted(run_dir, server), is_deleted=True)
    was_closed = _close_if_open(run_dir)
    shipper = Shipper(
        run_dir / JOURNAL,
        server,
        connect_to=lambda _: client,
        check=check,
        may_restore=is_named,
    )
    shipper.note_losses()
    shipper.start()
    is_shipped = _is_all_sent(shipper, run_dir / JOURNAL, server, is_over)
    shipper.close(REQUEST_TIMEOUT_S)
    check()  # else the result is another's to write
    done = SyncedRun(
        run_dir,
        "shipped" if is_shipped else "pending",
        was_closed,
        shipper.run_id,
        _version_of(run_dir, shipper.versions),
        tuple(shipper.damages),
        None if is_shipped else _unshipped(server, shipper.problem),
    )
    update_result(done, shipper.child_ids)
    keep_files(run_dir)  # how far it came is kept of a run that has no result, too
    return done


def _is_all_sent(
    shipper: Shipper, folder: Path, server: TrackingServer, is_over: Callable[[], bool]
) -> bool:
    """Return whether a journal that nobody writes to was sent whole, as far as one has patience.

    What NFS may not show yet is read when it does, or is damaged a minute after it was looked for.
    """
    trouble_s = hidden_s = 0.0
    while trouble_s < PATIENCE_S and hidden_s <= SHOWN_AFTER_S:
        if not shipper.drain(ROUND_S, with_data=True):
            trouble_s = trouble_s + ROUND_S if shipper.problem else 0.0
        elif has_unsent(folder, Watermark.load_for(folder, server.identity)):
            hidden_s += ROUND_S
            time.sleep(ROUND_S)
        else:
            return True
        if shipper.is_refused or is_over():
            break
    return False


def _is_deleted(run_dir: Path, server: TrackingServer, client: "MlflowClient") -> bool:
    from mlflow.exceptions import MlflowException

    folder = run_dir / JOURNAL
    try:
        return is_deleted(client, folder, DRIVER, Watermark.load_for(folder, server.identity))
    except MlflowException as error:
        raise _unshipped(server, first_line(error)) from error


def _note_deleted(run_dir: Path, server: TrackingServer) -> str | None:
    """Write down that a run is deleted, which a command that names it takes back; return its id."""
    mark = Watermark.load_for(run_dir / JOURNAL, server.identity)
    mark.is_deleted = True
    mark.save(run_dir / JOURNAL)
    keep_files(run_dir)
    return mark.run_id


def _close_if_open(run_dir: Path) -> bool:
    """Record the end of a run whose driver is dead and came to none; return whether it was so."""
    folder = run_dir / JOURNAL
    records = list(written_by(DRIVER, folder))
    ends = [record.payload["status"] for record in records if record.kind == "status"]
    if ends and ends[-1] != GOES_ON:
        return False
    newest_ms = _last_sign_ms(run_dir)
    told = [r.payload[OUTCOME] for r in records if r.kind == "tags" and OUTCOME in r.payload]
    # Where it told how it ended, and the status behind that is missing, the status was damaged.
    status = _STATUS.get(told[-1]) if told else None
    with JournalWriter(folder, DRIVER) as journal:
        if status is None:
            # A search takes no steps; its trials, which do, are ended with it.
            is_search = bool(segments_of(SEARCH, folder))
            stop = {} if is_search else {STOP_STEP: str(last_step(folder))}
            note = "### Cut off\n\nIts driver was killed, and has told no end."
            journal.tags({OUTCOME: "killed", **stop, NOTE_TAG: note})
        journal.status(status or "KILLED", ended_ms=newest_ms)
    return status is None


def _last_sign_ms(run_dir: Path) -> int:
    """Return when a run was last heard of, in milliseconds since 1970."""
    segments = list_segments(run_dir / JOURNAL)
    if link_of(run_dir) is None:
        return max(int(path.stat().st_mtime * 1000) for path in segments)
    # A copy's files are as old as the copy.
    writers = {path.stem.rpartition("-")[0] for path in segments}
    found = (last_written(writer, run_dir / JOURNAL) for writer in writers)
    return max(record.time_ms for record in found if record is not None)


def _version_of(run_dir: Path, made: Mapping[str, RegisteredVersion]) -> RegisteredVersion | None:
    """Return the version that was made of the weights that a run's result names."""
    sha256 = result_of(run_dir).get("weights_sha256") or "nothing"
    return next((made[key] for key in made if key.endswith(f"@{sha256[:16]}")), None)


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
