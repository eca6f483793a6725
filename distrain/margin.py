"""By how much a search's winner leads, and whether that is more than the luck of seeds. Pure.

Of several seeds of a setting, one that has fewer missing goes before one with a better mean; so the
winner may be behind another, which is told then.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.config.names import Mode
from distrain.tune.audit import LEVEL
from distrain.tune.confirm import ConfirmResult
from distrain.tune.search import Search
from distrain.tune.setting import mean_of, setting_of, setting_rank
from distrain.tune.verdicts import signed

_TWO: Final = 2

Named = Callable[[int], str]
"""Returns what a trial is called, by its number: `trial 7`, or a link."""


@final
@dataclass(frozen=True)
class Setting:
    """A setting that came to its end: trials that differ in their seed alone.

    Attributes:
        trial: the first of its trials that is whole.
        values: of its whole trials, one at least; may be nan or infinite.
    """

    trial: int
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean, nan where a value is."""
        return mean_of(self.values)

    @property
    def std(self) -> float | None:
        """Return one run's standard deviation; None: that is not known from so few values."""
        is_known = len(self.values) > 1 and all(map(math.isfinite, self.values))
        return statistics.stdev(self.values) if is_known else None


@final
@dataclass(frozen=True)
class Noise:
    """What seeds alone make of the values of two settings, as it was estimated.

    Attributes:
        std: one run's standard deviation; 0: all values were the same.
        between: the standard deviation of the difference of the two means.
        degrees: of freedom that it was estimated with, at least 1.
        source: what by, in words.
    """

    std: float
    between: float
    degrees: int
    source: str

    @property
    def bound(self) -> float:
        """Return beyond which difference of the two means luck comes in one case of twenty.

        Source: Student, "The probable error of a mean", Biometrika 1908.
        """
        from scipy.stats import t  # a second, that a page without a margin need not wait for

        # A deviation that is known from few values may well be far greater than it looks.
        return float(t.ppf((1 + LEVEL) / 2, self.degrees)) * self.between


@final
@dataclass(frozen=True)
class Margin:
    """By how much the winner leads, and what seeds alone make of such a difference.

    Attributes:
        lead: by how much its mean is better than the next one's; below 0: that one's is better, of
            fewer seeds; nan or infinite: a mean of the two is not finite; None: there is no other
            setting.
        second: the next one; None likewise.
        ahead: the one with the best mean, of those whose mean is better than the winner's; None:
            none is.
        is_as_whole: whether the next one has as many values as the winner.
        num_settings: that came to their end, the winner among them.
        num_seeds: of each setting.
        noise: of the difference; None: it was not measured.
    """

    lead: float | None
    second: Setting | None
    ahead: Setting | None
    is_as_whole: bool
    num_settings: int
    num_seeds: int
    noise: Noise | None

    def text(self, named: Named) -> str:
        """Return it in a few sentences.

        Args:
            named: what a trial is called.
        """
        if self.lead is None or self.second is None:
            return "No other setting came to its end, so there is no margin."
        name = named(self.second.trial)
        if not math.isfinite(self.lead):
            return f"Next comes {name}; one of the two values is not finite, so there is no margin."
        next_one = f"{name}, {self.second.mean:.6g}"
        if self.lead > 0:
            told = f"It leads {next_one}, by {self.lead:.4g}. {self._luck(self.lead)}"
        elif self.lead == 0:
            why = "its number is lower" if self.is_as_whole else "fewer of its seeds are missing"
            told = f"It is level with {next_one}, and won as {why}. {self._luck(self.lead)}"
        else:
            told = f"It is behind {next_one}, by {-self.lead:.4g}{self._but(self.second)}"
        if self.ahead is None or self.ahead == self.second:
            return told
        other = f"{named(self.ahead.trial)} has a better mean, {self.ahead.mean:.6g}"
        return f"{told} But {other}{self._but(self.ahead)}"

    def _but(self, other: Setting) -> str:
        """Return why another did not win though its mean is better."""
        return (
            f"; only {len(other.values)} of the {self.num_seeds} seeds of that came to their end."
        )

    def _luck(self, lead: float) -> str:
        """Return how much of a lead may be luck."""
        noise = self.noise
        if noise is None:
            return (
                "How much of that is luck of the seed is not known: tune.confirm or tune.num_seeds "
                "tells."
            )
        if not noise.std:
            return f"Over {noise.source} all values are the same."
        bound = noise.bound
        words = "beyond" if lead > bound else "within"
        told = (
            f"This is {words} the noise of seeds: over {noise.source} a run varies by "
            f"± {noise.std:.4g}, so that two settings that are as good differ by more than "
            f"{bound:.4g} in one case of twenty."
        )
        if self.num_settings == _TWO:
            return told
        return f"{told} The best of {self.num_settings:,} leads by luck more often than one of two."


