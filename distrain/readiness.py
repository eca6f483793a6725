"""What comes before training and before a search: whatever is refused, nothing has begun.

    check what can be checked without starting anything: files, storage, tracking server, workers,
        and that the user's own code can be imported
    find the weights to begin with, where some are named, and keep them
    start Ray; meanwhile import mlflow
    on a cluster, wait in line until the first workers have room, and hold it
    of a cluster of several hosts, check that all see what the run keeps and reads
    prepare the data, or find it prepared; what is held makes way for that, and is waited for again
    try the model on two rows

Out: a run that is ready, with Ray and room for the length of a `with` block.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from distrain.config.environment import check_given
from distrain.config.settings import Settings
from distrain.config.targets import user_targets
from distrain.data.checking import SourceSummary, quick_check
from distrain.data.files import filesystem_of
from distrain.data.prepare import Prepared, find_prepared, prepare
from distrain.data.same import KnownData
from distrain.data.sources import local_places
from distrain.display import Display
from distrain.errors import TrackingError
from distrain.initial_weights import with_initial_weights
from distrain.locations import cache_of, data_of, storage_named, storage_of, store_at
from distrain.object_store.fitness import check_store
from distrain.results import findings_in_brief
from distrain.run_facts import StartedRun, filled_in_args, own_code
from distrain.run_folder import check_folder
from distrain.search_checks import check_own_constraints, check_search
from distrain.stored_run import Started, check_args, check_model
from distrain.track.code_secrets import check_no_secrets
from distrain.track.early_import import loading_mlflow
from distrain.track.reachable import check_reachable
from distrain.track.stores import server_of_new_run
from distrain.track.tracking_server import TrackingServer
from distrain.track.user_code import forget_changed_code
from distrain.train.from_settings import check_user_code, job_from_settings
from distrain.train.hosts import check_hosts, check_store_from, other_hosts
from distrain.train.preflight import try_first_batch
from distrain.tune.deciding import check_deciding
from distrain.tune.earlier import check_earlier
from distrain.workplace import (
    Place,
    Places,
    data_session,
    planned_placement,
    planned_places,
    search_session,
    training_session,
)


@final
@dataclass(frozen=True)
class Checked:
    """What was found where all can be done.

    Attributes:
        server: where the run would be recorded.
        source: what a look at the source has told.
    """

    server: TrackingServer
    source: SourceSummary


@contextmanager
def ready(
    settings: Settings,
    run_dir: Path,
    import_paths: Sequence[str],
    display: Display,
    started: Started | None = None,
    *,
    is_offline: bool = False,
) -> Iterator[StartedRun]:
    """Do what comes before training, and keep Ray for the length of a `with` block.

    Args:
        settings: what to do.
        run_dir: the run's folder; it need not exist.
        import_paths: folders to import the user's code from, here and on the workers.
        display: what is told meanwhile.
        started: what the run was started with, and must be still; None: it starts now.
        is_offline: whether the tracking server is left alone.

    Raises:
        DistrainError: of exit code 2 or 4, as `train`.
    """
    begun = time.monotonic()
    make_importable(import_paths, settings)
    checked = check(settings, is_offline=is_offline)
    settings = with_initial_weights(settings)
    with (
        loading_mlflow(None if is_offline else checked.server) as loading,
        training_session(settings, display) as place,
    ):
        check_sight(settings, import_paths)
        run = _settled(settings, run_dir, checked, place, display, started)
        loading.result()
        ready_s = time.monotonic() - begun
        yield replace(run, import_paths=list(import_paths), is_offline=is_offline, ready_s=ready_s)


@contextmanager
def ready_to_search(
    settings: Settings,
    run_dir: Path,
    import_paths: Sequence[str],
    display: Display,
    started: Started | None = None,
    *,
    is_offline: bool,
) -> Iterator[tuple[StartedRun, Places]]:
    """Do what comes before a search, as `ready` does before training.

    Gives the sweep, and where its trials and its winner run.

    Raises:
        DistrainError: of exit code 2 or 4, as `tune`.
    """
    begun = time.monotonic()
    make_importable(import_paths, settings, is_search=True)
    check_search(settings)
    if started is None:
        check_earlier(settings, storage_named(settings))
    planned_places(settings)
    checked = check(settings, is_offline=is_offline, is_search=True)
    if started is None:
        check_own_constraints(settings)
    settings = with_initial_weights(settings)
    with (
        loading_mlflow(None if is_offline else checked.server) as loading,
        search_session(settings, display) as (place, winner),
    ):
        check_sight(settings, import_paths)
        run = _settled(settings, run_dir, checked, place, display, started)
        check_deciding(settings, run.job, run.prepared.dataset)
        loading.result()
        run = replace(run, import_paths=list(import_paths), is_offline=is_offline)
        run = replace(run, is_sweep=True, ready_s=time.monotonic() - begun)
        yield run, Places(run.placement, winner)


def _settled(
    settings: Settings,
    run_dir: Path,
    checked: Checked,
    place: Place,
    display: Display,
    started: Started | None,
) -> StartedRun:
    """Prepare the data, or find it prepared, try the model on two rows, and have a place."""
    if started is not None:
        check_args(started, filled_in_args(settings))
    line = place.line
    if line is not None and not _is_prepared(settings, checked):
        line.release()  # Ray Data needs some of that room
    prepared = prepare_data(settings, display, started.data if started else None)
    job = job_from_settings(settings, prepared.dataset, run_dir)
    preflight = try_first_batch(job, is_for_gpu=place.planned().gpu > 0)
    if preflight.anew and job.init_from is not None:
        display.note(f"beside {job.init_from['source']}, anew: {', '.join(preflight.anew)}")
    if preflight.assumed:
        display.note(preflight.assumed)
    if started is not None:
        check_model(started, preflight.shapes)
    placement = place.settle()
    run = StartedRun(settings, checked.server, prepared, placement, preflight, job, [], line=line)
    if started is None:
        return run
    won = None if started.won is None else (str(started.won[0]), int(started.won[1]))
    return replace(run, reproduces=started.reproduces, won=won)


def _is_prepared(settings: Settings, checked: Checked) -> bool:
    listings = checked.source.listings
    return find_prepared(data_of(settings), cache=cache_of(settings), listings=listings) is not None


def check(settings: Settings, *, is_offline: bool, is_search: bool = False) -> Checked:
    """Check all that can be checked in seconds, before anything is started or written.

    Args:
        settings: what to do; the user's own code can be imported already.
        is_offline: whether the tracking server is left alone.
        is_search: whether a search is begun, or goes on.

    Raises:
        DistrainError: of exit code 2 or 4, as `train`.
    """
    check_given(settings.cluster.env)
    check_storage(settings)
    planned_placement(settings)
    targets = [target for _, target in user_targets(settings, is_search=is_search)]
    forget_changed_code(targets)
    source = quick_check(data_of(settings))
    server = server_of_new_run(settings, is_offline=is_offline)
    if not is_offline:
        _check_server(server)
    check_user_code(settings, is_search=is_search)
    check_no_secrets(targets)
    return Checked(server, source)


def check_storage(settings: Settings) -> None:
    """Refuse a storage, or a cache of prepared data, that cannot be written.

    Raises:
        DistrainError: of exit code 2 or 4.
    """
    place = store_at(settings)
    if place is None:
        storage = storage_of(settings)
        check_folder(storage, key="storage")
        check_folder(storage / str(settings.name), key="storage")
    else:
        check_store(place)
    check_cache(cache_of(settings))


def _check_server(server: TrackingServer) -> None:
    try:
        check_reachable(server)
    except TrackingError as error:
        raise TrackingError(
            error.message,
            where=error.where,
            expected=error.expected,
            mend=f"{error.mend}. With --offline the record stays here until `distrain sync`",
        ) from error


def check_sight(settings: Settings, import_paths: Sequence[str] = ()) -> None:
    """Check that all hosts see the storage, the user's code and local data; Ray must be connected.

    A store has to let each of them in. Where there is one host, nothing is done.

    Args:
        settings: what is to be done.
        import_paths: folders to import the user's code from on the workers.

    Raises:
        ConfigError: a host does not see something.
        StorageError: a host does not reach the store.
    """
    hosts = other_hosts()
    if not hosts:
        return
    cache, data, place = cache_of(settings), data_of(settings), store_at(settings)
    if place is not None:
        check_store_from(hosts, place, settings.cluster.env)
    kept = {} if place is not None else {"storage": storage_of(settings)}
    if isinstance(cache, Path) and not any(map(cache.is_relative_to, kept.values())):
        kept["data.cache.path"] = cache
    code = own_code(settings) if import_paths else []
    read = [("the user's code", path) for path in code if str(path.parent) in import_paths]
    # What is prepared is not read again.
    if data.ingest == "stream" or find_prepared(data, cache=cache) is None:
        sources = {"data.source": data.source, "data.test_source": data.test_source}
        read += [
            (key, path)
            for key, source in sources.items()
            if source is not None
            for path in local_places(source)
        ]
    check_hosts(hosts, kept, read)


def check_cache(place: Path | str) -> None:
    """Refuse a cache of prepared data that cannot be written.

    Args:
        place: its folder, or its URI.
    """
    if isinstance(place, Path):
        check_folder(place, key="data.cache.path")
    else:
        filesystem_of(place)


def make_importable(folders: Sequence[str], settings: Settings, *, is_search: bool = False) -> None:
    """Put folders first among those that this process imports from, where code of theirs is named.

    Elsewhere a file beside a configuration would stand in for a library of its name, unasked.

    Args:
        folders: where the user's own modules may lie.
        settings: what is to be done.
        is_search: as for `user_targets`.
    """
    if user_targets(settings, is_search=is_search):
        sys.path[:] = [*folders, *(folder for folder in sys.path if folder not in folders)]


def find_or_prepare(settings: Settings, display: Display) -> Prepared:
    """Find the data prepared, or prepare it on Ray, which is there for that alone.

    Args:
        settings: what to do.
        display: what is told meanwhile.
    """
    found = find_prepared(data_of(settings), cache=cache_of(settings))
    if found is not None:
        return Prepared(found, reused=True)
    if settings.data.dataset is not None:
        return prepare_data(settings, display)
    with data_session(settings.cluster.address, display):
        check_sight(settings)
        return prepare_data(settings, display)


def prepare_data(settings: Settings, display: Display, known: KnownData | None = None) -> Prepared:
    """Prepare the data on Ray, or find it prepared, and tell what was found in it.

    Args:
        settings: what to do.
        display: what is told meanwhile.
        known: what a run that goes on was started with, and must be still.
    """
    display.stage("preparing the data")
    prepared = prepare(data_of(settings), cache=cache_of(settings), known=known)
    for line in findings_in_brief(prepared.findings):
        display.note(line)
    return prepared
