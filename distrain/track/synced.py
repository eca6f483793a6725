"""What became of the journals that were to be shipped, told and written into the runs' results."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

from distrain import lease
from distrain.errors import DistrainError, StorageError, TrackingError
from distrain.object_store.link import link_of
from distrain.object_store.runs import fetch_summaries
from distrain.object_store.work_link import driver_folder
from distrain.run_folder import JOURNAL, RESULT, write_result
from distrain.track.model_versions import RegisteredVersion
from distrain.track.runs import result_of, won_by
from distrain.track.unsent import is_unshipped
from distrain.track.watermark import Watermark


@final
@dataclass(frozen=True)
class SyncedRun:
    """What became of one run's journal.

    Attributes:
        run_dir: the run's folder, absolute.
        outcome: whether something was shipped, there was nothing to ship, or something still waits.
        was_closed: whether its record had no end, and was given one.
        run_id: MLflow's; None: the run does not exist there yet.
        model: the version that was made of its newest model.
        damages: what of the journal is damaged, cut off or missing, each with its file and place;
            where there was nothing to ship, of a run that was named.
        error: why something still waits.
        is_deleted: whether it was deleted at MLflow, and is left so.
        uri: where an object store keeps it; None: its folder is where it is kept.
    """

    run_dir: Path
    outcome: Literal["shipped", "nothing", "pending"]
    was_closed: bool = False
    run_id: str | None = None
    model: RegisteredVersion | None = None
    damages: tuple[str, ...] = ()
    error: DistrainError | None = None
    is_deleted: bool = False
    uri: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the run's entry in the object of `--json`."""
        return {
            "name": self.run_dir.parent.name,
            "run": self.run_dir.name,
            "run_dir": self.uri or str(self.run_dir),
            "outcome": self.outcome,
            "was_closed": self.was_closed,
            "run_id": self.run_id,
            "model": asdict(self.model) if self.model else None,
            "damages": list(self.damages),
            "error": self.error.to_json() if self.error else None,
            "is_deleted": self.is_deleted,
        }


@final
@dataclass(frozen=True)
class SyncResult:
    """What became of the journals that were to be shipped.

    Attributes:
        runs: one entry for each run.
        is_named: whether the user named them.
    """

    runs: tuple[SyncedRun, ...]
    is_named: bool = False

    @property
    def tracking(self) -> Literal["complete", "pending"]:
        """Return whether everything has reached MLflow."""
        is_pending = any(run.outcome == "pending" for run in self.runs)
        return "pending" if is_pending else "complete"

    @property
    def exit_code(self) -> int:
        """Return the command's exit code: that of why what was named is pending.

        Where nothing was named, only a tracking server, or an object store, that cannot be reached
        is a failure: 4. A run that another drives is left to it.
        """
        errors = [run.error for run in self.runs if run.error is not None]
        told = [e for e in errors if self.is_named or isinstance(e, TrackingError | StorageError)]
        return told[0].exit_code if told else 0

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {"runs": [run.to_json() for run in self.runs], "tracking": self.tracking}


def update_result(done: SyncedRun, child_ids: Mapping[int, str]) -> None:
    """Write into a run's result, and its search's, what its record has come to."""
    fields = result_of(done.run_dir)
    if fields:
        fields["run_id"] = done.run_id
        fields["tracking"] = "complete" if done.outcome == "shipped" else "pending"
        best = fields.get("best")
        if best:  # of a search
            best["run_id"] = child_ids.get(best["trial"], best["run_id"])
            _take_from_winner(done.run_dir, fields)
        if done.model is not None:
            fields["model"] = asdict(done.model)
        write_result(done.run_dir, fields)
    sweep = won_by(done.run_dir)
    if sweep is not None:
        with _opened_beside(done.run_dir, sweep.rpartition("/")[2]) as run_dir:
            update_search(run_dir)


def update_search(run_dir: Path) -> None:
    """Write into a search's result what its winner's record has come to, unless it goes on.

    Args:
        run_dir: the search's folder; where there is none, nothing is done.

    Raises:
        OSError: the store that keeps them does not answer.
    """
    if not (result_of(run_dir).get("best") and lease.is_free(run_dir)):
        return
    with lease.holding(run_dir, lambda _: None, is_shipping=True) as held:
        fields = result_of(run_dir)
        is_left = is_unshipped(run_dir) or Watermark.load(run_dir / JOURNAL).is_deleted
        fields["tracking"] = "pending" if is_left else "complete"
        _take_from_winner(run_dir, fields)
        lease.check(run_dir, held.fence)
        write_result(run_dir, fields)


def _take_from_winner(run_dir: Path, fields: dict[str, Any]) -> None:
    """Take into a search's result what its winner's tells: it is whole where both are."""
    best = fields["best"]
    winner = _result_beside(run_dir, f"{run_dir.name}-{best['trial']:04d}")
    if not winner:
        return
    best["run_id"] = best["run_id"] or winner["run_id"]
    fields["model"] = winner["model"]
    if winner["tracking"] == "pending":
        fields["tracking"] = "pending"


@contextmanager
def _opened_beside(run_dir: Path, name: str) -> Iterator[Path]:
    """Give the folder of another run of the experiment; of one at a store, linked to it."""
    link = link_of(run_dir)
    if link is None:
        yield run_dir.with_name(name)
        return
    with driver_folder(link.place.parent.below(name), is_new=False) as folder:
        yield folder


def _result_beside(run_dir: Path, name: str) -> dict[str, Any]:
    """Return the fields of the result of another run of the experiment; none: it has none."""
    link = link_of(run_dir)
    if link is None:
        return result_of(run_dir.with_name(name))
    place = link.place.parent.below(name)
    with tempfile.TemporaryDirectory(prefix="distrain-runs-") as temporary:
        [folder] = link.patiently(lambda: fetch_summaries([place], Path(temporary), (RESULT,)))
        return result_of(folder)
