"""A command's share of a cluster."""

import pytest

from distrain.errors import ConfigError
from distrain.train.bounds import ANY_NUMBER, Bounds


@pytest.mark.parametrize(
    ("bounds", "cpu", "gpu", "count"),
    [
        (Bounds(), 1.0, 0.0, ANY_NUMBER),
        (Bounds(cpus=4), 1.0, 0.0, 4),
        (Bounds(cpus=4.5), 2.0, 0.0, 2),
        (Bounds(cpus=0.3), 0.1, 0.0, 3),
        (Bounds(cpus=8, gpus=2), 1.0, 1.0, 2),
        (Bounds(cpus=8, gpus=0.5), 1.0, 0.25, 2),
        (Bounds(gpus=2), 1.0, 0.0, ANY_NUMBER),
    ],
)
def test_a_share_has_room_for_whole_workers(
    bounds: Bounds, cpu: float, gpu: float, count: int
) -> None:
    assert bounds.num_workers(cpu, gpu) == count


@pytest.mark.parametrize(
    ("bounds", "where", "mend"),
    [
        (Bounds(cpus=0.5), "cluster.max_cpus", "lower train.resources_per_worker.cpu"),
        (Bounds(cpus=4, gpus=0.5), "cluster.max_gpus", "lower train.resources_per_worker.gpu"),
    ],
)
def test_a_share_below_one_worker_is_refused(bounds: Bounds, where: str, mend: str) -> None:
    with pytest.raises(ConfigError, match="no room for one worker, which takes 1") as caught:
        bounds.check_one(1.0, 1.0)

    assert caught.value.where == where
    assert mend in caught.value.mend


def test_only_the_bounds_that_hold_are_named() -> None:
    assert Bounds(4, 2).text(1.0, 1.0) == "cluster.max_cpus = 4 and cluster.max_gpus = 2"
    assert Bounds(4, 2).text(1.0, 0.0) == "cluster.max_cpus = 4"
