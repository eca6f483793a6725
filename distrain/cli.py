"""The command line: parse, call one function per command, print. No other logic.

The commands are below `commands`; here they become one command line, whose end is an exit code.
"""

import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from distrain.answer import (
    mask_log_lines,
    own_fault,
    reserve_stdout,
    tell_error,
    tell_interrupted,
    usage_error,
)
from distrain.commands import (
    chaos,
    cluster,
    doctor,
    jobs,
    listing,
    looking,
    models,
    training,
)
from distrain.errors import ConfigError, DistrainError

app = typer.Typer(
    name="distrain",
    help="From a dataset to a registered PyTorch model on Ray.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for commands in (training, models, listing, looking, jobs, doctor, cluster, chaos):
    app.add_typer(commands.app)


def main() -> NoReturn:
    """Run the command line and leave with the exit code of the contract."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command that arguments name and return the exit code of the contract.

    Args:
        arguments: the words behind `distrain`.
    """
    wants_json = "--json" in arguments
    mask_log_lines()
    if wants_json:
        reserve_stdout()
    # A SIGTERM ends a command as Ctrl-C does: state saved, servers and a local Ray taken down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has left; what Python still holds of it must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 1
    except DistrainError as error:
        code = tell_error(error, wants_json=wants_json)
    except KeyboardInterrupt:
        code = tell_interrupted(wants_json=wants_json)
    except Exception as error:  # told with its traceback, so that scripts get code and JSON
        told = usage_error(error) if hasattr(error, "format_message") else own_fault(error)
        code = tell_error(told, wants_json=wants_json)
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _invoke(arguments: list[str]) -> Any:
    """Run the command that the arguments name and return what it returned."""
    # Calling the app itself would turn an interruption into an exit that nobody is told of.
    command = typer.main.get_command(app)
    try:
        with command.make_context("distrain", arguments) as context:
            return command.invoke(context)
    except typer.Exit as left:
        return left.exit_code


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show versions and leave.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        names = ("distrain", "ray", "torch", "mlflow")
        print(", ".join(f"{name} {installed(name)}" for name in names))
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(ConfigError.exit_code)
