"""What a search takes over from an earlier one: points to begin with, results for its sampler.

It is read once, when the search begins, and all of it becomes the first event of the log: what the
search does next depends on that event alone, whatever becomes of the earlier search's folder.

A setting fits where the configuration with its values is one of the new space: what varies there
is taken from the earlier trial's own settings, and what varied before and does not any more must be
as the new configuration has it. Its seed is no part of a setting.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, final

from distrain.config.assignment import path_of, value_in
from distrain.config.course import CHANGES
from distrain.config.digest import resolved_dict
from distrain.config.domains import is_same, key_of
from distrain.config.load import load_settings
from distrain.config.settings import Settings
from distrain.config.tune import CmaEsSearch, EarlierSearch, TpeSearch
from distrain.errors import ConfigError
from distrain.object_store.link import shown
from distrain.run_folder import CONFIG, JOURNAL
from distrain.track.runs import opened_run
from distrain.track.trials import kind_of
from distrain.tune.events import EventLog, read_events
from distrain.tune.schedulers import time_attr
from distrain.tune.setting import settings_told
from distrain.tune.space import Space
from distrain.tune.told import Told
from distrain.tune.trials import WHOLE

EVENT: Final = "inherited"
_SHOWN: Final = 3
_SEED: Final = "seed"


@final
@dataclass(frozen=True)
class Earlier:
    """What is taken over; empty: nothing.

    Attributes:
        search: the earlier one, `<name>/<run>`.
        points: assignments that are tried first.
        results: what a sampler is told; their trials have numbers below 0.
        notes: what was taken and what was left, in lines for a person.
    """

    search: str = ""
    points: Sequence[Mapping[str, Any]] = ()
    results: Sequence[Told] = ()
    notes: Sequence[str] = ()

    def log(self, log: EventLog) -> None:
        """Make it durable."""
        results = [
            [one.assignment, [list(pair) for pair in one.values], one.final, one.state]
            for one in self.results
        ]
        points = [dict(point) for point in self.points]
        log.add(EVENT, search=self.search, points=points, results=results)
        log.commit()

    @classmethod
    def of_event(cls, event: Mapping[str, Any]) -> "Earlier":
        """Return what `log` logged, but for the notes."""
        results = [
            Told(
                number - len(event["results"]),
                assignment,
                [(time, float(value)) for time, value in values],
                None if final is None else float(final),
                state,
            )
            for number, (assignment, values, final, state) in enumerate(event["results"])
        ]
        return cls(event["search"], event["points"], results)


@contextmanager
def opened_earlier(settings: Settings, storage: Path) -> Iterator[Path | None]:
    """Give the folder of the search that `tune.start_from` names, to read in; None: it names none.

    Args:
        settings: with a `tune` section.
        storage: the folder that runs are kept in, or its URI.

    Raises:
        ConfigError: there is no such search.
        StorageError: the object store that keeps it does not answer.
    """
    assert settings.tune is not None
    asked = settings.tune.start_from
    if not isinstance(asked, EarlierSearch):
        yield None
        return
    with ExitStack() as stack:
        try:
            run_dir = stack.enter_context(opened_run(asked.search, storage))
        except ConfigError as error:
            raise ConfigError(
                f"tune.start_from: {error.message}",
                where=error.where,
                expected=error.expected,
                mend=error.mend,
            ) from error
        if next(iter(read_events(run_dir / JOURNAL)), None) is None:
            raise ConfigError(
                f"tune.start_from: {asked.search} is no search that has begun",
                where=shown(run_dir),
                expected="a folder that `distrain tune` made, its name, or its id at MLflow",
                mend="See `distrain runs`",
            )
        yield run_dir


def check_earlier(settings: Settings, storage: Path) -> None:
    """Return where the search that `tune.start_from` names is there, or none is named.

    Args:
        settings: as for `opened_earlier`.
        storage: likewise.

    Raises:
        ConfigError: as there.
        StorageError: as there.
    """
    with opened_earlier(settings, storage):
        return


def read_earlier(run_dir: Path, settings: Settings, space: Space) -> Earlier:
    """Return what a search takes over from the one in a folder, as far as that has come.

    Args:
        run_dir: the earlier search's.
        settings: the new search's, with `tune.start_from` as an `EarlierSearch`.
        space: the new search's.

    Raises:
        ConfigError: the earlier search's configuration cannot be read.
        CheckpointError: its event log is damaged.
    """
    tune, before = settings.tune, load_settings([run_dir / CONFIG])
    assert tune is not None
    assert isinstance(tune.start_from, EarlierSearch)
    assert before.tune is not None
    fit = _Fit(settings, space, before, Space.of(before))
    told_by = _told_by(run_dir, before.tune.metric)
    num_seeds = before.tune.num_seeds
    trials = [
        fit.of(replace(told, trial=told.trial * num_seeds))
        for told in settings_told(told_by, num_seeds)
        if told.state != "running"
    ]
    chosen = _Chosen()
    sign = 1.0 if before.tune.mode == "min" else -1.0
    whole = [one for one in trials if one.told.final is not None]
    for one in sorted(whole, key=lambda one: (one.told.loss(sign), one.told.trial)):
        if math.isinf(one.told.loss(sign)):  # no number
            break
        if len(chosen.points) == tune.start_from.num_best:
            break
        chosen.add(one)
    name = f"{run_dir.parent.name}/{run_dir.name}"
    results, why_none = _results(trials, settings, before)
    return Earlier(name, chosen.points, results, [*chosen.notes(name), *why_none])


@final
@dataclass(frozen=True)
class _Fitted:
    """An earlier trial, and what it is in the new space.

    Attributes:
        told: the trial.
        assignment: its values in the new space; None: it does not fit.
        why: why not.
    """

    told: Told
    assignment: Mapping[str, Any] | None
    why: str = ""


@final
class _Fit:
    """Says what a trial of an earlier search is in a new space.

    Args:
        settings: the new search's.
        space: the new search's.
        before: the earlier search's settings.
        old_space: the earlier search's.
    """

    def __init__(
        self, settings: Settings, space: Space, before: Settings, old_space: Space
    ) -> None:
        self._settings = settings
        self._space = space
        self._before = before
        self._old_space = old_space
        self._domains = {parameter.path: parameter.domain for parameter in space.parameters}

    def of(self, told: Told) -> _Fitted:
        """Return an earlier trial with its values in the new space, or why it has none."""
        if CHANGES in told.assignment:
            return _Fitted(told, None, "its settings changed in its course")
        try:
            trained = self._old_space.settings_of(self._before, told.assignment)
            assignment = self._space.as_written(trained)
            why = self._outside(assignment) or self._not_as_trained(assignment, told)
        except ConfigError as error:
            return _Fitted(told, None, error.message)
        if not why and not self._space.allows(assignment):
            why = "a constraint excludes it"
        return _Fitted(told, None, why) if why else _Fitted(told, assignment)

    def _outside(self, assignment: Mapping[str, Any]) -> str:
        for key, value in assignment.items():
            if self._domains[key].position_of(value) is None:
                return f"{key} = {key_of(value)} is not in the space"
        return ""

    def _not_as_trained(self, assignment: Mapping[str, Any], told: Told) -> str:
        """Return what varied, is fixed now, and was something else; nothing: all is as it was."""
        plain = resolved_dict(self._space.settings_of(self._settings, assignment))
        for key, value in told.assignment.items():
            if key in assignment or key == _SEED:
                continue
            is_there, now = value_in(plain, path_of(key))
            if not is_there or not is_same(now, value):
                return f"{key} = {key_of(value)} does not vary any more"
        return ""


@final
@dataclass
class _Chosen:
    """The points that come first, and what was passed over on the way."""

    points: list[Mapping[str, Any]] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def add(self, one: _Fitted) -> None:
        """Take in the next best trial."""
        if one.assignment is None:
            self.left.append(f"trial {one.told.trial} ({one.why})")
        elif one.assignment not in self.points:
            self.points.append(one.assignment)
            self.taken.append(one.told.trial)

    def notes(self, name: str) -> list[str]:
        """Return what was taken and left, in lines for a person."""
        trials = ", ".join(map(str, self.taken))
        told = [
            f"of the search {name}, the settings of these trials come first: {trials}"
            if self.taken
            else f"no setting of the search {name} comes first: none that is whole fits the space"
        ]
        if self.left:
            more = len(self.left) - _SHOWN
            rest = f" and {more} more" if more > 0 else ""
            told.append(f"better ones do not fit: {', '.join(self.left[:_SHOWN])}{rest}")
        return told


def _results(
    trials: Sequence[_Fitted], settings: Settings, before: Settings
) -> tuple[list[Told], list[str]]:
    """Return what the sampler is told of earlier trials, and what is to be said of that."""
    tune, old = settings.tune, before.tune
    assert tune is not None
    assert old is not None
    if not isinstance(tune.search_alg, TpeSearch | CmaEsSearch):
        return [], []
    if (tune.metric, tune.mode) != (old.metric, old.mode):
        return [], [
            f"its results are not told to {tune.search_alg.name}: they are {old.metric} "
            f"({old.mode}), and the new search looks for {tune.metric} ({tune.mode})"
        ]
    # A stopped trial is compared at the time that it came to, which must mean the same.
    is_alike = time_attr(settings) == time_attr(before)
    states = ("finished", "stopped") if is_alike else ("finished",)
    fitting = [
        one
        for one in trials
        if one.assignment is not None and one.told.state in states and one.told.values
    ]
    results = [
        Told(place - len(fitting), one.assignment or {}, one.told.values, one.told.final, state)
        for place, one in enumerate(fitting)
        for state in (one.told.state,)
    ]
    return results, [f"{len(results)} of its results are told to {tune.search_alg.name}"]


def _told_by(run_dir: Path, metric: str) -> list[Told]:
    """Return the trials of a search, in their order, as far as they have come."""
    assignments: dict[int, Mapping[str, Any]] = {}
    values: dict[int, list[tuple[int, float]]] = {}
    ended: dict[int, Mapping[str, Any]] = {}
    for event in read_events(run_dir / JOURNAL):
        trial = event.get("trial", -1)
        if event["event"] == "suggested" and kind_of(trial)[0] == "trial":
            assignments[trial] = event["assignment"]
        elif event["event"] == "reported" and metric in event["values"]:
            values.setdefault(trial, []).append((event["time"], float(event["values"][metric])))
        elif event["event"] == "ended":
            ended[trial] = event
            if trial in assignments:
                assignments[trial] = event.get("assignment", assignments[trial])
    return [
        _told(trial, assignment, values.get(trial, []), ended.get(trial), metric)
        for trial, assignment in sorted(assignments.items())
    ]


def _told(
    trial: int,
    assignment: Mapping[str, Any],
    values: Sequence[tuple[int, float]],
    ended: Mapping[str, Any] | None,
    metric: str,
) -> Told:
    if ended is None:
        return Told(trial, assignment, values, None, "running")
    if ended["outcome"] not in WHOLE:
        return Told(trial, assignment, values, None, ended["outcome"])
    final = ended["metrics"].get(metric)
    return Told(trial, assignment, values, None if final is None else float(final), "finished")
