"""How often the scheduler stops a trial that would have won: figures from those it did not stop.

A stop is wrong where the trial, run on to its end, is better than the search's winner. Of some
stops, drawn by chance, it is known; the share of all of them is estimated with the exact binomial
interval of Clopper and Pearson (1934), which promises its level for any share and any number.
Regret is by how much the winner is behind, 0 for a stop that was right: its mean over audited stops
with a percentile bootstrap. Of the greatest there is no interval: the bootstrap fails for extremes.

An audited trial does not win. It was let run on by chance, not by its merit: were it to win, the
search would come to more or to less with another draw, and its result would no longer be what the
scheduler's rule gives. It is named, so that `tune.start_from` can take it up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, final

from distrain.config.names import Mode

LEVEL: Final = 0.95
_NUM_DRAWN: Final = 9_999


@final
@dataclass(frozen=True)
class AuditResult:
    """What the audit of a search's stops came to.

    Attributes:
        num_stopped: stops that could have been audited.
        num_audited: those that were, and came to a value.
        num_failed: those that failed on their way.
        num_wrong: audited trials that came out better than the winner.
        wrong_fraction: share of the audited; None: there are none.
        wrong_interval: where the share of all stops lies, at the level of 95 %.
        regret: mean of what the winner is behind, in the metric's unit; 0 for a right stop.
        regret_interval: of it; None for fewer than two, and where one is infinite.
        best: the number of the best audited trial, and its value; None: there is none.
        epochs: what the audit cost.
    """

    num_stopped: int
    num_audited: int
    num_failed: int
    num_wrong: int
    wrong_fraction: float | None
    wrong_interval: tuple[float, float] | None
    regret: float | None
    regret_interval: tuple[float, float] | None
    best: tuple[int, float] | None
    epochs: int

    @property
    def metrics(self) -> dict[str, float]:
        """Return the figures as metrics of the search's run."""
        low, high = self.wrong_interval or (None, None)
        least, most = self.regret_interval or (None, None)
        named = {
            "num_stopped": self.num_stopped,
            "num_audited": self.num_audited,
            "num_wrong": self.num_wrong,
            "wrong_fraction": self.wrong_fraction,
            "wrong_fraction_low": low,
            "wrong_fraction_high": high,
            "regret": self.regret,
            "regret_low": least,
            "regret_high": most,
            "epochs": self.epochs,
        }
        return {f"audit/{name}": float(v) for name, v in named.items() if v is not None}

    @property
    def text(self) -> str:
        """Return it in one or two sentences."""
        if self.wrong_fraction is None or self.wrong_interval is None:
            return f"none of {self.num_stopped:,} stopped trials was audited to its end"
        low, high = (f"{100 * share:.3g}" for share in self.wrong_interval)
        told = (
            f"{self.num_wrong} of {self.num_audited} audited stops wrong, so {low} to {high} % of "
            f"all {self.num_stopped:,} (95 %); regret {self.regret:.4g}"
        )
        if self.regret_interval is not None:
            told += f" ({self.regret_interval[0]:.4g} to {self.regret_interval[1]:.4g})"
        if self.num_wrong and self.best is not None:
            told += f"; trial {self.best[0]} came to {self.best[1]:.6g}"
        return f"{told}; {self.epochs:,} epochs"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        best = self.best and {"trial": self.best[0], "value": self.best[1]}
        intervals = {
            name: list(interval) if interval else None
            for name in ("wrong_interval", "regret_interval")
            for interval in (getattr(self, name),)
        }
        return {**asdict(self), **intervals, "best": best}

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> "AuditResult":
        """Return what `to_json` gave; null stands for a figure that is not a number."""
        best, num_audited = fields["best"], fields["num_audited"]
        own = {
            "wrong_interval": _pair(fields["wrong_interval"]),
            "regret": _number(fields["regret"]) if num_audited else None,
            "regret_interval": _pair(fields["regret_interval"]),
            "best": None if best is None else (best["trial"], _number(best["value"])),
        }
        return cls(**{**fields, **own})


def judge_stops(
    winner: float,
    finals: Mapping[int, float | None],
    mode: Mode,
    *,
    num_stopped: int,
    epochs: int,
) -> AuditResult:
    """Return what audited trials tell of all stops.

    Args:
        winner: the winner's value.
        finals: audited trial to the value that it came to in the end, nan where that is none;
            None: it failed.
        mode: whether less or more is better.
        num_stopped: stops that could have been audited.
        epochs: of the audited trials after their stops.
    """
    values = {trial: value for trial, value in finals.items() if value is not None}
    sign = 1.0 if mode == "max" else -1.0
    gains = [_gain(sign * value, sign * winner) for value in values.values()]
    num_wrong = sum(gain > 0 for gain in gains)
    real = [trial for trial, value in values.items() if not math.isnan(value)]
    best = max(real, key=lambda trial: (sign * values[trial], -trial), default=None)
    return AuditResult(
        num_stopped=num_stopped,
        num_audited=len(values),
        num_failed=len(finals) - len(values),
        num_wrong=num_wrong,
        wrong_fraction=num_wrong / len(gains) if gains else None,
        wrong_interval=share_interval(num_wrong, len(gains)) if gains else None,
        regret=math.fsum(gains) / len(gains) if gains else None,
        regret_interval=_mean_interval(gains),
        best=None if best is None else (best, values[best]),
        epochs=epochs,
    )


def is_better(value: float, than: float, mode: Mode) -> bool:
    """Return whether an audited trial's value beats the winner's: whether its stop was wrong."""
    sign = 1.0 if mode == "max" else -1.0
    return _gain(sign * value, sign * than) > 0


def _gain(value: float, winner: float) -> float:
    """Return by how much a value is better than the winner's, 0 where it is not."""
    return 0.0 if math.isnan(value) or not value > winner else value - winner


def share_interval(count: int, total: int) -> tuple[float, float]:
    """Return where a share lies of which some were counted: exact, at the level of 95 %.

    Args:
        count: how many there were.
        total: of how many, at least 1.
    """
    from scipy.stats import binomtest

    found = binomtest(count, total).proportion_ci(LEVEL, method="exact")
    return float(found.low), float(found.high)


def _mean_interval(values: list[float]) -> tuple[float, float] | None:
    """Return the percentile bootstrap's interval of a mean, always the same for the same values."""
    import numpy as np
    from scipy.stats import bootstrap

    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    if len(set(values)) == 1:  # nothing varies, which scipy warns of
        return values[0], values[0]
    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=_NUM_DRAWN,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def _pair(values: Sequence[float | None] | None) -> tuple[float, float] | None:
    return None if values is None else (_number(values[0]), _number(values[1]))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
