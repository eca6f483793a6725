"""Models that are there: `predict`, `evaluate`, `export`, `promote`, `reproduce`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from distrain.answer import print_result
from distrain.commands.options import RUNS, Address, Json, Model, Offline, Storage
from distrain.commands.words import only, words
from distrain.errors import ConfigError

app = typer.Typer()


@app.command(
    epilog="Example: distrain predict models:/digits@champion --data new.csv --out scored.csv"
)
def predict(
    model: Model,
    data: Annotated[str, typer.Option(help="Path, glob, directory or built-in to predict.")],
    out: Annotated[Path, typer.Option(help="New file to write: .csv, .parquet or .jsonl.")],
    storage: Storage = RUNS,
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
    model: Model,
    data: Annotated[str, typer.Option(help="Path, glob, directory or built-in, with targets.")],
    storage: Storage = RUNS,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Measure a model on new labelled data."""
    from distrain import assess
    from distrain.report import display, tables

    with display.open_display(to_stderr=as_json) as shown:
        result = assess.evaluate(model, data=data, storage=storage, address=address, display=shown)
    print_result(tables.evaluate_table(result), result.to_json(), as_json=as_json)


@app.command(epilog="Example: distrain export models:/digits@champion --out digits.onnx")
def export(
    model: Model,
    out: Annotated[Path, typer.Option(help="New file to write: .onnx, or .pt2 of torch.export.")],
    form: Annotated[
        Literal["onnx", "torch"] | None,
        typer.Option("--format", help="What it is [by its ending].", show_default=False),
    ] = None,
    storage: Storage = RUNS,
    as_json: Json = False,
) -> None:
    """Write a model as a file for other programs, and a description beside it."""
    from distrain import exporting
    from distrain.report import display, tables

    with display.open_display(to_stderr=as_json) as shown:
        result = exporting.export(model, form=form, out=out, storage=storage, display=shown)
    print_result(tables.export_table(result), result.to_json(), as_json=as_json)


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
    storage: Storage = RUNS,
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
    storage: Storage = RUNS,
    address: Address = None,
    offline: Offline = False,
    as_json: Json = False,
) -> int:
    """Make a model's run again, and name the first thing that differs."""
    named, overrides = words(model, address)
    reproduced = only(named, "model or run")
    from distrain import reproduction  # seconds, that a mistyped name need not wait for
    from distrain.report import display, tables

    with display.open_display(to_stderr=as_json) as shown:
        result = reproduction.reproduce(
            reproduced, overrides, storage=storage, display=shown, is_offline=offline
        )
    print_result(tables.reproduce_table(result), result.to_json(), as_json=as_json)
    return result.exit_code
