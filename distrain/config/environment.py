"""`${VAR}` in the configuration, and secrets that must not stand in it.

A variable is stored as it is written and filled in where it is used, so that a run's directory and
the tracking server never see its value. A password or a well-known form of token that is written
out is refused. What else a name in `cluster.env` says is a secret is masked wherever it would be
written, as is the password of a connection string there, and so has to be given again when the run
goes on; in `model.args` it is refused, because a saved model is built from its arguments.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from distrain.config.faults import Fault, KeyPath, dotted
from distrain.errors import ConfigError
from distrain.redaction import (
    MASK,
    connection_passwords,
    hide,
    holds_secret,
    is_key_variable,
    without_connection_passwords,
)
from distrain.secret_names import is_secret_value, names_password, names_secret

ACCOUNT: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
"""Variables of an account at a cloud, and of where that is."""
OF_ACCOUNT: Final = "AWS_"
"""What all variables begin with that say how a cloud is asked."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_ENV: KeyPath = ("cluster", "env")
_MODEL_ARGS: KeyPath = ("model", "args")
_MASKED_PASSWORD = re.compile(
    rf"(?:password|pwd|key|signature)={re.escape(MASK)}(?=[\s;]|$)", re.IGNORECASE
)
_SWITCHES = ("", "0", "1", "false", "true")


def of_account() -> dict[str, str]:
    """Return what this process has of an account at a cloud, for those of other nodes to set.

    It is sent to them with what they do: Ray writes what it starts a process with into its logs.
    """
    return {name: os.environ[name] for name in ACCOUNT if name in os.environ}


def expand_env(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the text with `${VAR}` and `${VAR:-default}` filled in from the environment.

    The default also stands in for a variable that is set but empty, as in a shell.

    Args:
        text: as it is written.
        environ: the environment; None: this process's.

    Raises:
        ConfigError: a variable without default is not set.
    """
    found = os.environ if environ is None else environ
    return _VARIABLE.sub(lambda match: _value_of(match, found), text)


def _value_of(match: re.Match[str], environ: Mapping[str, str]) -> str:
    name, default = match[1], match[2]
    value = environ.get(name)
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


def without_secrets(values: Any, environ: Mapping[str, str], names: Sequence[str] = ()) -> Any:
    """Return a copy of `model.args` in which variables are filled in, but for likely secrets.

    Those stay as they are written: they change no number, and may be renewed.

    Args:
        values: the table, or what is in it.
        environ: the environment.
        names: of the tables that `values` is in, and its own.

    Raises:
        ConfigError: a variable without default is not set.
    """
    if isinstance(values, Mapping):
        return {
            key: without_secrets(value, environ, (*names, str(key)))
            for key, value in values.items()
        }
    if isinstance(values, list | tuple):
        return [without_secrets(value, environ, names) for value in values]
    if not isinstance(values, str):
        return values
    filled = expand_env(values, environ)
    called = (*names, *variables_in(values))
    return values if any(is_secret_value(name, filled) for name in called) else filled


def variables_in(values: Any) -> set[str]:
    """Return the names of the variables that a table or a list uses."""
    return {match[1] for _, text in _texts(values, ()) for match in _VARIABLE.finditer(text)}


def masked(env: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `cluster.env` without the likely secrets that are written out in it."""
    return {name: _masked(name, value) for name, value in env.items()}


def _masked(name: str, value: Any) -> Any:
    if _is_written_secret(name, value):
        return MASK
    if not isinstance(value, str):
        return value
    shown = without_connection_passwords(value)
    # What is written may be the default of a variable, which has to go with it then.
    is_default = connection_passwords(_literal(shown)) != []
    return without_connection_passwords(_literal(shown)) if is_default else shown


def hide_written(values: dict[str, Any]) -> None:
    """Have the likely secrets of `cluster.env` masked in messages and logs from now on.

    Args:
        values: a configuration, which may be faulty.
    """
    env = _at(values, _ENV)
    for name, value in env.items() if isinstance(env, dict) else ():
        if _is_written_secret(name, value):
            hide(_literal(value))
        for password in connection_passwords(_literal(value)):
            hide(password)


def check_given(env: Mapping[str, str]) -> None:
    """Return where `cluster.env` holds all of its secrets, as a run's own file does not.

    Raises:
        ConfigError: some were masked when the configuration was kept.
    """
    missing = [
        name
        for name, value in env.items()
        if (value == MASK and (names_secret(name) or name.endswith("_KEY")))
        or _MASKED_PASSWORD.search(value)
    ]
    if missing:
        keys = [f"cluster.env.{name}" for name in missing]
        raise ConfigError(
            f"the secret in {', '.join(keys)} is not kept with the run",
            where="cluster.env",
            expected="the value, or ${VAR} in its place",
            mend=f"Give it again: '{keys[0]}=${{{_variable_for(missing[0])}}}'",
        )


def text_faults(values: dict[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with any text: unset variables, and secrets written out."""
    named = {
        **dict.fromkeys(_named_passwords(_at(values, _ENV)), "a password"),
        **dict.fromkeys(_named_secrets(_at(values, _MODEL_ARGS), _MODEL_ARGS), "a secret"),
    }
    for path, what in named.items():
        yield _secret_fault(path, what, _variable_for(str(path[-1])))
    for path, text in _texts(values, ()):
        written = _without_variables(text)
        if path[: len(_ENV)] == _ENV:  # what `masked` masks there is taken
            written = without_connection_passwords(written)
        told = holds_secret(f"{path[-1]}: {written}")  # a header's name tells what it holds
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


def _is_written_secret(name: object, value: Any) -> bool:
    literal = _literal(value)
    is_named = names_secret(str(name)) and literal.lower() not in _SWITCHES
    return is_named or is_key_variable(str(name), literal)


def _literal(value: Any) -> str:
    """Return what of a plain value is written out; nothing: no plain value."""
    is_plain = isinstance(value, str | int | float)
    return str(_without_variables(value)) if is_plain else ""


def _variable_for(key: str) -> str:
    return re.sub(r"\W", "_", key).upper()


def _named_passwords(env: Any) -> Iterator[KeyPath]:
    """Yield the keys of `cluster.env` that hold a password that is written out."""
    for name, value in env.items() if isinstance(env, dict) else ():
        if names_password(str(name)) and _is_written_secret(name, value):
            yield (*_ENV, name)


def _named_secrets(table: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Yield the keys of `model.args` that name a secret and hold one that is written out."""
    if isinstance(table, list):
        for index, inner in enumerate(table):
            yield from _named_secrets(inner, (*path, index))
    for key, value in table.items() if isinstance(table, dict) else ():
        written = (_without_variables(text) for _, text in _scalars(value))
        if names_secret(str(key)) and any(is_secret_value(str(key), text) for text in written):
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
