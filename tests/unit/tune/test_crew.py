"""The workers of a trial that has several: their ranks."""

from collections.abc import Sequence

import pytest

from distrain.tune.crew import ranks_by_node


@pytest.mark.parametrize(
    ("nodes", "ranks"),
    [
        (["a", "a", "a"], [(0, 0, 0), (1, 1, 0), (2, 2, 0)]),
        (["a", "b", "a", "b"], [(0, 0, 0), (2, 1, 0), (1, 0, 1), (3, 1, 1)]),
        (["b", "a", "c"], [(0, 0, 0), (1, 0, 1), (2, 0, 2)]),
    ],
)
def test_workers_of_a_node_are_neighbours_and_the_slot_is_rank_zero(
    nodes: Sequence[str], ranks: list[tuple[int, int, int]]
) -> None:
    assert ranks_by_node(nodes) == ranks
