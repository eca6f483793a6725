"""Early termination: which trials go on, which stop, and why. Pure.

A scheduler's state follows from the calls alone: no clock, no chance. Who makes the calls of an
event log again gets the same verdicts again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, final

from distrain.config.names import Mode
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.tune.halving import Asha, Rule, hyperband, sha
from distrain.tune.median import MedianRule
from distrain.tune.plateau import PlateauRule
from distrain.tune.population import Population, PopulationRule
from distrain.tune.verdicts import TimeAttr, Verdict

__all__ = ["Judge", "OneByOne", "Scheduler", "Verdict", "build_scheduler", "time_attr"]


class Scheduler(Protocol):
    """What decides how long trials run.

    Call order: `num_wanted` whenever a trial could start; of every trial `report` by rising time,
    `saved` once it waits, and `leave` at its end unless a verdict ended it. A value that is
    reported again, by a trial that was taken up from a checkpoint, changes nothing. Times are
    counted from 1.
    """

    def num_wanted(self, num_suggested: int) -> int:
        """Return how many more trials may be suggested now, asked for as one batch; 0: none now.

        Where fewer can be suggested, because the search space is used up, `leave` is called for the
        numbers that do not come: else a rung waits for them.
        """

    def pause_at(self, trial: int) -> int | None:
        """Return the time at which a trial waits, with a checkpoint, for its verdict; None: never.

        It must report at that time.
        """

    def report(self, trial: int, time: int, value: float, *, is_end: bool = False) -> list[Verdict]:
        """Take in a value, which may be nan; return the verdicts that follow, on any trials.

        Of a trial that ends by itself there (`is_end`) nothing is decided any more, whether it
        comes first or last; `leave` follows once it has ended.
        """

    def saved(self, trial: int) -> list[Verdict]:
        """Take in that a trial that waits has saved its state; return the verdicts that follow."""

    def leave(self, trial: int) -> list[Verdict]:
        """Take in that a trial finished or failed; return the verdicts that waited for it alone."""


class Judge(Protocol):
    """A rule that judges a trial by its reports as they come; it hears each time once."""

    def judge(self, trial: int, time: int, value: float) -> Verdict | None:
        """Take in a value; return the verdict on its trial, or None where there is nothing to say.

        A verdict that the trial goes on is for rungs, where a decision was due.
        """

    def forget(self, trial: int) -> None:
        """Drop what is kept of a trial that has ended."""


@final
class OneByOne:
    """A scheduler that wants trials one by one, lets them run on, and asks a judge about each.

    Args:
        num_trials: how many there are.
        judge: who ends them; None: everything runs to its end.
    """

    def __init__(self, num_trials: int, judge: Judge | None = None) -> None:
        self._num_trials = num_trials
        self._judge = judge
        self._last_time: dict[int, int] = {}
        self._ended: set[int] = set()

    def num_wanted(self, num_suggested: int) -> int:
        """Return 1 as long as there are trials to come, so that each is proposed by all before."""
        return 1 if num_suggested < self._num_trials else 0

    def pause_at(self, trial: int) -> int | None:  # noqa: ARG002 the interface's
        """Return None: nobody waits."""
        return None

    def report(self, trial: int, time: int, value: float, *, is_end: bool = False) -> list[Verdict]:
        """Take in a value; return the judge's verdict on its trial, if there is one."""
        is_known = time <= self._last_time.get(trial, 0)
        if self._judge is None or trial in self._ended or is_known:
            return []
        self._last_time[trial] = time
        verdict = self._judge.judge(trial, time, value)
        if verdict is None or is_end:
            return []
        if verdict.action != "go_on":
            self._end(trial)
        return [verdict]

    def saved(self, trial: int) -> list[Verdict]:  # noqa: ARG002 the interface's
        """Return nothing: nobody waits."""
        return []

    def leave(self, trial: int) -> list[Verdict]:
        """Forget a trial; no verdict waits for it."""
        self._end(trial)
        return []

    def _end(self, trial: int) -> None:
        self._ended.add(trial)
        self._last_time.pop(trial, None)
        if self._judge is not None:
            self._judge.forget(trial)


