"""A run's report, written: at its end, and whenever it is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from distrain.display import Display
from distrain.durable import write_atomically
from distrain.errors import first_line
from distrain.object_store.link import shown
from distrain.redaction import traceback_text
from distrain.report.run.page import run_page
from distrain.report.run.view import view_run
from distrain.results import TrainResult
from distrain.run_folder import REPORT
from distrain.train.beat import LOG_FOLDER

LOG: Final = "report.txt"


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
    write_atomically(out, run_page(run).encode())
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
    try:
        write_run_report(run_dir, run_dir / REPORT, result)
        keep(run_dir / REPORT)
    except Exception as error:  # whatever it is, the model is trained: told, traceback in a log
        display.note(f"{REPORT} is not written ({type(error).__name__}: {first_line(error)})")
        _keep_traceback(run_dir, error, display)


def _keep_traceback(run_dir: Path, error: Exception, display: Display) -> None:
    log = run_dir / LOG_FOLDER / LOG
    try:
        log.write_text(traceback_text(error), encoding="utf-8")
    except OSError as fault:
        display.note(f"its traceback cannot be kept in {shown(log)} ({fault.strerror})")
    else:
        display.note(f"its traceback is in {shown(log)}; `distrain report` writes it anew")
