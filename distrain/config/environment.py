"""`${VAR}` in the configuration, and secrets that must not stand in it.

A variable is stored as it is written and filled in where it is used, so that a run's directory and
the tracking server never see its value.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

from distrain.config.faults import Fault, KeyPath, dotted
from distrain.errors import ConfigError

MASK = "***"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@")
_TOKENS = {
    "an AWS access key": re.compile(r"(?<![A-Za-z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "a GitHub token": re.compile(
        r"(?<![A-Za-z0-9])(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"
    ),
    "a GitLab token": re.compile(r"(?<![A-Za-z0-9])glpat-[\w-]{20,}"),
    "a Hugging Face token": re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}"),
    "an API key": re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,}"),
    "a Slack token": re.compile(r"(?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{10,}"),
    "a Databricks token": re.compile(r"(?<![A-Za-z0-9])dapi[0-9a-f]{32}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}
_SECRET_NAME = re.compile(
    r"(^|[_-])(password|passwd|passphrase|pwd|secret|token|credentials?|api_?key|access_?key|"
    r"private_?key)($|[_-])",
    re.IGNORECASE,
)


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


def text_faults(values: dict[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with any text: unset variables, and secrets written out."""
    for path, text in _texts(values, ()):
        yield from _secret_faults(path, text)
        yield from _variable_faults(path, text)


def masked(values: Any, *, is_secret: bool = False) -> Any:
    """Return a copy in which the values of keys that name a secret are masked.

    `${VAR}` is left, as it holds no secret, and so is a switch.

    Args:
        values: a free table, such as `cluster.env` or `model.args`.
        is_secret: whether the key above names a secret.
    """
    if isinstance(values, dict):
        return {
            key: masked(value, is_secret=is_secret or _names_secret(str(key), value))
            for key, value in values.items()
        }
    if isinstance(values, list):
        return [masked(value, is_secret=is_secret) for value in values]
    if not is_secret or values is None or isinstance(values, bool):
        return values
    return values if _VARIABLE.fullmatch(str(values)) else MASK


def holds_mask(value: Any) -> bool:
    """Return whether a value, or one in a list or mapping, is a secret that `masked` took out."""
    if isinstance(value, dict):
        return any(holds_mask(inner) for inner in value.values())
    return any(map(holds_mask, value)) if isinstance(value, list) else value == MASK


def holds_secret(text: str) -> str | None:
    """Return what secret the text seems to hold, in words, or None."""
    plain = _VARIABLE.sub("", text)
    if _URL_PASSWORD.search(plain):
        return "a URL with a password"
    return next((told for told, pattern in _TOKENS.items() if pattern.search(text)), None)


def _names_secret(key: str, value: Any) -> bool:
    found = _SECRET_NAME.search(key)
    # The number of a model's pad_token_id is a place in a vocabulary.
    is_place = isinstance(value, int) and found is not None and found[2].lower() == "token"
    return found is not None and not is_place


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))


def _secret_faults(path: KeyPath, text: str) -> Iterator[Fault]:
    told = holds_secret(text)
    if told:
        yield Fault(
            f"{dotted(path)} holds what looks like {told}",
            (path,),
            expected="no secrets in a configuration: it is kept with the run",
            mend="Put the secret into an environment variable and write ${VAR} in its place",
        )


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
