"""The command line: parse, call one function per command, print. No other logic.

Heavy libraries are imported inside the commands, so that `distrain --help` answers at once.
"""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from distrain.answer import (
    mask_log_lines,
    own_fault,
    print_line,
    print_result,
    reserve_stdout,
    tell_error,
    tell_interrupted,
    usage_error,
)
from distrain.errors import ConfigError, DistrainError

if TYPE_CHECKING:
    from distrain.results import TrainResult
    from distrain.track.sync import SyncedRun

_OVERRIDE = re.compile(r"[A-Za-z_]\w*(\.[\w-]+)*=")

app = typer.Typer(
    name="distrain",
    help="From a dataset to a registered PyTorch model on Ray.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[
    bool, typer.Option("--json", help="One JSON object as the last line; all else to stderr.")
]
ConfigArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="CONFIG... [section.key=value ...]",
        help="Configuration files, of which the later wins, and single values.",
        show_default=False,
    ),
]
Storage = Annotated[Path, typer.Option(help="The folder that runs are kept in.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster: HOST:PORT, auto or local.", show_default=False)
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Leave the tracking server alone; `distrain sync` tells it."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and estimate; start nothing.")]


def main() -> NoReturn:
    """Run the command line and leave with the exit code of the contract."""
    arguments = sys.argv[1:]
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
    sys.exit(code if isinstance(code, int) else 0)


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


@app.command(epilog="Example: distrain train examples/digits/digits.yaml train.epochs=5")
def train(
    config: ConfigArguments,
    address: Address = None,
    dry_run: DryRun = False,
    offline: Offline = False,
    as_json: Json = False,
) -> int:
    """Prepare the data, train, evaluate, record and register a model."""
    settings = _load(config, address)
    from distrain import pipeline  # seconds, that a mistyped key need not wait for
    from distrain.report import display, tables

    if dry_run:
        estimate = pipeline.estimate(settings, _import_paths(config), is_offline=offline)
        print_result(tables.estimate_table(estimate), estimate.to_json(), as_json=as_json)
        return 0
    with display.open_display(to_stderr=as_json) as shown:
        result = pipeline.train(settings, shown, _import_paths(config), is_offline=offline)
    return _tell_result(result, as_json=as_json)


@app.command(epilog="Example: distrain resume runs/digits/20261121T072929-bcf101 train.epochs=30")
def resume(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN] [section.key=value ...]",
            help="A run's folder, its name or its MLflow id, and what shall change.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="The newest run, or that of a name.")
    ] = False,
    storage: Storage = Path("runs"),
    address: Address = None,
    offline: Offline = False,
    as_json: Json = False,
) -> int:
    """Go on with a run from its newest checkpoint."""
    from distrain.stored_run import find_resumed

    named, overrides = _words(run or [], address)
    run_dir = find_resumed(named, is_last=last, storage=storage, overrides=overrides)
    from distrain import pipeline  # seconds, that a mistyped name need not wait for
    from distrain.report import display

    with display.open_display(to_stderr=as_json) as shown:
        result = pipeline.resume(run_dir, overrides, shown, [str(Path.cwd())], is_offline=offline)
    return _tell_result(result, as_json=as_json)


@app.command(epilog="Example: distrain prepare examples/digits/digits.yaml")
def prepare(config: ConfigArguments, address: Address = None, as_json: Json = False) -> None:
    """Prepare the data alone, and show what a model will get."""
    settings = _load(config, address)
    from distrain import pipeline  # seconds, that a mistyped key need not wait for
    from distrain.report import display, tables

    with display.open_display(to_stderr=as_json) as shown:
        result = pipeline.prepare(settings, shown)
    print_result(tables.prepare_table(result), result.to_json(), as_json=as_json)


