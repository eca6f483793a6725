"""Where rows are predicted."""

import pytest

from distrain.predict_blocks import BLOCK_ROWS, num_gpu_workers


@pytest.mark.parametrize(
    ("free", "num_rows", "workers"),
    [
        (0, 10**6, 0),
        (0.5, 10**6, 0),
        (4, 10**9, 4),
        (4, 10, 1),
        (8, 2 * BLOCK_ROWS + 1, 3),
    ],
)
def test_each_free_gpu_has_a_worker_where_there_are_blocks_for_it(
    free: float, num_rows: int, workers: int
) -> None:
    assert num_gpu_workers(free, num_rows) == workers
