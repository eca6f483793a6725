"""What a command says: its result for a person or as one line of JSON, and its errors."""

import logging
import os
import sys
from typing import Any

from distrain.errors import EXIT_INTERRUPTED, ConfigError, DistrainError
from distrain.redaction import RedactingFormatter, traceback_text

PIPE_WIDTH = 200
# The descriptor of stdout while it is kept for the one line of JSON.
reserved: list[int] = []


def print_result(shown: object, fields: dict[str, Any], *, as_json: bool) -> None:
    """Print a result for a person, or as the one JSON line of the contract."""
    if as_json:
        from distrain.plain_json import to_json_line

        print_line(to_json_line(fields))
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(soft_wrap=True, highlight=False, width=width).print(shown)


def reserve_stdout() -> None:
    """Keep stdout for the one JSON line: whatever else is printed goes to stderr.

    The descriptor itself is moved, because native libraries and child processes write to it too.
    """
    reserved.append(os.dup(1))
    os.dup2(2, 1)


def print_line(line: str) -> None:
    """Print a line on stdout, kept for it or not."""
    if not reserved:
        print(line, flush=True)
        return
    with os.fdopen(os.dup(reserved[0]), "w", encoding="utf-8") as stdout:
        stdout.write(line + "\n")


def mask_log_lines() -> None:
    """Show warnings without secrets, where nobody has set up logging."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(RedactingFormatter())


def tell_error(error: DistrainError, *, wants_json: bool) -> int:
    """Print an error and return the command's exit code."""
    print(f"error: {error}", file=sys.stderr)
    if wants_json:
        from distrain.plain_json import error_fields, to_json_line

        print_line(to_json_line(error_fields(error)))
    return error.exit_code


def tell_interrupted(*, wants_json: bool) -> int:
    """Print that the command was interrupted and return its exit code."""
    print("interrupted", file=sys.stderr)
    if wants_json:
        from distrain.plain_json import to_json_line

        print_line(to_json_line({"status": "interrupted", "exit_code": EXIT_INTERRUPTED}))
    return EXIT_INTERRUPTED


def usage_error(error: Exception) -> ConfigError:
    """Return what is wrong with the words of the command line, from the parser's own error."""
    text = getattr(error, "format_message")()  # noqa: B009  (duck-typed: click or its copy)
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "distrain")
    option = getattr(error, "option_name", None)
    takes_values = any(
        "key=value" in (getattr(one, "metavar", None) or "")
        for one in getattr(getattr(context, "command", None), "params", ())
    )
    instead = _as_value(option) if option is not None and takes_values else ""
    return ConfigError(text, where="command line", mend=f"{instead}See `{command} --help`")


def _as_value(option: str) -> str:
    """Return how a key of the configuration is given that came as an option; else nothing."""
    from distrain.config.explain import known_keys  # seconds, for who mistypes alone

    name = option.lstrip("-").replace("-", "_")
    keys = sorted(
        (".".join(map(str, path)) for path in known_keys()), key=lambda key: (key.count("."), key)
    )
    meant = [key for key in keys if name in (key, key.rpartition(".")[2])]
    return f"Values of the configuration have no dashes: {meant[0]}=VALUE. " if meant else ""


def own_fault(error: Exception) -> DistrainError:
    """Print the traceback of what nobody foresaw, and return it as an error that can be told."""
    print(traceback_text(error), file=sys.stderr, end="")
    return DistrainError(
        f"{type(error).__name__}: {error}",
        where="distrain itself",
        mend="This should have been told in plain words: please report it with the traceback",
    )
