"""A search's folder read into frozen values, of which its page is drawn.

In: the folder of a search that goes on, has ended, was interrupted or killed, or has failed. Out:
what its events, its configuration and its result say, and the last lines of failed trials' logs.
Nothing is written, and no server is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, final

from distrain import lease
from distrain.config.load import load_settings
from distrain.config.names import Mode
from distrain.config.settings import Settings
from distrain.config.tune import TuneSettings
from distrain.errors import ConfigError, DistrainError
from distrain.foreign import is_within
from distrain.object_store.files import TRIALS
from distrain.object_store.link import link_of, shown
from distrain.redaction import redacted
from distrain.report.loading import tracking_uri_of
from distrain.report.search.dimension import Dimension, dimension_of
from distrain.report.search.told import Told, tell
from distrain.report.search.trial import TrialView
from distrain.results import RunStatus, TuneResult
from distrain.run_folder import CONFIG, JOURNAL
from distrain.stored_run import Started, read_sweep_result
from distrain.train.beat import LOG_FOLDER
from distrain.tune.audit import AuditResult
from distrain.tune.confirm import ConfirmResult
from distrain.tune.events import read_events
from distrain.tune.failures import cause_text
from distrain.tune.schedulers import time_attr
from distrain.tune.setting import SEED
from distrain.tune.verdicts import TimeAttr

Status = RunStatus | Literal["running", "cut_off"]
LOG_LINES: Final = 14
_LOG_BYTES: Final = 16_384
_SHOWN_LOGS: Final = 1


@final
@dataclass(frozen=True)
class LogEnd:
    """The end of what a failed trial's worker wrote.

    Attributes:
        trial: the trial's number.
        file: the log, below the search's folder.
        lines: its last lines, without secrets.
    """

    trial: int
    file: str
    lines: tuple[str, ...]


@final
@dataclass(frozen=True)
class Cause:
    """Trials that failed of one cause.

    Attributes:
        error: of the first of them.
        trials: their numbers.
        logs: the ends of some of their logs; none where they are not there any more.
    """

    error: DistrainError
    trials: tuple[int, ...]
    logs: tuple[LogEnd, ...]


@final
@dataclass(frozen=True)
class SearchView:
    """All that a page of a search is made of.

    Attributes:
        name: the experiment's.
        run: the search's folder's name.
        run_dir: the folder.
        settings: the search's.
        status: what it is at this moment.
        told: what its events say.
        result: how it ended; None: it has not.
        dimensions: what varies, in the order in which it was written.
        causes: what trials failed of, the most frequent first.
        started: what it was started with; None: that cannot be read.
        tracking_uri: where MLflow has it, without credentials; None: that is not known here.
    """

    name: str
    run: str
    run_dir: Path
    settings: Settings
    status: Status
    told: Told
    result: TuneResult | None
    dimensions: tuple[Dimension, ...]
    causes: tuple[Cause, ...]
    started: Started | None
    tracking_uri: str | None

    @property
    def reference(self) -> str:
        """Return what commands find it by: its name, or its URI at an object store."""
        return self.run if link_of(self.run_dir) is None else shown(self.run_dir)

    @property
    def tune(self) -> TuneSettings:
        """Return what was asked for."""
        assert self.settings.tune is not None
        return self.settings.tune

    @property
    def metric(self) -> str:
        """Return what decides."""
        return self.tune.metric

    @property
    def mode(self) -> Mode:
        """Return whether less or more of it is better."""
        assert self.tune.mode is not None
        return self.tune.mode

    @property
    def trials(self) -> tuple[TrialView, ...]:
        """Return the search's own trials, by number."""
        return self.told.trials

    @cached_property
    def time_attr(self) -> TimeAttr:
        """What the time of a curve is counted in: `epoch` or `step`."""
        return time_attr(self.settings)

    def of_kind(self, kind: str) -> list[TrialView]:
        """Return the search's own trials that are drawn as `kind`."""
        return [trial for trial in self.trials if trial.kind == kind]

    @property
    def scored(self) -> list[TrialView]:
        """Return the search's own trials that have a score and did not fail."""
        return [one for one in self.trials if one.score is not None and one.kind != "failed"]

    def confirmed(self, winner: int) -> ConfirmResult | None:
        """Return what the winner's configuration came to with other seeds, as far as it is known.

        Args:
            winner: its number.
        """
        others = [one for one in self.told.later if _is_confirming(one, winner)]
        ended = [one for one in others if one.outcome is not None]
        if not ended:
            return None
        whole = [one for one in ended if one.is_whole and one.score is not None]
        return ConfirmResult(
            trial=winner,
            metric=self.metric,
            values={one.values[SEED]: one.score for one in whole if one.score is not None},
            num_failed=len(ended) - len(whole),
            epochs=sum(one.epochs for one in ended),
        )

    @property
    def audit(self) -> AuditResult | None:
        """Return how often the scheduler was wrong; None: not asked for, or not over."""
        told = self.result.audit if self.result is not None else None
        return None if told is None else AuditResult.of_json(told)

    @property
    def gpus_per_trial(self) -> float | None:
        """Return the GPUs that each trial holds; None: the record does not say."""
        if self.told.gpus is not None:
            return self.told.gpus
        each = self.settings.train.resources_per_worker.gpu
        return None if each == "auto" else each * self.tune.workers_per_trial


