"""By how much a search's winner leads, and whether that is more than seeds alone make. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from distrain.report.search.facts import Search
from distrain.report.search.standings import Entry
from distrain.tune.audit import LEVEL
from distrain.tune.verdicts import signed


@final
@dataclass(frozen=True)
class Noise:
    """What seeds alone make of the difference of two settings' values, as it was estimated.

    Attributes:
        std: the difference's standard deviation; 0: all values were the same.
        degrees: of freedom that it was estimated with, at least 1.
        source: what by, in words.
    """

    std: float
    degrees: int
    source: str

    @property
    def beyond(self) -> float:
        """Return beyond how many standard deviations a difference of two settings is clear.

        Source: Student, "The probable error of a mean", Biometrika 1908.
        """
        from scipy.stats import t  # a second, that a page without a margin need not wait for

        return float(t.ppf((1 + LEVEL) / 2, self.degrees))


@final
@dataclass(frozen=True)
class Margin:
    """By how much the winner leads, and what seeds alone make of such a difference.

    Attributes:
        lead: by how much its value is better than the next one's; below 0: that one's is better,
            of fewer seeds; nan or infinite: a value of the two is not finite; None: there is no
            other whole setting.
        runner_up: the next one's first whole trial; None likewise.
        num_settings: that came to their end, the winner among them.
        noise: of the difference; None: it was not measured.
    """

    lead: float | None
    runner_up: int | None
    num_settings: int
    noise: Noise | None

    @property
    def text(self) -> str:
        """Return it in a few sentences."""
        if self.lead is None:
            return "No other setting came to its end, so there is no margin."
        if not math.isfinite(self.lead):
            return (
                f"Trial {self.runner_up} comes next; one of the two values is not finite, so there "
                "is no margin."
            )
        if self.lead < 0:
            return (
                f"Trial {self.runner_up} comes next: its mean is better by {-self.lead:.3g}, but "
                "seeds of it did not come to their end."
            )
        if self.lead == 0:
            return f"It is level with trial {self.runner_up}, which comes next."
        return f"It leads trial {self.runner_up} by {self.lead:.3g}. {self._luck(self.lead)}"

    def _luck(self, lead: float) -> str:
        """Return how much of a lead may be luck."""
        noise = self.noise
        if noise is None:
            return (
                "How much of that is luck is not known: tune.confirm or tune.num_seeds would tell."
            )
        told = f"By seeds alone such a difference varies by about ± {noise.std:.3g} ({noise.source}"
        if not noise.std:
            return f"{told})."
        ratio, beyond = lead / noise.std, noise.beyond
        verdict = (
            "which is more than luck makes between two settings"
            if ratio >= beyond
            else "so the other may well be as good"
        )
        chosen = (
            f" It was chosen as the best of {self.num_settings:,}, and the best of many leads by "
            "luck more often than one of two."
            if self.num_settings > 2
            else ""
        )
        return (
            f"{told}). The lead is {ratio:.2g} times that, {verdict}: about {beyond:.2g} times are "
            f"exceeded in one case of twenty.{chosen}"
        )


def margin(search: Search, entries: Sequence[Entry]) -> Margin:
    """Return the winner's margin.

    Args:
        search: the search.
        entries: its leaderboard, with a winner.
    """
    whole = [entry for entry in entries if entry.can_win]
    if len(whole) < 2:
        return Margin(None, None, len(whole), None)
    first, second = whole[:2]
    lead = signed(second.score, search.mode) - signed(first.score, search.mode)
    return Margin(lead, second.first.number, len(whole), _noise(search, whole))


def _noise(search: Search, whole: Sequence[Entry]) -> Noise | None:
    """Return what seeds alone make of the difference of the first two settings' values."""
    of_both = math.sqrt(sum(1 / entry.num_whole for entry in whole[:2]))
    confirmed = search.confirmed(whole[0].first.number)
    if confirmed is not None and confirmed.std is not None:
        count = len(confirmed.values)
        told = f"the winner's settings with {count} other seeds"
        return Noise(confirmed.std * of_both, count - 1, told)
    spreads = [(entry.std, entry.num_whole - 1) for entry in whole if entry.std is not None]
    if not spreads:
        return None
    degrees = sum(free for _, free in spreads)
    pooled = math.sqrt(math.fsum(free * std**2 for std, free in spreads) / degrees)
    told = f"{len(spreads):,} settings with {search.tune.num_seeds} seeds each"
    return Noise(pooled * of_both, degrees, told)
