"""The report that `distrain report` writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from distrain.errors import ConfigError, first_line
from distrain.object_store.link import link_of, shown
from distrain.report.page.guarded import MALFORMED
from distrain.report.run.writing import write_run_report
from distrain.report.search.writing import write_search_report
from distrain.run_folder import REPORT
from distrain.stored_run import is_sweep
from distrain.track.runs import opened_run


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
        reference: its folder, its name, its MLflow id, or its URI at an object store.
        storage: the folder that runs are kept in, or its URI.
        out: the file to write; None: `report.html` in the run's folder; in the working directory,
            of a run at a store.

    Raises:
        ConfigError: there is no such run, what it recorded cannot be read, or the file cannot be
            written.
        CheckpointError: an event of a search is damaged.
        StorageError: the store does not answer.
    """
    with opened_run(reference, storage) as run_dir:
        folder = run_dir if link_of(run_dir) is None else Path()
        return _write(run_dir, (out or folder / REPORT).absolute())


def _write(run_dir: Path, place: Path) -> ReportResult:
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
    except MALFORMED as fault:
        raise ConfigError(
            f"what was recorded has other fields ({type(fault).__name__}: {first_line(fault)})",
            where=shown(run_dir),
            expected="a run's folder, as this version of distrain writes it",
            mend="Write the report with the version that the run was made by",
        ) from fault
    return ReportResult(f"{run_dir.parent.name}/{run_dir.name}", state, place)
