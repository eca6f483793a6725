"""`${VAR}` in the configuration, and secrets that must not stand in it.

A variable is stored as it is written and filled in where it is used, so that a run's directory and
the tracking server never see its value.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from distrain.config.faults import Fault, KeyPath, dotted
from distrain.errors import ConfigError
from distrain.redaction import hide, holds_secret, is_secret_value, names_secret

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
FREE_TABLES: tuple[KeyPath, ...] = (("cluster", "env"), ("model", "args"))
"""Tables whose keys are the user's own, and may name a secret."""


def expand_env(text: str) -> str:
    """Return the text with `${VAR}` and `${VAR:-default}` filled in from the environment.

    The default also stands in for a variable that is set but empty, as in a shell.

    Raises:
        ConfigError: a variable without default is not set.
    """
    return _VARIABLE.sub(_value_of, text)


def _value_of(match: re.Match[str]) -> str:
    name, default = match[1], match[2]
    value = os.environ.get(name)
    if default is not None:
        return value or default
    if value is None:
        told = f"${{{name}}} is used, and the environment has no variable {name}"
        raise ConfigError(told, mend=_set_it(name))
    return value


def _set_it(name: str) -> str:
    return f"Set it, or give a default: ${{{name}:-VALUE}}"


def expanded(values: Any, *, is_secret: bool = False) -> Any:
    """Return a copy of a table or a list in which variables are filled in.

    What stands under a name that speaks of a secret is masked in messages and logs from now on.

    Args:
        values: a free table of the configuration, or what is in one.
        is_secret: whether the name above speaks of a secret.

    Raises:
        ConfigError: a variable without default is not set.
    """
    if isinstance(values, Mapping):
        return {
            key: expanded(value, is_secret=is_secret or names_secret(str(key)))
            for key, value in values.items()
        }
    if isinstance(values, list | tuple):
        return [expanded(value, is_secret=is_secret) for value in values]
    if not isinstance(values, str):
        return values
    filled = expand_env(values)
    if is_secret and filled != values:
        hide(filled)
    return filled


def variables_in(values: Any) -> set[str]:
    """Return the names of the variables that a table or a list uses."""
    return {match[1] for _, text in _texts(values, ()) for match in _VARIABLE.finditer(text)}


def text_faults(values: dict[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with any text: unset variables, and secrets written out."""
    named = [path for table in FREE_TABLES for path in _named_secrets(_at(values, table), table)]
    for path in named:
        yield _secret_fault(path, "a secret", re.sub(r"\W", "_", str(path[-1])).upper())
    for path, text in _texts(values, ()):
        told = holds_secret(_without_variables(text))
        if told and not any(path[: len(other)] == other for other in named):
            yield _secret_fault(path, told)
        yield from _variable_faults(path, text)


def _at(values: Any, path: KeyPath) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _texts(values: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    return ((where, value) for where, value in _scalars(values, path) if isinstance(value, str))


def _scalars(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _scalars(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _scalars(inner, (*path, index))
    else:
        yield path, value


def _named_secrets(table: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Yield the keys of a free table that name a secret and hold one that is written out."""
    if isinstance(table, list):
        for index, inner in enumerate(table):
            yield from _named_secrets(inner, (*path, index))
    for key, value in table.items() if isinstance(table, dict) else ():
        if names_secret(str(key)):
            written = (_without_variables(text) for _, text in _scalars(value))
            if any(is_secret_value(str(key), text) for text in written):
                yield (*path, key)
        else:
            yield from _named_secrets(value, (*path, key))


def _secret_fault(path: KeyPath, told: str, variable: str = "VAR") -> Fault:
    return Fault(
        f"{dotted(path)} holds what looks like {told}",
        (path,),
        expected="no secrets in a configuration: it is kept with the run",
        mend=f"Put the secret into an environment variable and write ${{{variable}}} in its place",
    )


def _without_variables(value: Any) -> Any:
    """Return a value as it is written but for its variables, of which the defaults are left."""
    return _VARIABLE.sub(lambda match: match[2] or "", value) if isinstance(value, str) else value


def _variable_faults(path: KeyPath, text: str) -> Iterator[Fault]:
    for match in _VARIABLE.finditer(text):
        if match[2] is None and match[1] not in os.environ:
            told = f"{dotted(path)} uses ${{{match[1]}}}, which the environment does not have"
            yield Fault(told, (path,), mend=_set_it(match[1]))
    if "${" in _VARIABLE.sub("", text):
        yield Fault(
            f"{dotted(path)} holds a '${{' that begins no variable",
            (path,),
            expected="${VAR} or ${VAR:-default}",
        )
