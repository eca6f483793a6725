"""The report that `distrain report` writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from distrain.errors import ConfigError
from distrain.report.run.writing import write_run_report
from distrain.report.search.writing import write_search_report
from distrain.run_folder import REPORT
from distrain.stored_run import is_sweep
from distrain.track.runs import find_run_dir


@final
@dataclass(frozen=True)
class ReportResult:
    """A report that was written.

    Attributes:
        run: `<experiment>/<run>`.
        status: how the run stands: as in its result, `running`, or `cut_off`.
        out: the file.
    """

    run: str
    status: str
    out: Path

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {"run": self.run, "status": self.status, "out": str(self.out)}


def write_report(reference: str, storage: Path, out: Path | None) -> ReportResult:
    """Write the report of a run or a search, from what there is of it.

    Args:
        reference: its folder, its name, or its MLflow id.
        storage: the folder that runs are kept in.
        out: the file to write; None: `report.html` in the run's folder.

    Raises:
        ConfigError: there is no such run, or the file cannot be written.
    """
    run_dir = find_run_dir(reference, storage)
    place = (out or run_dir / REPORT).absolute()
    try:
        if place.is_dir() or not place.parent.is_dir():
            raise NotADirectoryError(f"{place} is no file in a folder that is there")
        write = write_search_report if is_sweep(run_dir) else write_run_report
        state = write(run_dir, place)
    except OSError as fault:
        raise ConfigError(
            f"the report cannot be written ({fault.strerror or fault})",
            where=str(place),
            expected="a file in a folder that is there, on a disk with room",
            mend="Name another with --out FILE",
        ) from fault
    return ReportResult(f"{run_dir.parent.name}/{run_dir.name}", state, place)
