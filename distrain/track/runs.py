"""The runs below a storage folder, from what each run's own folder says. No server is asked."""

import errno
import itertools
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from distrain.errors import ConfigError, did_you_mean
from distrain.foreign import is_count, read_json
from distrain.locations import needs_folder
from distrain.object_store.place import Place, remote_text
from distrain.object_store.runs import cannot_tell, fetch_summaries, named_run, run_places
from distrain.object_store.work_link import reading_folder
from distrain.run_folder import CONFIG, JOURNAL, RESULT, STARTED
from distrain.track.watermark import Watermark

UNFINISHED = "unfinished"

_RUN_ID = re.compile(r"^[0-9a-f]{32}$")
# A search's winner has its trial's number behind the name of the search.
_RUN_NAME = re.compile(r"^(\d{8}T\d{6})-[0-9a-z]+(-\d+)?$")


@final
@dataclass(frozen=True)
class RunSummary:
    """One run, as its folder tells it.

    Attributes:
        name: the experiment's name.
        run: the run's name.
        status: as in the run's result; `unfinished` where there is none.
        started: when it began, ISO 8601 in UTC.
        run_dir: its folder, absolute.
        run_id: MLflow's; None: not known.
        step: committed optimizer steps; None: not known.
        metrics: final metrics by name; of a search, those of its best trial.
        model: `name`, `version` and `alias` of the registered model; None: none.
        weights_sha256: of the final model; None: none.
        reproduces: the run that it makes again; None: it is one of its own.
        sweep: the search whose winner it is; None: it is of none.
        kind: `run` or `search`.
        outcome: as `status`; `running` where its driver lives (see `live_runs`).
        num_trials: of a search that has ended; None: it has not, or it is a run.
        num_stopped_early: likewise, how many of them were stopped early.
        num_failed: likewise, how many of them failed.
        best_trial: likewise, the number of the best.
        samples_per_second: rows trained per second; None: not known.
        goals_met: whether all goals were met; None: there were none, or it has not ended.
        live: of one that runs, how far it is; None: it does not run, or was not looked at.
    """

    name: str
    run: str
    status: str
    started: str
    run_dir: str
    run_id: str | None
    step: int | None
    metrics: dict[str, float | None]
    model: dict[str, Any] | None
    weights_sha256: str | None
    reproduces: str | None
    sweep: str | None
    kind: str = "run"
    outcome: str = UNFINISHED
    num_trials: int | None = None
    num_stopped_early: int | None = None
    num_failed: int | None = None
    best_trial: int | None = None
    samples_per_second: float | None = None
    goals_met: bool | None = None
    live: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def list_runs(storage: Path) -> list[RunSummary]:
    """Return all runs below a storage folder, the newest first.

    Args:
        storage: the folder; a URI, where an object store keeps them.

    Raises:
        ConfigError: there is no such folder, or bucket.
        StorageError: the store does not answer.
    """
    uri = remote_text(storage)
    if uri is not None:
        return _list_stored(Place.parse(uri))
    if not storage.is_dir():
        raise ConfigError(
            "there is no such folder",
            where=f"--storage {storage}",
            expected="the storage folder of earlier runs",
            mend="Name it, or train first: it is made then",
        )
    found = [_summary(run_dir) for run_dir in run_dirs(storage.absolute())]
    return sorted(found, key=lambda run: (run.started, run.run), reverse=True)


def _list_stored(storage: Place) -> list[RunSummary]:
    places = run_places(storage)
    with tempfile.TemporaryDirectory(prefix="distrain-runs-") as temporary:
        try:
            folders = fetch_summaries(places, Path(temporary), (CONFIG, STARTED, RESULT))
        except OSError as fault:
            raise cannot_tell(storage, fault) from fault
        found = [
            replace(_summary(folder), run_dir=place.uri)
            for folder, place in zip(folders, places, strict=True)
        ]
    return sorted(found, key=lambda run: (run.started, run.run), reverse=True)


