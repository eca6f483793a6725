"""A search that is ready: searched, its winner evaluated and registered, all of it recorded.

    record the search as a run of its own; its trials are shipped as the children of it
    search, or go on with it from its event log
    what won becomes a run like any other, whose training is done: it is measured on the test split,
        which training chose nothing by, packaged, judged, registered
    record the end

The winner's run is its trial's in MLflow, too. Its folder is beside the sweep's, named after it and
the trial: it can be reproduced, evaluated and looked at as if `distrain train` had made it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from distrain import lease
from distrain.display import Display
from distrain.errors import CheckpointError, DistrainError, TrainError
from distrain.object_store.link import link_of, shown
from distrain.object_store.runs import winners_of
from distrain.object_store.work_link import driver_folder
from distrain.report.at_end import written_at_end
from distrain.report.search.writing import write_search_report
from distrain.results import RunStatus, TrainResult, TuneResult
from distrain.run_facts import (
    MLFLOW_STATUS,
    StartedRun,
    how_to_go_on,
    look_text,
    page_text,
)
from distrain.run_folder import CONFIG, write_result
from distrain.running import (
    begun_record,
    keep_report,
    telling_end_faults,
    told_story,
    unforeseen,
)
from distrain.search_story import search_story, under_way_story
from distrain.stored_run import read_sweep_result
from distrain.track.links import NOTE_TAG
from distrain.track.origin import WEIGHTS_TAG, WINNER_TAG
from distrain.track.outcome import OUTCOME, failure_tags
from distrain.track.record import RunRecord
from distrain.track.sync import ship_rest, sync
from distrain.track.synced import update_search
from distrain.train.gauges import exporting
from distrain.tune import review
from distrain.tune.audit import AuditResult
from distrain.tune.confirm import ConfirmResult
from distrain.tune.course import Course
from distrain.tune.review import write_results
from distrain.tune.search import Search
from distrain.tune.setting import setting_of
from distrain.tune.space import Space
from distrain.tune.sweep import Sweep
from distrain.tune.trials import Trial
from distrain.winner import finish_winner
from distrain.workplace import Places

BEST: Final = "search/best"


def finish_search(run: StartedRun, places: Places, display: Display) -> TuneResult:
    """Search, evaluate and register what won, and record all of it; a failure is a result.

    Args:
        run: the sweep, held: its job is that of the configuration as it is written.
        places: where trials and the winner run.
        display: what is told meanwhile.

    Raises:
        CheckpointError: another driver took the sweep over.
        KeyboardInterrupt: interrupted; what ran has saved its state.
        DistrainError: the disk takes no result; why the search failed, where it did.
    """
    run_dir = run.run_dir
    assert run.job.fence is not None
    sweep = Sweep(
        run.settings,
        Space.of(run.settings),
        run.prepared.dataset,
        run_dir,
        places.trials,
        run.code_folders,
        run.job.fence,
        run.line,
    )
    with begun_record(run) as record, exporting(run_dir, display, record.backlog.count) as shown:
        begun = partial(under_way_story, run, record.facts)
        record.journal.tags({NOTE_TAG: told_story(begun, "Searching", run_dir, display)})
        try:
            ending = _ending(run, sweep, places, _Told(record, shown), display)
            lease.check_patiently(run_dir, run.job.fence)
        except KeyboardInterrupt:
            display.note(how_to_go_on(run_dir))
            raise
        except CheckpointError:
            record.abandon()
            raise
        with telling_end_faults(run_dir, ending.error, display):
            result = _record_end(run, record, ending, display)
    if result.status != "finished" or result.tracking == "pending":  # else nothing is left to do
        display.note(how_to_go_on(run_dir))
    return result


def ship_search(run_dir: Path, on_wait: Callable[[str], None]) -> TuneResult | None:
    """Ship what the journals of a finished search and of its winner hold; return its result now.

    Args:
        run_dir: the sweep's folder.
        on_wait: told, once, what is being waited for.

    Raises:
        ConfigError: there is no such run; or, at a store, another process drives it.
        TrackingError: at a store: what it is recorded at cannot be reached.
    """
    link = link_of(run_dir)
    if link is not None:
        _ship_held(run_dir, on_wait)
        for winner in winners_of(link.place):
            with driver_folder(winner, is_new=False) as folder:
                _ship_held(folder, on_wait)
        update_search(run_dir)
        return read_sweep_result(run_dir)
    # Not what a driver has left that was killed before the winner's run had begun.
    winners = sorted(path.parent for path in run_dir.parent.glob(f"{run_dir.name}-*/{CONFIG}"))
    sync([str(run_dir), *map(str, winners)], run_dir.parent.parent, on_wait=on_wait)
    return read_sweep_result(run_dir)


def _ship_held(run_dir: Path, on_wait: Callable[[str], None]) -> None:
    with lease.holding(run_dir, on_wait, is_shipping=True) as held:
        told = ship_rest(run_dir, held.fence)
    if told.error is not None:
        raise told.error


def _ending(
    run: StartedRun, sweep: Sweep, places: Places, told: "_Told", display: Display
) -> "_Ending":
    winner: TrainResult | None = None
    try:
        display.stage(_searching_text(sweep))
        search = sweep.search(told, display.note).search
        best = search.best
        if best is None:
            raise _nothing_whole(told.course)
        lease.check_patiently(run.run_dir, run.job.fence)
        told.record.drain()
        sweep.note_winner(best.number)
        winner = finish_winner(run, sweep, search, places, display)
        if winner.weights_sha256 not in (None, best.weights_sha256):
            display.note(f"the winner's weights are not those of trial {best.number}: broken bits")
    except CheckpointError:  # goes through: another driver tells how the search ends
        raise
    except DistrainError as error:
        return _Ending(told.course, None, error)
    except Exception as error:  # told in the result and recorded as failed; traceback in a log
        return _Ending(told.course, None, unforeseen(error, run.run_dir))
    return _Ending(told.course, winner, winner.error)


def _searching_text(sweep: Sweep) -> str:
    tune = sweep.settings.tune
    assert tune is not None
    count, size = sweep.placement.num_groups, sweep.placement.group_size
    each = f", each of {size} workers" if size > 1 else ""
    return f"searching: {tune.num_trials} trials, {count} at a time{each}"


@final
class _Told:
    """Passes on what has happened: to the display, and the best so far to the record.

    Args:
        record: of the sweep.
        display: what is shown.
    """

    def __init__(self, record: RunRecord, display: Display) -> None:
        self.course: Course | None = None
        self.record = record
        self._display = display
        self._best: Trial | None = None
        self._noted: set[str] = set()

    def __call__(self, course: Course) -> None:
        """Take in that something has happened."""
        self.course, search = course, course.search
        for text in course.notes:
            if text not in self._noted:
                self._display.note(text)
                self._noted.add(text)
        if search.best is not None and search.best is not self._best:
            self._best = search.best
            self.record.journal.metrics(search.num_ended, {BEST: search.best_value})
        self._display.search(course.standing())


@final
@dataclass(frozen=True)
class _Ending:
    """How a search ended.

    Attributes:
        course: its state, with what came after it; None: it did not come to one.
        winner: the result of the run that its best trial became; None: there is none.
        error: why it failed.
    """

    course: Course | None
    winner: TrainResult | None
    error: DistrainError | None

    @property
    def search(self) -> Search | None:
        """Return the search's own state."""
        return self.course.search if self.course is not None else None

    @property
    def confirmed(self) -> ConfirmResult | None:
        """Return what the winner came to with other seeds; None: not asked for, or not over."""
        return self.course.confirmed if self.course is not None else None

    @property
    def audited(self) -> AuditResult | None:
        """Return how often the scheduler was wrong; None: not asked for, or not over."""
        return self.course.audited if self.course is not None else None

    @property
    def status(self) -> RunStatus:
        """Return the search's status, in the words of the result."""
        if self.error is not None:
            return "failed"
        was_interrupted = self.winner is not None and self.winner.status == "interrupted"
        return "interrupted" if was_interrupted else "finished"

    @property
    def metrics(self) -> dict[str, float]:
        """Return the winner's final metrics."""
        return dict(self.winner.metrics) if self.winner is not None else {}