def read_search(run_dir: Path, result: TuneResult | None = None) -> SearchView:
    """Return what a search's folder holds.

    Args:
        run_dir: the folder.
        result: how it ended, where that is known and not written yet; None: as the folder says.

    Raises:
        ConfigError: the configuration cannot be read, or is not of a search.
        CheckpointError: an event is damaged.
    """
    settings = load_settings([run_dir / CONFIG])
    if settings.tune is None:
        raise ConfigError(
            "the search's configuration has no section tune",
            where=str(run_dir / CONFIG),
            expected="the configuration that the search was started with",
            mend="Put the file back from a copy",
        )
    found = result or read_sweep_result(run_dir)
    is_driven = result is None and not lease.is_free(run_dir)
    told = tell(read_events(run_dir / JOURNAL), settings.tune.metric, is_driven=is_driven)
    return SearchView(
        name=run_dir.parent.name,
        run=run_dir.name,
        run_dir=run_dir,
        settings=settings,
        status=_status(found, is_driven=is_driven),
        told=told,
        result=found,
        dimensions=_dimensions(settings.tune, told.trials),
        causes=_causes(run_dir, (*told.trials, *told.later)),
        started=_started(run_dir),
        tracking_uri=tracking_uri_of(run_dir, settings.track.uri),
    )


def _status(result: TuneResult | None, *, is_driven: bool) -> Status:
    if result is not None:
        return result.status
    return "running" if is_driven else "cut_off"


def _started(run_dir: Path) -> Started | None:
    try:
        return Started.load(run_dir)
    except DistrainError:  # the page tells of less then
        return None


def _dimensions(tune: TuneSettings, trials: Sequence[TrialView]) -> tuple[Dimension, ...]:
    return tuple(
        dimension_of(path, entry, [trial.values[path] for trial in trials if path in trial.values])
        for path, entry in tune.space.items()
    )


def _is_confirming(trial: TrialView, winner: int) -> bool:
    return trial.origin == ("confirm", winner)


def _causes(run_dir: Path, trials: Sequence[TrialView]) -> tuple[Cause, ...]:
    """Return what trials failed of, the most frequent first."""
    alike: dict[str, list[TrialView]] = {}
    for trial in trials:
        if trial.kind == "failed" and trial.error is not None:
            alike.setdefault(cause_text(trial.error), []).append(trial)
    found = [
        Cause(
            error=failed[0].error,
            trials=tuple(trial.number for trial in failed),
            logs=tuple(_log_ends(run_dir, failed[:_SHOWN_LOGS])),
        )
        for failed in alike.values()
        if failed[0].error is not None
    ]
    return tuple(sorted(found, key=lambda cause: (-len(cause.trials), cause.trials[0])))


def _log_ends(run_dir: Path, failed: Sequence[TrialView]) -> list[LogEnd]:
    """Return the ends of the logs of trials, as far as they are there and hold anything."""
    found = []
    for trial in failed:
        folder = run_dir / TRIALS / trial.folder_name / LOG_FOLDER
        for path in sorted(folder.glob("rank-*.txt")):
            lines = _last_lines(path, run_dir)
            if lines:
                name = str(path.relative_to(run_dir))
                found.append(LogEnd(trial.number, name, lines))
                break
    return found


def _last_lines(path: Path, run_dir: Path) -> tuple[str, ...]:
    """Return the last lines of a log; none where it cannot be read, or lies elsewhere."""
    try:
        if not is_within(path, run_dir) or not path.is_file():
            return ()
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            text = file.read(_LOG_BYTES).decode(errors="replace")
    except OSError:  # it was removed meanwhile, or is not this user's
        return ()
    lines = [line.rstrip() for line in text.splitlines() if line.strip(" ^~")]
    return tuple(redacted(line) for line in lines[-LOG_LINES:])
