"""How a trial that takes over from another searches on: with settings that are near, or new. Pure.

Source: Jaderberg et al. 2017: a number is multiplied by 0.8 or 1.2, or drawn anew.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, final

from distrain.config.course import current_values, with_change
from distrain.config.domains import Domain, Interval, Listed, LogWhole, Normal, Stepped, key_of
from distrain.config.settings import Settings
from distrain.config.tune import PbtScheduler
from distrain.tune.space import Space
from distrain.tune.told import seed_for
from distrain.tune.verdicts import Verdict

FACTORS: Final = (0.8, 1.2)
SHIFT: Final = 0.1
"""What 0, which no factor moves, is moved by: so much of the range."""
MAX_TRIED: Final = 20


@final
class Explorer:
    """Changes the settings of trials that take over from others.

    Args:
        space: what varies; each parameter in every trial.
        written: the configuration's own value of each parameter.
        seed: the search's.
        resample_probability: chance that a parameter is drawn anew.
    """

    def __init__(
        self, space: Space, written: Mapping[str, Any], seed: int, resample_probability: float
    ) -> None:
        self._space = space
        self._written = written
        self._seed = seed
        self._resample_probability = resample_probability

    def taken_over(self, verdict: Verdict, assignment: Mapping[str, Any], step: int) -> Verdict:
        """Return a verdict that says what its trial goes on with.

        Args:
            verdict: that a trial takes over from another.
            assignment: that one's.
            step: committed steps of the state that is taken over.
        """
        assert verdict.rung is not None
        now = {**self._written, **current_values(assignment)}
        moved = self._explored(now, verdict.trial, verdict.rung)
        changed = {key: value for key, value in moved.items() if key_of(value) != key_of(now[key])}
        told = ", ".join(f"{key} {_text(now[key])} -> {_text(changed[key])}" for key in changed)
        text = f"{verdict.text.removesuffix('.')}, at step {step}, with {told or 'its settings'}."
        return replace(verdict, assignment=with_change(assignment, step, changed), text=text)

    def _explored(self, now: Mapping[str, Any], trial: int, rung: int) -> Mapping[str, Any]:
        """Return other values of all parameters; the same, where none is found that is allowed."""
        chance = random.Random(seed_for(self._seed, trial, f"explore-{rung}"))
        for _ in range(MAX_TRIED):
            candidate = {
                parameter.path: self._moved(parameter.domain, now[parameter.path], chance)
                for parameter in self._space.parameters
            }
            if self._space.allows(candidate):
                return candidate
        return now

    def _moved(self, domain: Domain, value: Any, chance: random.Random) -> Any:
        if chance.random() < self._resample_probability:
            return domain.value_at(chance.random())
        return neighbour(domain, value, chance)


def build_explorer(settings: Settings, space: Space) -> Explorer | None:
    """Return what gives a population's trials their settings; None: the search is of another kind.

    Args:
        settings: of the search, resolved.
        space: its space.
    """
    scheduler = settings.tune.scheduler if settings.tune else None
    if not isinstance(scheduler, PbtScheduler):
        return None
    written = space.as_written(settings)
    return Explorer(space, written, settings.seed, scheduler.resample_probability)


def neighbour(domain: Domain, value: Any, chance: random.Random) -> Any:
    """Return a value of a domain near another: of numbers 0.8 or 1.2 times it, else the next.

    Of a value that is no number, and is not among those that are listed, any value is near.

    Args:
        domain: where it is looked for.
        value: of the parameter; it may lie outside, as that of the first trial may.
        chance: which of the two.
    """
    direction = chance.choice((-1, 1))
    if isinstance(domain, Listed):
        position = domain.position_of(value)
        if position is None:
            return domain.value_at(chance.random())
        return _beside(domain, int(position * domain.num_values), direction)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return domain.value_at(chance.random())
    target = value * FACTORS[direction > 0]
    if isinstance(domain, Interval):
        if value == 0:
            target = direction * SHIFT * (domain.high - domain.low)
        return float(min(max(target, domain.low), domain.high))
    if isinstance(domain, Stepped):
        before, after = (round((one - domain.low) / domain.step) for one in (value, target))
        index = after if after != before else before + direction
        index = min(max(index, 0), domain.num_values - 1)
        return domain.value_at((index + 0.5) / domain.num_values)
    if isinstance(domain, LogWhole):
        whole = round(target)
        whole = whole if whole != value else whole + direction
        return min(max(whole, domain.low), domain.high - 1)
    assert isinstance(domain, Normal)
    return float(target) if value else direction * SHIFT * domain.sd


def _beside(domain: Listed, index: int, direction: int) -> Any:
    there = index + direction
    if not 0 <= there < domain.num_values:
        there = index - direction
    return domain.values[there] if 0 <= there < domain.num_values else domain.values[index]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else key_of(value)
