"""A run's report, written: at its end, and whenever it is asked for."""

from collections.abc import Callable
from pathlib import Path

from distrain.display import Display
from distrain.durable import write_atomically
from distrain.report.at_end import written_at_end
from distrain.report.run.page import run_page
from distrain.report.run.view import view_run
from distrain.results import TrainResult


def write_run_report(run_dir: Path, out: Path, result: TrainResult | None = None) -> str:
    """Write a run's report, whole or not at all, and return how the run stands in it.

    Args:
        run_dir: the run's folder.
        out: the file to write.
        result: how it ended, where its command is about to write that; None: what it has written.

    Raises:
        OSError: the journal cannot be read, or the file not be written.
    """
    run = view_run(run_dir, result)
    write_atomically(out, run_page(run).encode(errors="replace"))
    return run.state


def report_at_end(
    run_dir: Path, result: TrainResult, display: Display, keep: Callable[[Path], None]
) -> None:
    """Write the report of a run that ends; where that fails, the run does not: it is told.

    Args:
        run_dir: the run's folder.
        result: how it ended.
        display: told of what fails.
        keep: records the file among the run's artifacts.
    """
    written_at_end(run_dir, lambda out: write_run_report(run_dir, out, result), display, keep)
