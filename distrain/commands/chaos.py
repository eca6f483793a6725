"""`chaos`: the user's own job under faults, on a private Ray."""

from typing import Annotated

import typer

from distrain.answer import print_result
from distrain.commands.options import Config, Json
from distrain.commands.words import require_files
from distrain.errors import ConfigError

app = typer.Typer()


@app.command(epilog="Example: distrain chaos examples/adult/adult.yaml --faults worker,driver")
def chaos(
    config: Config,
    faults: Annotated[
        str | None,
        typer.Option(
            help="Kinds with commas between them: worker, node, driver, tracking, disk, "
            "checkpoint, slow; all, where not given.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of where and when faults come.", min=0)] = 0,
    address: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: Json = False,
) -> int:
    """Put a job, made small, under faults on a private Ray, and tell which it survives."""
    if address is not None:
        raise ConfigError(
            "faults are put into a private Ray alone, never into a cluster that others may use",
            where=f"--address {address}",
            expected="no address",
            mend="Leave it out",
        )
    files, overrides = require_files(config, None)
    from distrain.jobs.chaos.job import Job, names_of

    names = names_of(faults)
    job = Job.load(files, overrides)
    from distrain.jobs.chaos.survey import survey  # seconds, that a mistyped key need not wait for
    from distrain.jobs.chaos.table import chaos_table
    from distrain.report import display

    with display.open_display(to_stderr=as_json) as shown:
        result = survey(job, names, seed, shown)
    print_result(chaos_table(result), result.to_json(), as_json=as_json)
    return result.exit_code
