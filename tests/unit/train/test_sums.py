"""Which sum a run takes, and what it keeps in memory."""

import pytest

from distrain.train.sums import Reduction, machines_of, num_vectors
from distrain.train.world import World


@pytest.mark.parametrize(
    ("num_parts", "num_workers", "reduction", "expected"),
    [
        (1, 1, "exact", 1),
        (4, 1, "exact", 2),
        (8, 1, "exact", 3),
        (64, 1, "exact", 6),
        (64, 8, "exact", 5),
        (6, 3, "exact", 3),
        (5, 2, "exact", 4),
        (64, 1, "fast", 1),
        (64, 8, "fast", 3),
    ],
)
def test_partial_sums_take_about_the_logarithm_of_the_parts(
    num_parts: int, num_workers: int, reduction: Reduction, expected: int
) -> None:
    assert num_vectors(num_parts, num_workers, reduction) == expected


def test_a_worker_alone_is_one_machine() -> None:
    assert machines_of(World.single("cpu")) == [range(1)]
