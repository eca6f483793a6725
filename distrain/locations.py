"""Where settings point, with `${VAR}` filled in: it is stored unexpanded, and read when used."""

from pathlib import Path
from typing import Any

from distrain.config.data import DataSettings
from distrain.config.environment import expand_env
from distrain.config.names import is_remote
from distrain.config.settings import Settings
from distrain.run_folder import PREPARED


def storage_of(settings: Settings) -> Path:
    """Return the folder below which everything of a run is kept, absolute."""
    return Path(expand_env(settings.storage)).expanduser().absolute()


def cache_of(settings: Settings) -> Path | str:
    """Return the folder of prepared data, absolute, or its URI where it is on remote storage."""
    if settings.data.cache.path is None:
        return storage_of(settings) / PREPARED
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
