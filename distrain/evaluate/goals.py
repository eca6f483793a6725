"""Goals: bounds on metrics, stated before training and checked after it."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_FORM = re.compile(r"\s*(>=|<=|>|<|==)\s*(\S+)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclass(frozen=True)
class GoalOutcome:
    """One goal and what came of it.

    Args:
        metric: e.g. `test/accuracy` or `model/num_parameters`.
        goal: the bound as it was written, e.g. `>= 0.85`.
        value: what was reached; None where the metric was not computed.
        is_met: whether the value keeps the bound; a missing or NaN value does not.
    """

    metric: str
    goal: str
    value: float | None
    is_met: bool

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as the `goals` field of `--json` has it."""
        return {"goal": self.goal, "value": self.value, "met": self.is_met}

    @classmethod
    def from_json(cls, metric: str, fields: Mapping[str, Any]) -> "GoalOutcome":
        """Return the outcome of a metric's goal that `to_json` gave."""
        return cls(metric, fields["goal"], fields["value"], fields["met"])


def check_goals(goals: Mapping[str, str], metrics: Mapping[str, float]) -> list[GoalOutcome]:
    """Return the outcome of each goal, in the order they were stated.

    Args:
        goals: metric to bound, validated by the configuration.
        metrics: everything that was measured.
    """
    return [_check(metric, goal, metrics.get(metric)) for metric, goal in goals.items()]


def _check(metric: str, goal: str, value: float | None) -> GoalOutcome:
    form = _FORM.fullmatch(goal)
    assert form is not None, f"goal {goal!r} passed validation"
    compare, bound = _COMPARE[form.group(1)], float(form.group(2))
    is_met = value is not None and not math.isnan(value) and compare(value, bound)
    return GoalOutcome(metric, goal.strip(), value, is_met)
