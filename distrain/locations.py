"""Where settings point, with `${VAR}` filled in: it is stored unexpanded, and read when used."""

from pathlib import Path
from typing import Any

from distrain.config.data import DataSettings
from distrain.config.environment import expand_env
from distrain.config.settings import Settings
from distrain.run_folder import PREPARED


def storage_of(settings: Settings) -> Path:
    """Return the folder below which everything of a run is kept, absolute."""
    return Path(expand_env(settings.storage)).expanduser().absolute()


def cache_of(settings: Settings) -> Path:
    """Return the folder of prepared data, absolute."""
    path = settings.data.cache.path
    return Path(expand_env(path)).absolute() if path else storage_of(settings) / PREPARED


def data_of(settings: Settings) -> DataSettings:
    """Return the data section, its sources filled in."""
    plain = settings.data.model_dump()
    sources = {key: _filled(plain[key]) for key in ("source", "test_source")}
    return DataSettings.model_validate({**plain, **sources})


def _filled(value: Any) -> Any:
    if isinstance(value, str):
        return expand_env(value)
    if isinstance(value, list):
        return [_filled(item) for item in value]
    return {key: _filled(item) for key, item in value.items()} if value else value
