"""Where settings point, with `${VAR}` filled in: it is stored unexpanded, and read when used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distrain.config.data import DataSettings
from distrain.config.environment import expand_env
from distrain.config.names import is_remote
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.object_store.place import Place, remote_text
from distrain.object_store.work_link import driver_folder
from distrain.run_folder import PREPARED, new_run_dir, new_run_name


def storage_of(settings: Settings) -> Path:
    """Return the folder below which everything of a run is kept, absolute.

    Raises:
        ConfigError: it is an object store, and what asks needs a folder.
    """
    place = store_at(settings)
    if place is not None:
        raise needs_folder(place)
    return Path(expand_env(settings.storage)).expanduser().absolute()


def store_at(settings: Settings) -> Place | None:
    """Return the place at an object store where runs are kept; None: they are in a folder.

    Raises:
        ConfigError: it is a URI of another kind.
    """
    uri = remote_text(expand_env(settings.storage))
    return None if uri is None else Place.parse(uri)


def storage_named(settings: Settings) -> Path:
    """Return the folder below which runs are kept; of an object store, its URI as a path.

    Such a path is what a command is given by `--storage`, and what looks for runs takes.

    Raises:
        ConfigError: it is a URI of another kind.
    """
    place = store_at(settings)
    return storage_of(settings) if place is None else Path(place.uri)


def needs_folder(place: Place) -> ConfigError:
    """Return the error for what cannot be done where runs are kept in an object store."""
    return ConfigError(
        "this cannot be done with runs that are kept in an object store",
        where=f"storage = {place.uri}",
        expected="runs that are kept in a folder",
        mend="Of runs at a store, `distrain runs`, `report` and `compare` tell; for new ones, "
        "storage=PATH names a folder",
    )


def below_storage(settings: Settings, name: str) -> str:
    """Return what a name below the storage is, as a path that may hold `${VAR}`, or as a URI.

    Args:
        settings: what names the storage.
        name: the name.
    """
    place = store_at(settings)
    return f"{settings.storage}/{name}" if place is None else place.below(name).uri


@contextmanager
def new_run_folder(settings: Settings) -> Iterator[Path]:
    """Give the folder of a new run; where a store keeps it, a folder of this host, linked to it.

    Raises:
        ConfigError: the storage is a URI of another kind than S3's.
    """
    place = store_at(settings)
    if place is None:
        yield new_run_dir(storage_of(settings), str(settings.name))
        return
    run = place.below(str(settings.name)).below(new_run_name())
    with driver_folder(run, is_new=True) as run_dir:
        yield run_dir


def cache_of(settings: Settings) -> Path | str:
    """Return the folder of prepared data, absolute, or its URI where it is on remote storage."""
    if settings.data.cache.path is None:
        place = store_at(settings)
        return storage_of(settings) / PREPARED if place is None else place.below(PREPARED).uri
    path = expand_env(settings.data.cache.path)
    return path if is_remote(path) else Path(path.removeprefix("file://")).absolute()


def data_of(settings: Settings) -> DataSettings:
    """Return the data section, its sources and places filled in."""
    plain = settings.data.model_dump()
    places = {key: _filled(plain[key]) for key in ("source", "test_source", "cache")}
    return DataSettings.model_validate({**plain, **places})


def _filled(value: Any) -> Any:
    if isinstance(value, str):
        return expand_env(value)
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()}
    return value
