"""What there is, and what may be written: `report`, `sync`, `list`, `schema`, `ui`."""

import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distrain.answer import print_line, print_result
from distrain.commands.options import RUNS, Folder, Json, Storage

if TYPE_CHECKING:
    from distrain.track.synced import SyncedRun

app = typer.Typer()


@app.command(epilog="Example: distrain report --last --open")
def report(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run's folder, name, URI or MLflow id.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="The newest run, or that of a name.")
    ] = False,
    is_opened: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write [report.html in the run's folder; here, of one at a store].",
            show_default=False,
        ),
    ] = None,
    storage: Storage = RUNS,
    as_json: Json = False,
) -> None:
    """Write the report of a run or search, also of one that goes on, failed or was killed."""
    from distrain.report import asked, tables
    from distrain.resumed import meant_run

    named = meant_run(run or [], is_last=last, storage=storage, command="report")
    result = asked.write_report(named, storage, out)
    if is_opened:
        webbrowser.open(result.out.as_uri())
    print_result(tables.report_table(result), result.to_json(), as_json=as_json)


@app.command(epilog="Example: distrain sync --storage ./runs")
def sync(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN ...]",
            help="Runs' folders, names, URIs or MLflow ids; none: all below the storage.",
            show_default=False,
        ),
    ] = None,
    storage: Storage = RUNS,
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
    kind: Annotated[
        str,
        typer.Argument(
            help="models, optimizers, losses, lr_schedules, search_algs, schedulers, metrics"
        ),
    ],
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
    storage: Folder = RUNS,
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1.", min=1, max=65535)] = 5000,
    as_json: Json = False,
) -> None:
    """Serve the MLflow UI on 127.0.0.1 until Ctrl-C."""
    from distrain.track.tracking_server import tracking_uri_of
    from distrain.track.ui import serve_ui

    def announce(url: str) -> None:
        print_result(f"MLflow UI: {url}  (Ctrl-C ends it)", {"url": url}, as_json=as_json)

    serve_ui(tracking_uri_of(storage), port=port, announce=announce)
