"""By how much a search's winner is ahead of the next, and whether that is the luck of seeds. Pure.

Of several seeds of a setting, one that has fewer missing goes before one with a better mean; so the
winner may be behind another, which is told then.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.tune.confirm import ConfirmResult
from distrain.tune.search import Search
from distrain.tune.setting import mean_of, setting_of
from distrain.tune.trials import Trial
from distrain.tune.verdicts import signed

_QUANTILE: Final = 0.975
"""Of Student's distribution: beyond it, on either side, is one case of twenty."""
_TWO: Final = 2


@final
@dataclass(frozen=True)
class _Setting:
    """A setting that came to its end.

    Attributes:
        first: its first trial.
        mean: over its trials that are whole.
        num_values: how many these are.
        lead: how far the winner is ahead of it; below 0: behind.
    """

    first: int
    mean: float
    num_values: int
    lead: float

    @property
    def link(self) -> str:
        """Return its name, as a link."""
        return f"[trial {self.first}](distrain:trial/{self.first})"


def margin_text(search: Search, confirmed: ConfirmResult | None) -> str:
    """Return how far the winner is ahead, and whether that is more than the luck of a seed.

    Args:
        search: at its end, with a winner.
        confirmed: what the winner came to with other seeds; None: it was not asked for.
    """
    best, num_seeds = search.best, search.plan.num_seeds
    assert best is not None, "there is a winner"
    own = _values_of(search, best.number)
    others = _others(search, best)
    if not others:
        return "no other trial came to its end"
    second = min(others, key=lambda one: (-one.num_values, one.lead, one.first))
    parts = [_lead_text(second, is_as_whole=second.num_values == len(own))]
    if second.lead >= 0:
        spread = confirmed.std if confirmed is not None else None
        values = list(confirmed.values.values()) if confirmed and spread is not None else own
        parts.append(_noise_text(second, values, len(own), len(others) + 1))
    ahead = min(others, key=lambda one: (one.lead, one.first))
    if ahead.lead < 0:
        parts.append(
            f"{ahead.link} has a better mean, {ahead.mean:.6g}, but only {ahead.num_values} of its "
            f"{num_seeds} seeds came to their end with a number"
        )
    return ". ".join(parts)


def _lead_text(second: _Setting, *, is_as_whole: bool) -> str:
    if second.lead:
        where = "ahead of" if second.lead > 0 else "behind"
        return f"{abs(second.lead):.4g} {where} {second.link}, {second.mean:.6g}"
    why = "the lower number wins" if is_as_whole else "fewer of its seeds are missing"
    return f"none: level with {second.link}, and {why}"


def _noise_text(second: _Setting, values: Sequence[float], num_own: int, num_settings: int) -> str:
    """Return whether a lead is more than chance.

    Args:
        second: what it is a lead of.
        values: of one configuration with several seeds, by which a run's noise is known.
        num_own: seeds of the winner.
        num_settings: of how many the winner is the best.
    """
    if len(values) < _TWO:
        return (
            "How much of that is luck of the seed is not known: "
            "`tune.confirm` or `tune.num_seeds` tells"
        )
    from scipy.stats import t

    std = statistics.stdev(values)
    # Of two runs each varies; and a mean over n seeds varies by a root of n less.
    chance = std * math.sqrt(1 / num_own + 1 / second.num_values)
    # A deviation that is known from few values may well be far greater than it looks.
    bound = float(t.ppf(_QUANTILE, len(values) - 1)) * chance
    words = "beyond" if second.lead > bound else "within"
    told = (
        f"This is {words} the noise of seeds: over {len(values)} of them a run varies by "
        f"± {std:.4g}, so that two differ by more than {bound:.4g} in one case of twenty"
    )
    if num_settings == _TWO:
        return told
    return f"{told}; the best of {num_settings:,} is ahead by more, from chance alone"


def _others(search: Search, best: Trial) -> list[_Setting]:
    """Return each other setting that is whole, or some seeds of it are."""
    plan, found = search.plan, []
    for first in range(0, len(search.trials), plan.num_seeds):
        values = _values_of(search, first)
        if values and first != best.number - best.number % plan.num_seeds:
            mean = mean_of(values)
            lead = signed(mean, plan.mode) - signed(search.best_value, plan.mode)
            found.append(_Setting(first, mean, len(values), lead))
    return found


def _values_of(search: Search, number: int) -> list[float]:
    """Return the final values of a setting's whole trials, but for those that are no numbers."""
    plan = search.plan
    trials = setting_of(search.trials, number, plan.num_seeds)
    found = (one.metrics.get(plan.metric, math.nan) for one in trials if one.is_whole)
    return [value for value in found if math.isfinite(value)]