def _nothing_whole(course: Course | None) -> TrainError:
    """Return the error of a search none of whose trials came to a model."""
    trials = course.search.trials if course is not None else []
    causes = Counter(trial.error.message for trial in trials if trial.error is not None)
    told = f"; most failed of: {causes.most_common(1)[0][0]}" if causes else ""
    return TrainError(
        f"none of {len(trials)} trials came to its end{told}",
        where="the search",
        expected="at least one whole trial",
        mend="Raise tune.budget, or mend what the trials failed of; see `distrain why`",
    )


def _record_end(
    run: StartedRun, record: RunRecord, ending: _Ending, display: Display
) -> TuneResult:
    display.stage("recording the end of the search")
    search, winner = ending.search, ending.winner
    if search is not None and ending.metrics:
        record.journal.metrics(search.num_ended, ending.metrics)
    for known in (ending.confirmed, ending.audited):
        if ending.course is not None and known is not None:
            record.journal.metrics(ending.course.num_ended, known.metrics)
    if search is not None:
        record.journal.artifact(write_results(run.run_dir, search), review.FOLDER)
    tags = {OUTCOME: ending.status, **(failure_tags(ending.error) if ending.error else {})}
    if winner is not None and winner.weights_sha256:
        tags |= {WINNER_TAG: winner.run_dir.name, WEIGHTS_TAG: winner.weights_sha256}
    tell = partial(search_story, run, record.facts, ending.course, winner, ending.error)
    tags[NOTE_TAG] = told_story(tell, ending.status.capitalize(), run.run_dir, display)
    result = _result(run, record, ending, is_shipped=False)
    record.end(MLFLOW_STATUS[ending.status], tags)
    write_result(run.run_dir, result.to_json())
    # Behind the end: it reads all of the journal, and who is killed meanwhile has a search that
    # ended.
    written_at_end(
        run.run_dir,
        lambda out: write_search_report(run.run_dir, out, result),
        display,
        partial(keep_report, record),
    )
    is_shipped = record.drain(with_data=True)
    if not is_shipped:
        display.note(f"not all is recorded at {run.server.shown}: {record.why_unsent}")
        display.note("what is left is sent by `distrain sync`, or by the next command that trains")
    result = _result(run, record, ending, is_shipped=is_shipped)
    write_result(run.run_dir, result.to_json())
    return replace(result, page=page_text(run, record))


