import math

import pytest

from distrain.evaluate.goals import check_goals


@pytest.mark.parametrize(
    ("goal", "value", "is_met"),
    [
        (">= 0.85", 0.85, True),
        ("> 0.85", 0.85, False),
        ("<= 1e6", 999_999.0, True),
        ("<1e6", 1e6, False),
        (" == 3 ", 3.0, True),
        (">= 0.85", math.nan, False),
        (">= 0.85", None, False),
    ],
)
def test_a_goal_is_met_exactly_where_its_bound_holds(
    goal: str, value: float | None, is_met: bool
) -> None:
    metrics = {} if value is None else {"test/accuracy": value}

    [outcome] = check_goals({"test/accuracy": goal}, metrics)

    assert outcome.is_met is is_met
