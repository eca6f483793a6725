"""Runs and searches: `init`, `train`, `tune`, `why`, `replay`, `resume`; `prepare`: data alone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from distrain.answer import print_result
from distrain.commands.options import RUNS, Address, Config, DryRun, Json, Offline, Storage
from distrain.commands.words import import_paths, load, only, words

if TYPE_CHECKING:
    from distrain.estimates import Estimate, SearchEstimate
    from distrain.results import TrainResult, TuneResult

app = typer.Typer()


@app.command(epilog="Example: distrain init --from houses.csv --target price")
def init(
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Path, glob, directory or built-in to train on [the demo's data].",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The column to predict.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="New file to write.")] = Path("run.yaml"),
    as_json: Json = False,
) -> None:
    """Write a first configuration, commented, that trains at once."""
    from distrain.first_configuration import write_first_configuration
    from distrain.report import tables

    result = write_first_configuration(source, target, out)
    print_result(tables.init_table(result), result.to_json(), as_json=as_json)


@app.command(epilog="Example: distrain train examples/digits/digits.yaml train.epochs=5")
def train(
    config: Config,
    address: Address = None,
    dry_run: DryRun = False,
    offline: Offline = False,
    as_json: Json = False,
) -> int:
    """Prepare the data, train, evaluate, record and register a model."""
    return _start("train", config, address, is_dry=dry_run, is_offline=offline, as_json=as_json)


@app.command(epilog="Example: distrain tune examples/adult/search.yaml tune.num_trials=20")
def tune(
    config: Config,
    address: Address = None,
    dry_run: DryRun = False,
    offline: Offline = False,
    as_json: Json = False,
) -> int:
    """Search for the best configuration, and evaluate, record and register its model."""
    return _start("tune", config, address, is_dry=dry_run, is_offline=offline, as_json=as_json)


@app.command(epilog="Example: distrain why runs/adult/20261121T072929-bcf101 17")
def why(
    run: Annotated[str, typer.Argument(help="A search's folder, its name or its MLflow id.")],
    trial: Annotated[int, typer.Argument(help="The trial's number.", min=0)],
    storage: Storage = RUNS,
    as_json: Json = False,
) -> None:
    """Tell why a trial of a search was stopped, kept, or won."""
    from distrain import hindsight

    result = hindsight.why(run, trial, storage=storage)
    print_result(result.text, result.to_json(), as_json=as_json)


@app.command(
    epilog="Example: distrain replay adult/20261121T072929-bcf101 tune.scheduler.reduction_factor=3"
)
def replay(
    run: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN tune.scheduler.KEY=VALUE ...",
            help="A search's folder, its name or its MLflow id, and another scheduler.",
            show_default=False,
        ),
    ],
    storage: Storage = RUNS,
    as_json: Json = False,
) -> None:
    """Tell what another scheduler would have done with a search's recorded curves."""
    from distrain import hindsight
    from distrain.report import tables

    named, changes = words(run, None)
    result = hindsight.replay(only(named, "run"), changes, storage=storage)
    print_result(tables.replay_table(result), result.to_json(), as_json=as_json)


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
    storage: Storage = RUNS,
    address: Address = None,
    offline: Offline = False,
    as_json: Json = False,
) -> int:
    """Go on with a run from its newest checkpoint."""
    from distrain.resumed import resumed_folder
    from distrain.stored_run import is_sweep

    named, overrides = words(run or [], address)
    with resumed_folder(named, is_last=last, storage=storage, overrides=overrides) as run_dir:
        from distrain import pipeline  # seconds, that a mistyped name need not wait for
        from distrain.report import display

        here = [str(Path.cwd())]
        with display.open_display(to_stderr=as_json) as shown:
            go_on = pipeline.resume_search if is_sweep(run_dir) else pipeline.resume
            result = go_on(run_dir, overrides, shown, here, is_offline=offline)
    return _tell(result, as_json=as_json)


@app.command(epilog="Example: distrain prepare examples/digits/digits.yaml")
def prepare(config: Config, address: Address = None, as_json: Json = False) -> None:
    """Prepare the data alone, and show what a model will get."""
    settings = load(config, address)
    from distrain import pipeline  # seconds, that a mistyped key need not wait for
    from distrain.report import display, tables

    with display.open_display(to_stderr=as_json) as shown:
        result = pipeline.prepare(settings, shown, import_paths(config))
    print_result(tables.prepare_table(result), result.to_json(), as_json=as_json)


def _start(
    what: Literal["train", "tune"],
    config: list[str],
    address: str | None,
    *,
    is_dry: bool,
    is_offline: bool,
    as_json: bool,
) -> int:
    """Train or search, or estimate it; print what came of it and return the exit code."""
    settings, folders = load(config, address), import_paths(config)
    from distrain import dry_run, pipeline  # seconds, that a mistyped key need not wait for
    from distrain.report import display
    from distrain.report.estimate_table import estimate_table

    if is_dry:
        estimated: Estimate | SearchEstimate
        if what == "train":
            estimated = dry_run.estimate(settings, folders, is_offline=is_offline)
        else:
            with display.open_display(to_stderr=as_json) as shown:
                estimated = dry_run.estimate_search(settings, shown, folders, is_offline=is_offline)
        print_result(estimate_table(estimated), estimated.to_json(), as_json=as_json)
        return 0
    start = pipeline.train if what == "train" else pipeline.tune
    with display.open_display(to_stderr=as_json) as shown:
        result = start(settings, shown, folders, is_offline=is_offline)
    return _tell(result, as_json=as_json)


def _tell(result: "TrainResult | TuneResult", *, as_json: bool) -> int:
    """Print how a run or a search ended and return the exit code."""
    from distrain.report import tables

    if result.error is not None:
        print(f"error: {result.error}", file=sys.stderr)
    print_result(tables.result_table(result), result.to_json(), as_json=as_json)
    return result.exit_code