def _result(run: StartedRun, record: RunRecord, ending: _Ending, *, is_shipped: bool) -> TuneResult:
    search, winner = ending.search, ending.winner
    trials = search.trials if search else []
    outcomes = Counter(trial.outcome for trial in trials)
    causes = Counter(trial.error.message for trial in trials if trial.error is not None)
    confirmed, audited = ending.confirmed, ending.audited
    is_whole = is_shipped and (winner is None or winner.tracking == "complete")
    return TuneResult(
        status=ending.status,
        run_id=record.shipper.run_id,
        run_dir=run.run_dir,
        uri=shown(run.run_dir) if link_of(run.run_dir) is not None else None,
        num_trials=len(trials),
        num_stopped_early=outcomes["stopped"] + outcomes["stopped_early"],
        num_failed=outcomes["failed"],
        best=_best(search, search.best, winner) if search and search.best else None,
        epochs_spent=search.epochs_spent if search else 0,
        wall_s=ending.course.wall_s if ending.course else 0.0,
        weights_sha256=winner.weights_sha256 if winner else None,
        model=winner.model if winner else None,
        goals=winner.goals if winner else (),
        tracking="complete" if is_whole else "pending",
        error=ending.error,
        failures=tuple(causes.most_common(3)),
        summary=winner.summary if winner else "",
        look=look_text(run),
        confirm=confirmed.to_json() if confirmed else None,
        audit=audited.to_json() if audited else None,
    )


def _best(search: Search, best: Trial, winner: TrainResult | None) -> dict[str, Any]:
    num_seeds = search.plan.num_seeds
    of_setting = setting_of(search.trials, best.number, num_seeds)
    num_whole = sum(trial.is_whole for trial in of_setting)  # of which alone the mean is
    mean = {"mean": search.best_value, "num_seeds": num_whole} if num_seeds > 1 else {}
    return {
        "trial": best.number,
        "run_id": winner.run_id if winner else None,
        "config": dict(best.assignment),
        "metrics": dict(winner.metrics if winner else best.metrics),
        **mean,
    }
