"""What is unfit, and how to mend it: `doctor`."""

from typing import Annotated

import typer

from distrain.answer import print_result
from distrain.commands.options import RUNS, Address, Json, Storage
from distrain.commands.words import load, words

app = typer.Typer()


@app.command(epilog="Example: distrain doctor run.yaml --address 10.0.0.5:6379")
def doctor(
    config: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG ...] [section.key=value ...]",
            help="Configuration files that the machines should be fit for.",
            show_default=False,
        ),
    ] = None,
    storage: Storage = RUNS,
    address: Address = None,
    port: Annotated[
        list[int] | None,
        typer.Option(help="TCP ports that must be free on 127.0.0.1.", min=1, max=65535),
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Measure the GPUs that nobody uses; takes a minute.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Find what is unfit of this machine, or of a cluster, and tell how to mend it."""
    named, overrides = words(config or [], None)
    settings = load([*named, *overrides], address) if named or overrides else None
    from distrain.jobs.doctor.examine import Request, examine  # seconds
    from distrain.jobs.doctor.page import Page
    from distrain.report import display

    request = Request(settings, storage, address, tuple(port or ()), measures_gpus=gpu)
    with display.open_display(to_stderr=True) as shown:
        diagnosis = examine(request, shown)
    print_result(Page(diagnosis), diagnosis.to_json(), as_json=as_json)
    return diagnosis.exit_code
