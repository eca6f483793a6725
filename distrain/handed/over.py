"""A configuration, and what is handed over from Python beside it -> settings and import paths."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from torch import nn

from distrain.config.load import load_settings, settings_from_dict
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.handed.datasets import (
    check_remade,
    is_dataset,
    no_rows_apart,
    refusal,
    section_of,
)
from distrain.handed.loss import target_of
from distrain.handed.package import Package
from distrain.handed.rows import is_rows, write_rows
from distrain.locations import storage_of, store_at
from distrain.run_folder import GIVEN

Config = Path | str | Mapping[str, Any] | Settings
_STANDING_IN = "handed:over"


@final
@dataclass(frozen=True)
class Handed:
    """What is handed over from Python; None: nothing.

    Attributes:
        data: rows, as `rows.write_rows` takes them; a torch Dataset, its class or what makes one;
            the path of a source; or the section `data`.
        validation_data: a Dataset as `data`.
        test_data: rows, a Dataset or a path as `data`.
        collate: a function, or its import path.
        target: takes the place of `data.target`.
        model: a class, a function that returns a module, a `functools.partial` of one of them, or
            a module; a mapping or a text is the section `model`.
        loss: a function, a class, an object such as `nn.MSELoss()`, or a `functools.partial`; a
            mapping or a text is the section `train.loss`.
        step: a function, or its import path.
    """

    data: Any = None
    validation_data: Any = None
    test_data: Any = None
    collate: Any = None
    target: str | Sequence[str] | None = None
    model: Any = None
    loss: Any = None
    step: Any = None


_STAND_INS: Final[Mapping[str, tuple[tuple[str, ...], Any]]] = {
    "model": (("model",), {"target": _STANDING_IN}),
    "loss": (("train", "loss"), {"target": _STANDING_IN}),
    "step": (("train", "step"), _STANDING_IN),
    "collate": (("data", "collate"), _STANDING_IN),
}
"""Where in a configuration a definition is named, and what stands there until it is kept."""
_DATASETS: Final = {
    "data": "dataset",
    "validation_data": "validation_dataset",
    "test_data": "test_dataset",
}
_SOURCES: Final = {"data": "source", "test_data": "test_source"}


def hand_over(
    config: Config | None, overrides: Sequence[str], sections: Mapping[str, Any], handed: Handed
) -> tuple[Settings, list[str]]:
    """Return the settings that are asked for, and folders to import the user's code from.

    What is handed over is kept below the storage.

    Args:
        config: a file, a mapping with the keys of a file, or settings; None: the rest says it all.
        overrides: `section.key=value`; they win over all else.
        sections: values that win over the configuration, by its top-level keys.
        handed: what is handed over.

    Raises:
        DistrainError: the configuration, or something that was handed over, is at fault.
    """
    values = {key: value for key, value in sections.items() if value is not None}
    _put(values, ("data",), handed.data if isinstance(handed.data, Mapping) else None)
    _put(values, ("data", "target"), handed.target)
    things = _things(handed, values)
    datasets, rows = _data(handed, values)
    if not (things or datasets or rows):
        return _load(config, overrides, values), []
    first = _load(config, overrides, values)
    _check_room(first)
    storage = storage_of(first)
    # Apart, so that another model leaves the digest of a Dataset as it was.
    of_data, of_model = Package(storage), Package(storage)
    in_data: dict[str, Any] = {
        _DATASETS[word]: section_of(word, one, of_data) for word, one in datasets.items()
    }
    if "collate" in things:
        in_data["collate"] = _path_of("collate", things.pop("collate"), of_data)
    others = {name: _section(name, one, of_model, first) for name, one in things.items()}
    of_data.keep()
    of_model.keep()
    for key, section in in_data.items():
        _put(values, ("data", key), of_data.named(section))
    for name, section in others.items():
        _put(values, _STAND_INS[name][0], of_model.named(section))
    for word, one in rows.items():
        _put(values, ("data", _SOURCES[word]), str(write_rows(one, storage / GIVEN)))
    settings = _load(config, overrides, values)
    for word, one in datasets.items():
        check_remade(word, one, of_data.named(in_data[_DATASETS[word]]), of_data)
    if isinstance(handed.model, nn.Module):
        of_model.check_rebuilt(handed.model)
    return settings, list(dict.fromkeys([*of_data.import_paths, *of_model.import_paths]))


def _things(handed: Handed, values: dict[str, Any]) -> dict[str, Any]:
    """Return the definitions that are handed over; put what stands in for them, and sections."""
    found = {}
    for name, (path, standing_in) in _STAND_INS.items():
        thing = getattr(handed, name)
        if isinstance(thing, Mapping | str):
            _put(values, path, thing)
        elif thing is not None:
            _put(values, path, standing_in)
            found[name] = thing
    return found


def _data(handed: Handed, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Datasets and the rows that are handed over; put what stands in for them."""
    datasets, rows = {}, {}
    for word, key in _DATASETS.items():
        data = getattr(handed, word)
        if data is None or (word == "data" and isinstance(data, Mapping)):
            continue
        if isinstance(data, str | Path) and word in _SOURCES:
            _put(values, ("data", _SOURCES[word]), str(data))
        elif is_rows(data):
            if word not in _SOURCES:
                raise no_rows_apart(word)
            _put(values, ("data", _SOURCES[word]), "handed-over.parquet")
            rows[word] = data
        elif is_dataset(data):
            _put(values, ("data", key), {"target": _STANDING_IN})
            datasets[word] = data
        else:
            raise refusal(word, data)
    _check_one_kind(datasets, rows)
    return datasets, rows


def _check_one_kind(datasets: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    if datasets and rows:
        raise ConfigError(
            f"{' and '.join(datasets)} is a torch Dataset, {' and '.join(rows)} has rows",
            where=" and ".join([*datasets, *rows]),
            expected="Datasets, or rows for the transform that is fitted to the training rows",
            mend="Hand over Datasets for all of them, or frames for all of them",
        )


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


def _section(name: str, thing: Any, package: Package, settings: Settings) -> Any:
    """Take in a model, a loss or a step, and return what the configuration has in its place."""
    if name == "model":
        return _model_section(thing, package, settings)
    if name == "loss":
        function, args = target_of(thing)
        return {"target": _path_of(name, function, package), **({"args": args} if args else {})}
    return _path_of(name, thing, package)


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
        "target": _path_of("model", model, package),
        **({"args": args} if args else {}),
    }


def _path_of(name: str, value: Any, package: Package) -> str:
    if not callable(value) or not hasattr(value, "__qualname__"):
        of_model = "a class, a function, a functools.partial of one of them, or a torch.nn.Module"
        raise ConfigError(
            f"a {type(value).__name__} is handed over",
            where=name,
            expected="a function" if name in ("step", "collate") else of_model,
            mend="Write a function with `def` that returns, or does, what is meant",
        )
    return package.path_of(value, name)


def _check_room(settings: Settings) -> None:
    place = store_at(settings)
    if place is not None:
        raise ConfigError(
            "what is handed over from Python is kept in a folder that the workers see, and an "
            "object store is none",
            where=f"storage = {place.uri}",
            expected="a folder as storage; or data in files, and your own code in modules",
            mend="Name a folder: storage=PATH; or name them by data.source (or data.dataset), "
            "model.target and so on",
        )