def build_scheduler(settings: Settings, num_trials: int) -> Scheduler:
    """Return the scheduler of `tune.scheduler`.

    Args:
        settings: resolved, with a `tune` section.
        num_trials: how many trials the search has at most.

    Raises:
        ConfigError: the scheduler counts epochs and training steps, or the other way round, so that
            a trial's last time is not known.
    """
    tune = settings.tune
    assert tune is not None, "a search has its section"
    assert tune.mode is not None, "settings are resolved"
    if tune.scheduler.name == "none":
        return OneByOne(num_trials)
    max_time = _max_time(settings, tune.scheduler.time_attr)
    if tune.scheduler.name == "pbt":
        return Population(_population_rule(settings, tune.mode, max_time), num_trials)
    return _BUILDERS[tune.scheduler.name](tune.scheduler, tune.mode, max_time, num_trials)


def time_attr(settings: Settings) -> TimeAttr:
    """Return what a search counts time in: as its scheduler does; without one, as training does.

    Args:
        settings: resolved, with a `tune` section.
    """
    assert settings.tune is not None
    if settings.tune.scheduler.name == "none":
        return "step" if settings.train.epochs is None else "epoch"
    return settings.tune.scheduler.time_attr


# The fields of a scheduler's section are those of its name, so builders take it as Any.


def _sha(section: Any, mode: Mode, max_time: int, num_trials: int) -> Scheduler:
    return sha(_rule(section, mode, max_time), num_trials)


def _hyperband(section: Any, mode: Mode, max_time: int, num_trials: int) -> Scheduler:
    return hyperband(_rule(section, mode, max_time), num_trials)


def _asha(section: Any, mode: Mode, max_time: int, num_trials: int) -> Scheduler:
    return OneByOne(num_trials, Asha(_rule(section, mode, max_time)))


def _population_rule(settings: Settings, mode: Mode, max_time: int) -> PopulationRule:
    section: Any = settings.tune.scheduler if settings.tune else None
    return PopulationRule(
        mode=mode,
        max_time=max_time,
        interval=section.perturbation_interval,
        quantile_fraction=section.quantile_fraction,
        seed=settings.seed,
        time_attr=section.time_attr,
    )


def _rule(section: Any, mode: Mode, max_time: int) -> Rule:
    return Rule(
        mode=mode,
        max_time=max_time,
        grace_period=section.grace_period,
        reduction_factor=section.reduction_factor,
        time_attr=section.time_attr,
    )


def _median(section: Any, mode: Mode, max_time: int, num_trials: int) -> Scheduler:
    rule = MedianRule(
        mode=mode,
        max_time=max_time,
        grace_period=section.grace_period,
        min_samples=section.min_samples,
        time_attr=section.time_attr,
    )
    return OneByOne(num_trials, rule)


def _plateau(section: Any, _mode: Mode, max_time: int, num_trials: int) -> Scheduler:
    rule = PlateauRule(
        max_time=max_time,
        grace_period=section.grace_period,
        window=section.window,
        tolerance=section.tolerance,
        time_attr=section.time_attr,
    )
    return OneByOne(num_trials, rule)


_BUILDERS: Final[Mapping[str, Callable[[Any, Mode, int, int], Scheduler]]] = {
    "sha": _sha,
    "asha": _asha,
    "hyperband": _hyperband,
    "median": _median,
    "plateau": _plateau,
}


def _max_time(settings: Settings, time_attr: TimeAttr) -> int:
    last = settings.train.epochs if time_attr == "epoch" else settings.train.steps
    if last is None:
        other = "step" if time_attr == "epoch" else "epoch"
        raise ConfigError(
            f"the scheduler counts {time_attr}s, and train.{time_attr}s is not given",
            where="tune.scheduler.time_attr",
            expected=f"what training counts, {other}",
            mend=f"Write time_attr: {other}, or train.{time_attr}s in the place of train.{other}s",
        )
    return last
