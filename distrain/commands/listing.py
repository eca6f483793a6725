"""Runs that there are: `runs` lists them, `compare` puts some beside each other."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from distrain.answer import print_result
from distrain.commands.options import RUNS, Json, Storage

app = typer.Typer()


@app.command(epilog="Example: distrain runs --where outcome=failed --sort=-test/accuracy")
def runs(  # noqa: PLR0913  (an argument for each option)
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only those of which it holds, such as outcome=failed or 'test/accuracy>0.9'; "
            "several: all of them.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Only those of an experiment, such as 'adult*'.", show_default=False),
    ] = None,
    last: Annotated[
        int | None, typer.Option(help="Only so many, the newest.", min=1, show_default=False)
    ] = None,
    sort: Annotated[
        str, typer.Option(help="A field or a metric; - before it: the greatest first.")
    ] = "-started",
    watch: Annotated[
        bool, typer.Option("--watch", help="Show them anew every two seconds, until Ctrl-C.")
    ] = False,
    storage: Storage = RUNS,
    as_json: Json = False,
) -> None:
    """List the runs below a storage folder, and how far those are that go on."""
    from distrain.report.runs_table import runs_table
    from distrain.track.chosen_runs import Choice
    from distrain.track.live_runs import LiveRuns
    from distrain.track.runs import list_runs
    from distrain.track.sync import ship_waiting

    choice = Choice(where or (), name, last, sort)
    if watch:
        from distrain.report.watching import watch_runs

        watch_runs(storage, choice, as_json=as_json)
        return
    ship_waiting(storage)
    found = LiveRuns().look(list_runs(storage))
    chosen = choice.of(found)
    shown = runs_table(chosen, storage, choice, num_all=len(found))
    print_result(shown, {"runs": [run.to_json() for run in chosen]}, as_json=as_json)


@app.command(epilog="Example: distrain compare 20261121T072929-bcf101 20261122T091500-0a1b2c")
def compare(
    run: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN ...",
            help="Runs' folders, names, URIs or MLflow ids; or searches alone.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="New HTML file to write.", show_default=False)
    ] = None,
    storage: Storage = RUNS,
    as_json: Json = False,
) -> None:
    """Show what differs between runs, and what came of that."""
    from distrain.compare.comparing import compared
    from distrain.predictions_file import check_out
    from distrain.report import display
    from distrain.report.compare_table import CompareTable

    page = check_out(out, (".html",)) if out is not None else None
    with ExitStack() as opened:
        with display.open_display(to_stderr=as_json) as shown:
            result = opened.enter_context(compared(run, storage=storage, display=shown))
        if page is not None:
            from distrain.compare.curves import curves_of
            from distrain.durable import write_atomically
            from distrain.report.compare_page import compare_page

            drawn = compare_page(result, curves_of(result.sides))
            write_atomically(page, drawn.encode(errors="replace"))
        print_result(CompareTable(result), result.to_json(), as_json=as_json)
