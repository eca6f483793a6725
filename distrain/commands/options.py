"""The words and options that commands share, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="One JSON object as the last line; all else to stderr.")
]
Config = Annotated[
    list[str],
    typer.Argument(
        metavar="CONFIG... [section.key=value ...]",
        help="Configuration files, of which the later wins, and single values.",
        show_default=False,
    ),
]
Model = Annotated[str, typer.Argument(help="models:/name@alias, models:/name/3, or a run.")]
Storage = Annotated[Path, typer.Option(help="Where runs are kept: a folder, or s3://...")]
Folder = Annotated[Path, typer.Option("--storage", help="Where runs are kept: a folder.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster: HOST:PORT, auto or local.", show_default=False)
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Leave the tracking server alone; `distrain sync` tells it."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and estimate; train nothing.")]
RUNS = Path("runs")
