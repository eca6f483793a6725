"""What a search may spend, and what it has spent."""

import pytest

from distrain.tune.budget import Budget, Spent

SPENT = Spent(epochs=10, gpu_s=7_200.0, wall_s=60.0)


@pytest.mark.parametrize(
    ("budget", "is_used_up"),
    [
        (Budget(), False),
        (Budget(wall_s=60.0), True),
        (Budget(wall_s=60.1), False),
        (Budget(epochs=10), True),
        (Budget(epochs=11), False),
        (Budget(gpu_hours=2.0), True),
        (Budget(gpu_hours=2.1), False),
        (Budget(wall_s=1_000.0, epochs=9, gpu_hours=100.0), True),
    ],
)
def test_one_limit_that_is_reached_is_enough(budget: Budget, is_used_up: bool) -> None:
    assert budget.is_used_up(SPENT) is is_used_up


def test_what_is_spent_adds_up() -> None:
    assert SPENT.plus(epochs=1).plus(gpu_s=0.5, wall_s=2.0) == Spent(11, 7_200.5, 62.0)