def margin(
    settings: Sequence[Setting], mode: Mode, num_seeds: int, confirmed: ConfirmResult | None
) -> Margin:
    """Return the winner's margin.

    Args:
        settings: those that came to their end, the best first; at least one.
        mode: whether less or more is better.
        num_seeds: of each setting.
        confirmed: what the winner came to with other seeds; None: it was not asked for.
    """
    if len(settings) < _TWO:
        return Margin(None, None, None, False, len(settings), num_seeds, None)
    best, second = settings[:_TWO]

    def lead(other: Setting) -> float:
        return signed(other.mean, mode) - signed(best.mean, mode)

    ahead = min(settings[1:], key=lambda one: (math.isnan(lead(one)), lead(one)))
    return Margin(
        lead(second),
        second,
        ahead if lead(ahead) < 0 else None,
        len(second.values) == len(best.values),
        len(settings),
        num_seeds,
        _noise(settings, num_seeds, confirmed),
    )


def _noise(
    settings: Sequence[Setting], num_seeds: int, confirmed: ConfirmResult | None
) -> Noise | None:
    """Return what seeds alone make of the difference of the first two settings' means."""
    # Of two runs each varies; and a mean over n seeds varies by a root of n less.
    of_both = math.sqrt(sum(1 / len(one.values) for one in settings[:_TWO]))
    if confirmed is not None and confirmed.std is not None:
        count = len(confirmed.values)
        source = f"{count:,} other seeds of the winner's setting"
        return Noise(confirmed.std, confirmed.std * of_both, count - 1, source)
    spreads = [(std, len(one.values) - 1) for one in settings if (std := one.std) is not None]
    if not spreads:
        return None
    degrees = sum(free for _, free in spreads)
    pooled = math.sqrt(math.fsum(free * std**2 for std, free in spreads) / degrees)
    several = "1 setting" if len(spreads) == 1 else f"{len(spreads):,} settings"
    fewest = min(free for _, free in spreads) + 1
    seeds = f"{num_seeds}" if fewest == num_seeds else f"{fewest} to {num_seeds}"
    return Noise(pooled, pooled * of_both, degrees, f"{several} with {seeds} seeds each")


def settings_of(search: Search) -> list[Setting]:
    """Return the settings of a search that came to their end, the best first."""
    plan = search.plan
    starts = range(0, len(search.trials), plan.num_seeds)
    groups = [setting_of(search.trials, first, plan.num_seeds) for first in starts]
    ended = [
        group
        for group in groups
        if all(trial.has_ended for trial in group) and any(trial.is_whole for trial in group)
    ]
    ended.sort(key=lambda group: setting_rank(group, plan.metric, plan.mode, plan.num_seeds)[0])
    wholes = [[trial for trial in group if trial.is_whole] for group in ended]
    return [
        Setting(whole[0].number, tuple(t.metrics.get(plan.metric, math.nan) for t in whole))
        for whole in wholes
    ]
