"""What the words of a command line are taken for: files, names, and values of single keys."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from distrain.errors import ConfigError

if TYPE_CHECKING:
    from distrain.config.settings import Settings

_OVERRIDE = re.compile(r"[A-Za-z_]\w*(\.[\w-]+)*=")


def load(arguments: list[str], address: str | None) -> "Settings":
    """Return the settings that configuration files and `section.key=value` words ask for.

    Args:
        arguments: the words.
        address: of a Ray cluster; None: as the configuration has it.

    Raises:
        ConfigError: no file was named, or anything is wrong.
    """
    from distrain.config.load import load_settings

    return load_settings(*require_files(arguments, address))


def require_files(arguments: list[str], address: str | None) -> tuple[list[str], list[str]]:
    """Return the configuration files and the overrides of a command line.

    Args:
        arguments: the words.
        address: of a Ray cluster; None: as the configuration has it.

    Raises:
        ConfigError: no file was named.
    """
    files, overrides = words(arguments, address)
    if files:
        return files, overrides
    raise ConfigError(
        "no configuration file",
        where="command line",
        expected="at least one file",
        mend="For example: distrain train run.yaml train.epochs=5",
    )


def words(arguments: list[str], address: str | None) -> tuple[list[str], list[str]]:
    """Return the words that name something, and the overrides, the address among them.

    Args:
        arguments: the words.
        address: of a Ray cluster; None: as the configuration has it.
    """
    # Not Path.exists: it raises where a long override is no possible name of a file.
    named = [word for word in arguments if not _OVERRIDE.match(word) or os.path.lexists(word)]
    overrides = [word for word in arguments if word not in named]
    if address is not None:
        # In quotes, because a bare [::1]:6379 begins as a YAML list does.
        overrides.append(f"cluster.address={json.dumps(address)}")
    return named, overrides


def only(named: list[str], what: str) -> str:
    """Return the one thing that was named.

    Raises:
        ConfigError: there were none, or several.
    """
    if len(named) == 1:
        return named[0]
    raise ConfigError(
        f"{len(named)} were named: {', '.join(named)}" if named else f"no {what} was named",
        where="command line",
        expected=f"one {what}",
        mend="See `distrain runs`",
    )


def import_paths(arguments: list[str]) -> list[str]:
    """Return where the user's own modules may lie: beside the configuration, and right here."""
    files, _ = words(arguments, None)
    beside = [str(Path(file).absolute().parent) for file in files]
    return list(dict.fromkeys([*beside, str(Path.cwd())]))
