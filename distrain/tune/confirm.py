"""The winner's configuration with other seeds: how much of its value is luck. Pure.

The winner's own value is the best of many, so it is too good on average; those of other seeds were
not chosen. They alone make up the mean. The registered model remains the winner's own.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

MAX_SEED: Final = 2**63


@final
@dataclass(frozen=True)
class ConfirmResult:
    """What the winner's configuration came to with other seeds.

    Attributes:
        trial: the winner's number.
        metric: what was searched for.
        values: seed to the value of its final model.
        num_failed: runs that came to none.
        epochs: what they cost.
    """

    trial: int
    metric: str
    values: Mapping[int, float]
    num_failed: int
    epochs: int

    @property
    def mean(self) -> float | None:
        """The mean over the other seeds; None: there are none."""
        return math.fsum(self.values.values()) / len(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """The standard deviation of one run, from n - 1; None for fewer than two, and for nan."""
        found = list(self.values.values())
        is_known = len(found) > 1 and all(map(math.isfinite, found))
        return statistics.stdev(found) if is_known else None

    @property
    def metrics(self) -> dict[str, float]:
        """Return the figures as metrics of the search's run."""
        named = {**self._figures, "num_seeds": len(self.values), "epochs": self.epochs}
        return {f"confirm/{name}": float(v) for name, v in named.items() if v is not None}

    @property
    def text(self) -> str:
        """Return it in one line."""
        if self.mean is None:
            return f"none of {self.num_failed} runs with other seeds came to its end"
        seeds = "1 other seed" if len(self.values) == 1 else f"{len(self.values)} other seeds"
        std = f" ± {self.std:.4g}" if self.std is not None else ""
        low, high = min(self.values.values()), max(self.values.values())
        failed = f", {self.num_failed} failed" if self.num_failed else ""
        return f"{self.metric} {self.mean:.6g}{std} with {seeds} ({low:.6g} to {high:.6g}){failed}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "trial": self.trial,
            "metric": self.metric,
            "seeds": list(self.values),
            "values": list(self.values.values()),
            "num_failed": self.num_failed,
            **self._figures,
            "epochs": self.epochs,
        }

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> "ConfirmResult":
        """Return what `to_json` gave; null stands for a value that is not a number."""
        found = (math.nan if value is None else value for value in fields["values"])
        values = dict(zip(fields["seeds"], found, strict=True))
        return cls(
            fields["trial"], fields["metric"], values, fields["num_failed"], fields["epochs"]
        )

    @property
    def _figures(self) -> dict[str, float | None]:
        found = self.values.values()
        return {
            "mean": self.mean,
            "std": self.std,
            "min": min(found, default=None),
            "max": max(found, default=None),
        }


def other_seeds(first: int, count: int) -> list[int]:
    """Return seeds from one on, beginning again at 0 behind the greatest."""
    return [(first + place) % MAX_SEED for place in range(count)]