@app.command(
    epilog="Example: distrain predict models:/digits@champion --data new.csv --out scored.csv"
)
def predict(
    model: Annotated[str, typer.Argument(help="models:/name@alias, models:/name/3, or a run.")],
    data: Annotated[str, typer.Option(help="Path, glob, directory or built-in to predict.")],
    out: Annotated[Path, typer.Option(help="New file to write: .csv, .parquet or .jsonl.")],
    storage: Storage = Path("runs"),
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Predict raw rows with a registered model."""
    from distrain import pipeline
    from distrain.report import display

    with display.open_display(to_stderr=as_json) as shown:
        result = pipeline.predict(
            model, data=data, out=out, storage=storage, address=address, display=shown
        )
    print_result(
        f"{result.num_rows:,} rows predicted: {result.out}", result.to_json(), as_json=as_json
    )


@app.command(epilog="Example: distrain evaluate models:/digits@champion --data labelled.csv")
def evaluate(
    model: Annotated[str, typer.Argument(help="models:/name@alias, models:/name/3, or a run.")],
    data: Annotated[str, typer.Option(help="Path, glob, directory or built-in, with targets.")],
    storage: Storage = Path("runs"),
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Measure a model on new labelled data."""
    from distrain import assess
    from distrain.report import display, tables

    with display.open_display(to_stderr=as_json) as shown:
        result = assess.evaluate(model, data=data, storage=storage, address=address, display=shown)
    print_result(tables.evaluate_table(result), result.to_json(), as_json=as_json)


@app.command(epilog="Example: distrain promote models:/digits/3 --alias champion")
def promote(  # noqa: PLR0913  (an argument for each option)
    model: Annotated[str, typer.Argument(help="models:/name/3 or models:/name@alias.")],
    alias: Annotated[str, typer.Option(help="The alias that moves.")],
    force: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Move it without comparing, and keep why."),
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Give it back to the version that had it before.")
    ] = False,
    storage: Storage = Path("runs"),
    address: Address = None,
    as_json: Json = False,
) -> int:
    """Move an alias to a version that is better than the one that has it."""
    if undo and force is not None:
        raise ConfigError(
            "--undo and --force stand side by side", where="command line", mend="Leave out one"
        )
    from distrain import promotion
    from distrain.report import display, tables

    with display.open_display(to_stderr=as_json) as shown:
        result = (
            promotion.take_back(model, alias, storage=storage)
            if undo
            else promotion.promote(
                model, alias, storage=storage, force=force, address=address, display=shown
            )
        )
    print_result(tables.promote_table(result, alias), result.to_json(), as_json=as_json)
    return result.exit_code


@app.command(epilog="Example: distrain reproduce models:/digits/3 train.num_workers=1")
def reproduce(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL [section.key=value ...]",
            help="models:/name/3, models:/name@alias, or a run; what changes no bits, and "
            "data.source where the data was moved.",
            show_default=False,
        ),
    ],
    storage: Storage = Path("runs"),
    address: Address = None,
    offline: Offline = False,
    as_json: Json = False,
) -> int:
    """Make a model's run again, and name the first thing that differs."""
    named, overrides = _words(model, address)
    if len(named) != 1:
        raise ConfigError(
            f"{len(named)} models were named",
            where="command line",
            expected="one model or run",
            mend="For example: distrain reproduce models:/digits/3",
        )
    from distrain import reproduction  # seconds, that a mistyped name need not wait for
    from distrain.report import display, tables

    with display.open_display(to_stderr=as_json) as shown:
        result = reproduction.reproduce(
            named[0], overrides, storage=storage, display=shown, is_offline=offline
        )
    print_result(tables.reproduce_table(result), result.to_json(), as_json=as_json)
    return result.exit_code


@app.command(epilog="Example: distrain runs --storage ./runs")
def runs(storage: Storage = Path("runs"), as_json: Json = False) -> None:
    """List the runs below a storage folder, the newest first."""
    from distrain.report import tables
    from distrain.track.runs import list_runs
    from distrain.track.sync import ship_waiting

    ship_waiting(storage)
    found = list_runs(storage)
    listed = {"runs": [run.to_json() for run in found]}
    print_result(tables.runs_table(found, storage), listed, as_json=as_json)


