"""Files and overrides -> settings, or one error that tells every fault. The way into `config`."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distrain.config.checks import check
from distrain.config.defaults import resolve_defaults
from distrain.config.environment import hide_written, text_faults
from distrain.config.explain import explain
from distrain.config.faults import Fault, KeyPath, raise_faults
from distrain.config.paths import make_absolute
from distrain.config.settings import Settings
from distrain.config.source_lines import Tree, read_tree
from distrain.config.tree import CHOICES, fill_names, merge, run_name, tree_of, tree_of_override
from distrain.errors import ConfigError


def load_settings(
    paths: Sequence[Path | str],
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings that configuration files and overrides ask for.

    Args:
        paths: YAML files, at least one; the later wins, mappings are merged, lists replaced.
        overrides: `section.key=value`, the value read as YAML 1.2; they win over all else.
        values: what a further file would hold; relative paths are the working directory's.

    Returns:
        Settings with absolute paths and every default resolved that does not need the data.
        `${VAR}` stays as written; `expand_env` fills it in where it is used.

    Raises:
        ConfigError: anything is wrong; its text has one line for each fault.
    """
    if not paths:
        raise ConfigError("no configuration file was given", expected="at least one YAML file")
    read = [*_read(paths), *([] if values is None else [tree_of(values)])]
    return _settings(read, overrides, default_name=run_name(Path(paths[0]).stem))


def read_written(paths: Sequence[Path | str], overrides: Sequence[str] = ()) -> Tree:
    """Return the values of configuration files and overrides as they are written, with places.

    Args:
        paths: as for `load_settings`.
        overrides: as for `load_settings`.

    Raises:
        ConfigError: something cannot be read; its text has one line for each fault.
    """
    return _merged(_read(paths), overrides)


def settings_from_dict(
    values: Mapping[str, Any] | Settings,
    overrides: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings that a mapping and overrides ask for; as `load_settings` otherwise.

    Args:
        values: what a configuration file would hold; relative paths are the working directory's.
        overrides: `section.key=value`, as for `load_settings`.
        more: what a later file would hold.

    Raises:
        ConfigError: anything is wrong; its text has one line for each fault.
    """
    read = [tree_of(values), *([] if more is None else [tree_of(more)])]
    return _settings(read, overrides, default_name="run")


def _settings(
    read: list[tuple[Tree, list[Fault]]], overrides: Sequence[str], *, default_name: str
) -> Settings:
    tree = _merged(read, overrides)
    hide_written(tree.values)
    tree.values["name"] = default_name if tree.values.get("name") is None else tree.values["name"]
    make_absolute(tree)
    fill_names(tree.values)
    faults = [*text_faults(tree.values)]
    settings, invalid = _validated(tree.values)
    faults += invalid
    if settings is not None:
        told = [path for fault in invalid for path in fault.keys]
        faults += [fault for fault in check(settings) if not _concerns(fault, told)]
    if faults or settings is None:
        raise_faults(replace(fault, place=tree.place_of(*fault.keys)) for fault in faults)
    return resolve_defaults(settings)


def _read(paths: Sequence[Path | str]) -> list[tuple[Tree, list[Fault]]]:
    return [read_tree(Path(path), str(path), rank) for rank, path in enumerate(paths)]


def _merged(read: list[tuple[Tree, list[Fault]]], overrides: Sequence[str]) -> Tree:
    read += [tree_of_override(text, len(read) + rank) for rank, text in enumerate(overrides)]
    unreadable = [fault for _, faults in read for fault in faults]
    if unreadable:
        raise_faults(unreadable)
    return merge([tree for tree, _ in read])


def _validated(values: dict[str, Any]) -> tuple[Settings | None, list[Fault]]:
    """Return the settings and the faults of single values.

    Where there are faults the settings are what the rest asks for, so that it can be checked too,
    or None where the rest alone is no configuration.
    """
    try:
        return Settings.model_validate(values), []
    except ValidationError as error:
        faults = explain(values) or [_untold(error)]
    rest = deepcopy(values)
    for fault in faults:
        for path in fault.keys:
            _cut(rest, path)
    fill_names(rest)
    try:
        return Settings.model_validate(rest), faults
    except ValidationError:
        return None, faults


def _untold(error: ValidationError) -> Fault:
    """Return a fault in pydantic's words, for what `explain` should have told and did not."""
    first = error.errors(include_url=False, include_input=False)[0]
    path: KeyPath = tuple(first["loc"])
    return Fault(f"{'.'.join(map(str, path))}: {first['msg']}", (path,))


def _cut(values: dict[str, Any], path: KeyPath) -> None:
    """Take a faulty value out; a list goes as a whole, and with its name a whole choice."""
    if path[:-1] in CHOICES and path[-1] in ("name", "target"):
        path = path[:-1]
    parent: Any = values
    for depth, key in enumerate(path):
        is_last = depth == len(path) - 1 or isinstance(path[depth + 1], int)
        if not isinstance(parent, dict) or key not in parent:
            return
        if is_last:
            del parent[key]
            return
        parent = parent[key]


def _concerns(fault: Fault, told: Sequence[KeyPath]) -> bool:
    """Return whether a fault is about values that are told to be faulty already."""
    return any(
        mine[: len(theirs)] == theirs or theirs[: len(mine)] == mine
        for mine in fault.keys
        for theirs in told
    )
