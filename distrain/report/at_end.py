"""A report at the end of what it tells of: written if it can be, and no reason to fail if not."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from distrain.display import Display
from distrain.errors import first_line
from distrain.object_store.link import shown
from distrain.redaction import traceback_text
from distrain.run_folder import REPORT
from distrain.train.beat import LOG_FOLDER

LOG: Final = "report.txt"


def written_at_end(
    run_dir: Path,
    write: Callable[[Path], object],
    display: Display,
    keep: Callable[[Path], None],
) -> None:
    """Write a report at its run's end; where that fails, the run does not: it is told.

    Args:
        run_dir: the folder of the run or search.
        write: writes the report into the file that it is given.
        display: told of what fails.
        keep: records the file among the run's artifacts.
    """
    try:
        write(run_dir / REPORT)
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