@app.command(epilog="Example: distrain sync --storage ./runs")
def sync(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN ...]",
            help="Runs' folders, names or MLflow ids; none: all below the storage folder.",
            show_default=False,
        ),
    ] = None,
    storage: Storage = Path("runs"),
    as_json: Json = False,
) -> int:
    """Ship what journals still hold to MLflow, and register what waits for it."""
    from distrain.report import display, tables
    from distrain.track.sync import sync as sync_runs

    def tell(done: "SyncedRun") -> None:
        if not as_json:
            print(tables.synced_line(done), flush=True)

    with display.open_display(to_stderr=True) as shown:
        result = sync_runs(run or [], storage, on_wait=shown.note, on_done=tell)
    if as_json:
        print_result("", result.to_json(), as_json=True)
    return result.exit_code


@app.command("list", epilog="Example: distrain list optimizers")
def list_(
    kind: Annotated[str, typer.Argument(help="models, optimizers, losses, lr_schedules, metrics")],
    as_json: Json = False,
) -> None:
    """List what a configuration may name, with its arguments."""
    from distrain.config.schema import list_entries
    from distrain.report import tables

    entries = list_entries(kind)
    listed = {kind: [entry.to_json() for entry in entries]}
    print_result(tables.entries_table(entries), listed, as_json=as_json)


@app.command(epilog="Example: distrain schema > distrain.schema.json")
def schema(as_json: Json = False) -> None:
    """Print every key of a configuration, as JSON Schema."""
    from distrain.config.schema import json_schema

    print_line(json.dumps(json_schema(), indent=None if as_json else 2))


@app.command(epilog="Example: distrain ui --port 5001")
def ui(
    storage: Storage = Path("runs"),
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1.", min=1, max=65535)] = 5000,
    as_json: Json = False,
) -> None:
    """Serve the MLflow UI on 127.0.0.1 until Ctrl-C."""
    from distrain.track.tracking_server import tracking_uri_of
    from distrain.track.ui import serve_ui

    def announce(url: str) -> None:
        print_result(f"MLflow UI: {url}  (Ctrl-C ends it)", {"url": url}, as_json=as_json)

    serve_ui(tracking_uri_of(storage), port=port, announce=announce)


def _load(arguments: list[str], address: str | None) -> Any:
    """Return the settings that configuration files and `section.key=value` words ask for."""
    from distrain.config.load import load_settings

    files, overrides = _words(arguments, address)
    if not files:
        raise ConfigError(
            "no configuration file",
            where="command line",
            expected="at least one file",
            mend="For example: distrain train run.yaml train.epochs=5",
        )
    return load_settings(files, overrides)


def _words(arguments: list[str], address: str | None) -> tuple[list[str], list[str]]:
    """Return the words that name something, and the overrides, the address among them."""
    # Not Path.exists: it raises where a long override is no possible name of a file.
    named = [word for word in arguments if not _OVERRIDE.match(word) or os.path.lexists(word)]
    overrides = [word for word in arguments if word not in named]
    if address is not None:
        # In quotes, because a bare [::1]:6379 begins as a YAML list does.
        overrides.append(f"cluster.address={json.dumps(address)}")
    return named, overrides


def _import_paths(arguments: list[str]) -> list[str]:
    """Return where the user's own modules may lie: beside the configuration, and right here."""
    files, _ = _words(arguments, None)
    beside = [str(Path(file).absolute().parent) for file in files]
    return list(dict.fromkeys([*beside, str(Path.cwd())]))


def _tell_result(result: "TrainResult", *, as_json: bool) -> int:
    """Print how a run ended and return the command's exit code."""
    from distrain.report import tables

    if result.error is not None:
        print(f"error: {result.error}", file=sys.stderr)
    print_result(tables.train_table(result), result.to_json(), as_json=as_json)
    return result.exit_code