def find_run_dir(reference: str, storage: Path) -> Path:
    """Return the folder of a run.

    Args:
        reference: its path, its name, `<name>/<run>`, or its id at MLflow.
        storage: the folder that runs are kept in.

    Raises:
        ConfigError: there is no such run.
    """
    uri = remote_text(reference) or remote_text(storage)
    if uri is not None:
        raise needs_folder(Place.parse(uri))
    path = Path(reference)
    named = (run_dir for run_dir in run_dirs(storage) if run_dir.name == path.name)
    for candidate in itertools.chain((path, storage / path), named):
        if _is_run(candidate) and candidate.parts[-len(path.parts) :] == path.parts:
            return candidate.absolute()
    for run_dir in run_dirs(storage) if _RUN_ID.match(reference) else ():
        if Watermark.load(run_dir / JOURNAL).run_id == reference:
            return run_dir.absolute()
    known = [run_dir.name for run_dir in run_dirs(storage)] if storage.is_dir() else []
    raise ConfigError(
        f"there is no run {reference!r}",
        where=str(storage),
        expected="a run's folder, its name, or its id at MLflow",
        mend=did_you_mean(path.name, known, listed="Runs") if known else "There are no runs here",
    )


@contextmanager
def opened_run(
    reference: str, storage: Path, only: Collection[str] | None = None
) -> Iterator[Path]:
    """Give the folder of a run to read in, wherever the run is kept; nothing may be written there.

    Of a run at a store it is a copy, without checkpoints, logs and ledger, that is gone afterwards;
    `object_store.link.shown` tells its paths as they are found again.

    Args:
        reference: as for `find_run_dir`, or the URI of a run.
        storage: the folder that runs are kept in, or its URI.
        only: of a run at a store, paths of the files that are wanted; None: all of them.

    Raises:
        ConfigError: there is no such run.
        StorageError: the store does not answer.
    """
    place = named_run(reference, storage)
    if place is None:
        yield find_run_dir(reference, storage)
        return
    with reading_folder(place, only) as run_dir:
        yield run_dir


def run_dirs(storage: Path) -> Iterator[Path]:
    """Give the folders of the runs below a storage folder."""
    for path in storage.glob("*/*"):
        if _is_run(path):
            yield path


def result_of(run_dir: Path) -> dict[str, Any]:
    """Return the fields of a run's result; none of one that goes on, or was killed."""
    return fields_of(run_dir / RESULT)


def won_by(run_dir: Path) -> str | None:
    """Return the key of the search whose winner a run is; None: it is of none."""
    return _sweep_of(fields_of(run_dir / STARTED))


def _sweep_of(started: Mapping[str, Any]) -> str | None:
    won = started.get("won")
    return str(won[0]) if isinstance(won, list) and won else None


def fields_of(path: Path) -> dict[str, Any]:
    """Return the fields of a run's file of JSON; none where it is not there, or not whole."""
    try:
        return _table(read_json(path))
    except (OSError, ValueError):
        return {}


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if is_count(value) else None


def _numbers(value: Any) -> dict[str, float | None]:
    kinds = (int, float, type(None))
    return {name: number for name, number in _table(value).items() if isinstance(number, kinds)}


def _is_run(path: Path) -> bool:
    try:
        return (path / CONFIG).is_file()
    except OSError as fault:
        if fault.errno == errno.ENAMETOOLONG:  # so nothing has that name
            return False
        raise


def _summary(run_dir: Path) -> RunSummary:
    result, started = result_of(run_dir), fields_of(run_dir / STARTED)
    best, status = _table(result.get("best")), _text(result.get("status")) or UNFINISHED
    is_search = started.get("is_sweep") is True or "num_trials" in result
    return RunSummary(
        name=run_dir.parent.name,
        run=run_dir.name,
        status=status,
        started=_started(run_dir),
        run_dir=str(run_dir),
        run_id=_text(result.get("run_id")),
        step=_count(result.get("step")),
        metrics=_numbers(result.get("metrics")) or _numbers(best.get("metrics")),
        model=_table(result.get("model")) or None,
        weights_sha256=_text(result.get("weights_sha256")),
        reproduces=_text(started.get("reproduces")),
        sweep=_sweep_of(started),
        kind="search" if is_search else "run",
        outcome=status,
        num_trials=_count(result.get("num_trials")),
        num_stopped_early=_count(result.get("num_stopped_early")),
        num_failed=_count(result.get("num_failed")),
        best_trial=_count(best.get("trial")),
        samples_per_second=_numbers(result).get("samples_per_second"),
        goals_met=_goals_met(_table(result.get("goals"))),
    )


def _goals_met(goals: Mapping[str, Any]) -> bool | None:
    found = [_table(goal).get("met") for goal in goals.values()]
    return all(met is True for met in found) if found else None


def _started(run_dir: Path) -> str:
    named = _RUN_NAME.match(run_dir.name)
    try:
        started = datetime.strptime(named[1] if named else "", "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:  # somebody has given it another name, which may have no such day
        started = datetime.fromtimestamp((run_dir / CONFIG).stat().st_mtime, UTC)
    return started.isoformat(timespec="seconds")
