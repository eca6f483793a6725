"""A search looked back at: why a trial was stopped, and what another scheduler would have done.

In: a sweep's folder, of which the event log and the configuration are read; nothing is written, and
no server is asked. Out: what `distrain why` and `distrain replay` print.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain import lease
from distrain.config.load import load_settings
from distrain.config.settings import Settings
from distrain.config.tune import TuneSettings
from distrain.errors import ConfigError, error_from_json
from distrain.object_store.link import shown
from distrain.run_folder import CONFIG, JOURNAL
from distrain.stored_run import is_sweep
from distrain.track.runs import opened_run, result_of, won_by
from distrain.track.trials import AUDITS_FROM
from distrain.tune.audit import AuditResult, is_better
from distrain.tune.confirm import ConfirmResult
from distrain.tune.counterfactual import Played, play, with_audit
from distrain.tune.events import read_events
from distrain.tune.explain import State, explain_trial, state_of
from distrain.tune.schedulers import time_attr
from distrain.tune.seeds import trial_scheduler
from distrain.tune.setting import mean_of
from distrain.tune.trials import WHOLE

SCHEDULER: Final = "tune.scheduler"


@final
@dataclass(frozen=True)
class WhyResult:
    """Why a trial went as it did.

    Attributes:
        trial: its number.
        outcome: how it ended; None: it has not.
        state: what it is now; of what has not ended `waiting` for room, `running`, `paused` at a
            rung, or `cut_off` while it ran, as the search's driver ended.
        config: its values by dotted path.
        epoch: its whole epochs.
        is_winner: whether it won.
        error: why it failed; None: it did not.
        audit: `metric`, `value` that it came to after all, `winner_value`, and whether the stop
            `was_wrong`; None: it was not audited.
        confirm: of the winner, what came of other seeds; None: there are none.
        decisions: fields of the verdicts on it, in order.
        text: all of it in a few lines.
    """

    trial: int
    outcome: str | None
    state: State
    config: Mapping[str, Any]
    epoch: int
    is_winner: bool
    error: Mapping[str, str] | None
    decisions: Sequence[Mapping[str, Any]]
    text: str
    audit: Mapping[str, Any] | None = None
    confirm: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "trial": self.trial,
            "outcome": self.outcome,
            "state": self.state,
            "config": dict(self.config),
            "epoch": self.epoch,
            "is_winner": self.is_winner,
            "error": self.error and dict(self.error),
            "audit": self.audit and dict(self.audit),
            "confirm": self.confirm and dict(self.confirm),
            "decisions": [dict(decision) for decision in self.decisions],
            "text": self.text,
        }


@final
@dataclass(frozen=True)
class ReplayResult:
    """What another scheduler would have done with a search's curves.

    Attributes:
        metric: what decides.
        recorded: what the search's own scheduler makes of them.
        played: what the other one makes of them.
        changes: `section.key=value` that make it another.
    """

    metric: str
    recorded: Played
    played: Played
    changes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "metric": self.metric,
            "changes": list(self.changes),
            "recorded": self.recorded.to_json(),
            "replayed": self.played.to_json(),
            "epochs_saved": self.recorded.epochs - self.played.epochs,
        }


def why(run: str, trial: int, *, storage: Path) -> WhyResult:
    """Return why a trial of a search was stopped, kept, or won.

    Args:
        run: the sweep's folder or URI, its name, or its id at MLflow.
        trial: the trial's number.
        storage: the folder that runs are kept in, or its URI.

    Raises:
        ConfigError: there is no such search, or no such trial in it.
        StorageError: the object store that is named does not answer.
    """
    with _opened_sweep(run, storage) as run_dir:
        return _why(run_dir, trial)


def _why(run_dir: Path, trial: int) -> WhyResult:
    is_driven = not lease.is_free(run_dir)
    events = [dict(event) for event in read_events(run_dir / JOURNAL)]
    suggested = (event["trial"] for event in events if event["event"] == "suggested")
    known = [number for number in suggested if number < AUDITS_FROM]
    if trial not in known:
        last = f"0 to {known[-1]}" if known else "none yet"
        raise ConfigError(
            f"there is no trial {trial}",
            where=shown(run_dir),
            expected=f"the number of a trial: {last}",
            mend="See the trials in the MLflow UI, or in the search's last table",
        )
    own = [event for event in events if event.get("trial") == trial]
    of_kind = {event["event"]: event for event in own}
    ended = of_kind.get("ended", {})
    decisions = [event for event in own if event["event"] == "decided"]
    won = [event["trial"] for event in events if event["event"] == "won"]
    config = _assignment(own)
    state = state_of(trial, events, is_driven=is_driven)
    text = explain_trial(trial, decisions, state, is_driven=is_driven)
    values = ", ".join(f"{name} = {value}" for name, value in config.items())
    lines = [text, f"Its values: {values}." if values else "Its values: as written."]
    error = ended.get("error")
    if error:
        lines.append(f"It failed: {error_from_json(error)}")
    audit, result = _audit(events, trial, won[-1:], run_dir), result_of(run_dir)
    if audit is not None:
        lines += [_audit_text(audit, won[-1])]
        if result.get("audit"):
            lines.append(f"The audit: {AuditResult.of_json(result['audit']).text}.")
    confirm = result.get("confirm") if won[-1:] == [trial] else None
    if won[-1:] == [trial]:
        lines.append("It won the search.")
    if confirm:
        lines.append(f"Confirmed: {ConfirmResult.of_json(confirm).text}.")
    return WhyResult(
        trial=trial,
        outcome=ended.get("outcome"),
        state=state,
        config=config,
        epoch=max((event.get("epoch", 0) for event in own), default=0),
        is_winner=won[-1:] == [trial],
        error=error,
        decisions=decisions,
        text="\n".join(lines),
        audit=audit,
        confirm=confirm,
    )


def _audit(
    events: Sequence[Mapping[str, Any]], trial: int, won: Sequence[int], run_dir: Path
) -> dict[str, Any] | None:
    """Return what a stopped trial came to after all; None: it was not audited, or is not whole."""
    tune = load_settings([run_dir / CONFIG]).tune
    assert tune is not None
    assert tune.mode is not None
    if not won:
        return None
    first, first_won = (number - number % tune.num_seeds for number in (trial, won[0]))
    audited = _finals(events, AUDITS_FROM + first, tune)
    if len(audited) < tune.num_seeds:
        return None
    value, winner = mean_of(audited), mean_of(_finals(events, first_won, tune))
    return {
        "metric": tune.metric,
        "value": value,
        "winner_value": winner,
        "was_wrong": is_better(value, winner, tune.mode),
    }


def _finals(events: Sequence[Mapping[str, Any]], first: int, tune: TuneSettings) -> list[float]:
    """Return the values that the trials of a setting came to which are whole."""
    numbers = range(first, first + tune.num_seeds)
    return [
        float(event["metrics"].get(tune.metric, math.nan))
        for event in events
        if event["event"] == "ended" and event["trial"] in numbers and event["outcome"] in WHOLE
    ]


def _audit_text(audit: Mapping[str, Any], winner: int) -> str:
    verdict = "wrong" if audit["was_wrong"] else "right"
    return (
        f"It was audited: run on to its end after the search, it came to {audit['metric']} "
        f"{audit['value']:.6g}, and the winner, trial {winner}, to {audit['winner_value']:.6g}. "
        f"So the stop was {verdict}."
    )


def replay(run: str, changes: Sequence[str], *, storage: Path) -> ReplayResult:
    """Return what another scheduler would have done with what a search has recorded.

    Args:
        run: the sweep's folder or URI, its name, or its id at MLflow.
        changes: `tune.scheduler...=value`.
        storage: the folder that runs are kept in, or its URI.

    Raises:
        ConfigError: there is no such search, something else than the scheduler is changed, or the
            other one counts time otherwise than the curves were recorded.
        StorageError: the object store that is named does not answer.
    """
    with _opened_sweep(run, storage) as run_dir:
        return _replay(run_dir, changes)


def _replay(run_dir: Path, changes: Sequence[str]) -> ReplayResult:
    others = [text for text in changes if not text.startswith((f"{SCHEDULER}=", f"{SCHEDULER}."))]
    if others or not changes:
        raise ConfigError(
            f"{others[0]} cannot be replayed" if others else "no other scheduler was named",
            where="command line",
            expected="changes of tune.scheduler: the curves are those that were recorded",
            mend="For example: distrain replay RUN tune.scheduler.reduction_factor=3",
        )
    own = load_settings([run_dir / CONFIG])
    other = load_settings([run_dir / CONFIG], changes)
    assert own.tune is not None
    assert other.tune is not None
    if "pbt" in (own.tune.scheduler.name, other.tune.scheduler.name):
        raise ConfigError(
            "the trials of tune.scheduler pbt take over from each other, so there is no curve of "
            "one setting that another scheduler could have stopped",
            where=shown(run_dir),
            expected="a search by another scheduler, replayed under another one",
            mend="See what was decided in search/decisions.csv, or with `distrain why`",
        )
    events = with_audit(read_events(run_dir / JOURNAL))
    _check_times(events, other, run_dir)
    return ReplayResult(
        metric=own.tune.metric,
        recorded=_played(events, own),
        played=_played(events, other),
        changes=tuple(changes),
    )


def _check_times(events: Sequence[Mapping[str, Any]], settings: Settings, run_dir: Path) -> None:
    """Refuse times that are not in the scheduler's unit, as earlier versions have logged them.

    They counted in epochs where there was no scheduler, with `train.steps` too.
    """
    assert settings.tune is not None
    unit = time_attr(settings)
    reports = [event for event in events if event["event"] == "reported"]
    is_by_unit = all(event["time"] == event[unit] for event in reports)
    if is_by_unit or settings.tune.scheduler.name == "none":
        return
    raise ConfigError(
        f"the scheduler counts {unit}s, and the search's curves were not recorded by {unit}s",
        where=shown(run_dir),
        expected=f"a search that counts {unit}s, as this version does with train.{unit}s",
        mend="Search again; what was decided is told by `distrain why`",
    )


def _played(events: Sequence[Mapping[str, Any]], settings: Settings) -> Played:
    tune = settings.tune
    assert tune is not None
    assert tune.num_trials is not None
    assert tune.mode is not None
    scheduler = trial_scheduler(settings, tune.num_trials)
    return play(events, tune.metric, tune.mode, scheduler, tune.num_seeds)


def _assignment(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the values of a trial: those that it was suggested with, or took over last."""
    told = (event for event in events if event["event"] in ("suggested", "decided"))
    *_, last = (event["assignment"] for event in told if event.get("assignment") is not None)
    found: Mapping[str, Any] = last
    return found


@contextmanager
def _opened_sweep(run: str, storage: Path) -> Iterator[Path]:
    """Give the folder of a search to read in."""
    with opened_run(run, storage) as run_dir:
        if not is_sweep(run_dir):
            search = won_by(run_dir)
            raise ConfigError(
                "the run is no search" if search is None else "the run is a search's winner",
                where=shown(run_dir),
                expected="a folder that `distrain tune` made",
                mend="See `distrain runs`" if search is None else f"Name the search: {search}",
            )
        yield run_dir
