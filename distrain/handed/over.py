"""A configuration, and what is handed over from Python beside it -> settings and import paths."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from distrain.config.load import load_settings, settings_from_dict
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.handed.loss import target_of
from distrain.handed.package import Package
from distrain.handed.rows import write_rows
from distrain.locations import storage_of, store_at
from distrain.run_folder import GIVEN

Config = Path | str | Mapping[str, Any] | Settings
_STANDING_IN = "handed:over"


def hand_over(  # noqa: PLR0913 - each is one thing that can be handed over
    config: Config | None,
    overrides: Sequence[str],
    sections: Mapping[str, Any],
    *,
    data: Any = None,
    target: str | Sequence[str] | None = None,
    model: Any = None,
    loss: Any = None,
) -> tuple[Settings, list[str]]:
    """Return the settings that are asked for, and folders to import the user's code from.

    What is handed over is kept below the storage.

    Args:
        config: a file, a mapping with the keys of a file, or settings; None: the rest says it all.
        overrides: `section.key=value`; they win over all else.
        sections: values that win over the configuration, by its top-level keys.
        data: rows, as `rows.write_rows` takes them; a mapping is the section `data`.
        target: takes the place of `data.target`.
        model: a class, a function that returns a module, a `functools.partial` of one of them, or
            a module; a mapping or a text is the section `model`.
        loss: a function, a class, an object such as `nn.MSELoss()`, or a `functools.partial`; a
            mapping or a text is the section `train.loss`.

    Raises:
        DistrainError: the configuration, or something that was handed over, is at fault.
    """
    values = {key: value for key, value in sections.items() if value is not None}
    _put(values, ("data",), data if isinstance(data, Mapping) else None)
    _put(values, ("data", "target"), target)
    _put(values, ("model",), model if isinstance(model, Mapping | str) else None)
    _put(values, ("train", "loss"), loss if isinstance(loss, Mapping | str) else None)
    has_rows = data is not None and not isinstance(data, Mapping)
    has_model = model is not None and not isinstance(model, Mapping | str)
    has_loss = loss is not None and not isinstance(loss, Mapping | str)
    if not (has_rows or has_model or has_loss):
        return _load(config, overrides, values), []
    _put(values, ("data", "source"), "handed-over.parquet" if has_rows else None)
    _put(values, ("model",), {"target": _STANDING_IN} if has_model else None)
    _put(values, ("train", "loss"), {"target": _STANDING_IN} if has_loss else None)
    first = _load(config, overrides, values)
    _check_room(first)
    storage = storage_of(first)
    package = Package(storage)
    wanted, args = target_of(loss)
    called = package.path_of(_function(wanted), "loss") if has_loss else None
    section = _model_section(model, package, first) if has_model else None
    name = package.keep()
    if section is not None:
        _put(values, ("model",), {**section, "target": _named(section["target"], name)})
    if called is not None:
        given = {"args": args} if args else {}
        _put(values, ("train", "loss"), {"target": _named(called, name), **given})
    _put(values, ("data", "source"), str(write_rows(data, storage / GIVEN)) if has_rows else None)
    settings = _load(config, overrides, values)
    if isinstance(model, nn.Module):
        package.check_rebuilt(model, name)
    return settings, package.import_paths


def _load(config: Config | None, overrides: Sequence[str], values: Mapping[str, Any]) -> Settings:
    if isinstance(config, str | Path):
        return load_settings([config], overrides, values)
    return settings_from_dict({} if config is None else config, overrides, values)


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put a value at a path of nested mappings, beside what stands there; None: nothing."""
    if value is None:
        return
    *above, last = path
    for key in above:
        inner = values.get(key)
        values[key] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[key]
    values[last] = value


def _named(path: str, module: str) -> str:
    return f"{module}{path}" if path.startswith(":") else path


def _model_section(model: Any, package: Package, settings: Settings) -> dict[str, Any]:
    if isinstance(model, nn.Module):
        if settings.model.init_from is not None:
            raise ConfigError(
                "a module is handed over, and model.init_from names other weights to begin with",
                where="model",
                expected="one of the two: a module begins with the weights that it has",
                mend="Leave model.init_from out, or hand over the module's class",
            )
        return package.instance(model)
    args: dict[str, Any] = {}
    if isinstance(model, functools.partial):
        if model.args:
            raise ConfigError(
                f"a partial is handed over with {len(model.args)} positional arguments",
                where="model",
                expected="keyword arguments, which a configuration can hold",
                mend="Name them: functools.partial(Net, hidden=64)",
            )
        model, args = model.func, dict(model.keywords)
    return {
        "target": package.path_of(_function(model), "model"),
        **({"args": args} if args else {}),
    }


def _function(value: Any) -> Callable[..., Any]:
    if not callable(value) or not hasattr(value, "__qualname__"):
        raise ConfigError(
            f"a {type(value).__name__} is handed over",
            where="model or loss",
            expected="a class, a function, a functools.partial of one of them, or a "
            "torch.nn.Module",
            mend="Write a function with `def` that returns, or does, what is meant",
        )
    function: Callable[..., Any] = value
    return function


def _check_room(settings: Settings) -> None:
    place = store_at(settings)
    if place is not None:
        raise ConfigError(
            "what is handed over from Python is kept in a folder that the workers see, and an "
            "object store is none",
            where=f"storage = {place.uri}",
            expected="a folder as storage; or data in files, and models and losses in modules",
            mend="Name a folder: storage=PATH; or name them by data.source and model.target",
        )
