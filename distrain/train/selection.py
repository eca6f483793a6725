"""Which model was the best so far, and whether it is time to stop: from one metric, in order."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from distrain.config.names import metric_mode


@final
@dataclass
class Selection:
    """Follows one metric over the evaluations.

    Args:
        metric: which one, such as `validation/loss`.
        mode: `min` or `max`.
        patience: evaluations without improvement after which it is enough; None: never.
        min_delta: least change that counts as an improvement for patience.
        best_value: the best value so far; None before the first.
        best_step: when it was reached.
        reference: the value that patience compares with.
        misses: evaluations since the last improvement.
    """

    metric: str = "validation/loss"
    mode: str = "min"
    patience: int | None = None
    min_delta: float = 0.0
    best_value: float | None = None
    best_step: int | None = None
    reference: float | None = None
    misses: int = 0

    @classmethod
    def of(cls, early_stopping: Mapping[str, Any] | None) -> "Selection":
        """Return the selection of a `train.early_stopping` section, or the one without it."""
        if early_stopping is None:
            return cls()
        metric = early_stopping.get("metric", "validation/loss")
        return cls(
            metric=metric,
            mode=early_stopping.get("mode") or metric_mode(metric) or "min",
            patience=early_stopping.get("patience", 5),
            min_delta=early_stopping.get("min_delta", 0.0),
        )

    def observe(self, step: int, values: Mapping[str, float]) -> bool:
        """Take in an evaluation; return whether the model is the best so far.

        Args:
            step: committed steps.
            values: metrics by whole name; a missing or undefined one is no improvement.
        """
        value = values.get(self.metric, math.nan)
        is_best = self._is_better(value, self.best_value, 0.0)
        if is_best:
            self.best_value, self.best_step = value, step
        if self._is_better(value, self.reference, self.min_delta):
            self.reference, self.misses = value, 0
        else:
            self.misses += 1
        return is_best

    @property
    def is_enough(self) -> bool:
        """Return whether the metric has not improved for as long as patience lasts."""
        return self.patience is not None and self.misses >= self.patience

    def _is_better(self, value: float, than: float | None, by: float) -> bool:
        if math.isnan(value):
            return False
        if than is None:
            return True
        return value < than - by if self.mode == "min" else value > than + by
