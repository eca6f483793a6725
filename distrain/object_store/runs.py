"""The runs that are kept in an object store: which there are, and a few of their files."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from distrain.errors import ConfigError, StorageError, did_you_mean, first_line
from distrain.foreign import from_json
from distrain.object_store.bucket import Bucket
from distrain.object_store.files import CONFIG, fetch_some, newest_files
from distrain.object_store.fitness import check_store
from distrain.object_store.place import Place, remote_text

_THREADS: Final = 8
_SHIPPED: Final = "journal/shipped.json"
"""What says how far a run was recorded, and as which: see `track/watermark.py`."""
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")


def run_places(storage: Place) -> list[Place]:
    """Return the runs below a place, sorted by name and start.

    Raises:
        StorageError: the store cannot tell now.
        ConfigError: it lets nobody in, or there is no such bucket.
    """
    check_store(storage)
    below = Bucket(storage)
    try:
        places = [
            storage.below(name).below(run)
            for name in below.folders()
            for run in below.folders(f"{name}/")
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            are_runs = list(pool.map(is_run, places))
    except OSError as fault:
        raise cannot_tell(storage, fault) from fault
    return [place for place, is_one in zip(places, are_runs, strict=True) if is_one]


def is_run(place: Place) -> bool:
    """Return whether a run was begun at a place.

    Raises:
        OSError: the store cannot tell now.
    """
    return CONFIG in newest_files(Bucket(place), CONFIG)


def fetch_summaries(places: list[Place], folder: Path, names: tuple[str, ...]) -> list[Path]:
    """Fetch a few files of runs; return each run's folder, `<folder>/<name>/<run>`.

    Args:
        places: of the runs.
        folder: where to.
        names: paths of the files; those that are not there are left out.

    Raises:
        OSError: the store cannot give them now.
    """
    folders = [folder / place.parent.name / place.name for place in places]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(partial(_fetch, names), places, folders))
    return folders


def _fetch(names: tuple[str, ...], place: Place, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fetch_some(Bucket(place), names, folder)


def named_run(reference: str, storage: Path | str) -> Place | None:
    """Return where a run that was named lies at a store; None: neither it nor the storage does.

    Args:
        reference: the run's URI, or its name, `<name>/<run>`, or id at MLflow below the storage.
        storage: what `--storage` says.

    Raises:
        ConfigError: there is no such run.
        StorageError: the store cannot tell now.
    """
    uri, storage_uri = remote_text(reference), remote_text(storage)
    if uri is None and storage_uri is None:
        return None
    if uri is not None:
        place = Place.parse(uri)
        if _is_there(place):
            return place
        known = run_places(place.parent.parent) if place.prefix.count("/") else []
        raise _no_run(reference, place.parent.parent, known)
    assert storage_uri is not None
    storage_place, name = Place.parse(storage_uri), reference.strip("/")
    # Of thousands, one that is named in full is looked for alone.
    if name.count("/") == 1 and _is_there(storage_place.below(name)):
        return storage_place.below(name)
    known = run_places(storage_place)
    for place in known:
        if name in (place.name, f"{place.parent.name}/{place.name}"):
            return place
    found = _recorded_as(name, known) if _RUN_ID.fullmatch(name) else None
    if found is not None:
        return found
    raise _no_run(reference, storage_place, known)


def _recorded_as(run_id: str, runs: list[Place]) -> Place | None:
    """Return which of some runs MLflow has by an id; None: none of them, as far as is known.

    Raises:
        StorageError: the store cannot tell now.
    """
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            ids = list(pool.map(_run_id_of, runs))
    except OSError as fault:
        raise cannot_tell(runs[0].parent.parent, fault) from fault
    return next((run for run, found in zip(runs, ids, strict=True) if found == run_id), None)


def _run_id_of(run: Place) -> str | None:
    """Return MLflow's id of a run, as far as its record was shipped."""
    objects = Bucket(run)
    entry = newest_files(objects, _SHIPPED).get(_SHIPPED)
    try:
        found = from_json(objects.get(entry.name))["run_id"] if entry is not None else None
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _is_there(run: Place) -> bool:
    """Return whether a run was begun at a place, at a store that answers.

    Raises:
        ConfigError: the store lets nobody in, or there is no such bucket.
        StorageError: it cannot tell now.
    """
    check_store(run.parent.parent)
    try:
        return is_run(run)
    except OSError as fault:
        raise cannot_tell(run, fault) from fault


def winners_of(search: Place) -> list[Place]:
    """Return the runs that winners of a search have become.

    Not what a driver has left there that was killed before such a run had begun.

    Raises:
        StorageError: the store cannot tell now.
    """
    try:
        names = Bucket(search.parent).folders()
        found = [search.parent.below(name) for name in names if name.startswith(f"{search.name}-")]
        return [place for place in found if is_run(place)]
    except OSError as fault:
        raise cannot_tell(search, fault) from fault


def cannot_tell(place: Place, fault: OSError) -> StorageError:
    """Return the error for a store that does not answer where there is no going on without."""
    return StorageError(
        f"the store does not answer ({first_line(fault)})",
        where=place.uri,
        expected="an object store that can be read and written",
        mend="Try again when it is back; what the run has committed is there",
    )


def _no_run(reference: str, storage: Place, known: list[Place]) -> ConfigError:
    names = [place.name for place in known]
    wanted = reference.partition("?")[0].rstrip("/").rpartition("/")[2]
    return ConfigError(
        f"there is no run {reference!r}",
        where=storage.uri,
        expected="a run's URI, or its name or MLflow id with --storage s3://...",
        mend=did_you_mean(wanted, names, listed="Runs") if names else "There are no runs here",
    )
