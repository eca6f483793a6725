"""How many workers a run has, and how many trials of how many workers a search has at a time."""

from collections.abc import Callable
from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.train import TrainSettings
from distrain.errors import ConfigError
from distrain.train import placement
from distrain.train.bounds import Bounds
from distrain.train.growth import Growth, NodeType
from distrain.train.placement import (
    Placement,
    asked_placement,
    cluster_placement,
    local_placement,
    room,
    search_placement,
)


def test_auto_takes_the_cores_but_no_more_than_logical_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement, "num_cores", lambda: 64)

    placed = local_placement(TrainSettings(logical_shards=4), num_gpus=0)

    assert (placed.num_workers, placed.gpu, placed.local_cpus) == (4, 0.0, 5)


def test_auto_takes_every_gpu_where_there_are_some() -> None:
    placed = local_placement(TrainSettings(logical_shards=8), num_gpus=2)

    assert (placed.num_workers, placed.gpu) == (2, 1.0)


def test_three_workers_are_placed_on_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "num_cores", lambda: 2)

    assert local_placement(TrainSettings(num_workers=3), num_gpus=0).local_cpus == 4


def test_more_than_sixteen_local_workers_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"17 workers .* do not fit on a local Ray, which takes 16"
    ):
        local_placement(TrainSettings(num_workers=17, logical_shards=32), num_gpus=0)


def test_workers_that_a_cluster_can_never_place_are_refused() -> None:
    nodes = [{"CPU": 4.0}, {"CPU": 3.0}]
    settings = TrainSettings.model_validate({"num_workers": 4, "resources_per_worker": {"cpu": 2}})

    with pytest.raises(ConfigError, match=r"4 workers with 2 CPU each .* whose 2 nodes take 3"):
        cluster_placement(settings, nodes)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    settings = TrainSettings.model_validate({"resources_per_worker": {"gpu": 1}})

    with pytest.raises(ConfigError, match="this machine has 0"):
        local_placement(settings, num_gpus=0)


def test_auto_on_a_cluster_counts_whole_workers_per_node() -> None:
    settings = TrainSettings.model_validate({"resources_per_worker": {"cpu": 3}})

    assert cluster_placement(settings, [{"CPU": 4.0}, {"CPU": 7.0}]).num_workers == 3


def test_a_cluster_s_hosts_are_counted_by_their_addresses() -> None:
    head = {"CPU": 4.0, "node:192.0.2.1": 1.0, "node:__internal_head__": 1.0}
    beside = {"CPU": 4.0, "node:192.0.2.1": 1.0}
    elsewhere = {"CPU": 4.0, "node:192.0.2.2": 1.0}

    assert cluster_placement(TrainSettings(), [head, beside]).num_hosts == 1
    assert cluster_placement(TrainSettings(), [head, beside, elsewhere]).num_hosts == 2


@pytest.mark.parametrize(
    ("gpu", "num_gpus", "count"),
    [(0.6, 2, 2), (0.5, 2, 4), (0.3, 2, 6), (1, 2, 2), (2, 5, 2), (0.1, 1, 10)],
)
def test_a_worker_has_its_part_of_one_gpu(gpu: float, num_gpus: int, count: int) -> None:
    settings = TrainSettings.model_validate(
        {"resources_per_worker": {"gpu": gpu}, "logical_shards": 16}
    )

    assert local_placement(settings, num_gpus=num_gpus).num_workers == count
    nodes = [{"CPU": 16.0, "GPU": float(num_gpus)}]
    assert cluster_placement(settings, nodes).num_workers == count


def test_what_is_left_of_a_gpu_has_room_for_another_worker() -> None:
    free = [{"CPU": 4.0, "GPU": 1.4}, {"CPU": 4.0, "GPU": 0.3}]

    assert room(Placement(8, 1.0, 0.4), free) == 3


ELASTIC = TrainSettings.model_validate({"num_workers": {"min": 2, "max": 4}, "logical_shards": 8})


@pytest.mark.parametrize(("cores", "count"), [(1, 2), (3, 3), (64, 4)])
def test_an_elastic_run_on_a_local_ray_has_as_many_workers_as_fit(
    cores: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "num_cores", lambda: cores)

    placed = local_placement(ELASTIC, num_gpus=0)

    assert (placed.num_workers, placed.min_workers) == (count, count)


def test_an_elastic_run_on_a_cluster_may_grow_beyond_what_is_there() -> None:
    placed = cluster_placement(ELASTIC, [{"CPU": 2.0}])

    assert (placed.min_workers, placed.num_workers) == (2, 4)
    assert placed.workers_text == "2 to 4 workers"


def test_an_elastic_run_that_a_cluster_has_no_room_for_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"2 workers with 1 CPU each .* whose 1 nodes take 1"):
        cluster_placement(ELASTIC, [{"CPU": 1.0}])


@pytest.mark.parametrize(
    ("gpu", "backend"), [(0, "gloo"), (0.5, "gloo"), (1, "nccl"), (2, "nccl"), ("auto", "nccl")]
)
def test_nccl_is_for_workers_that_share_no_gpu(gpu: float | str, backend: str) -> None:
    settings = TrainSettings.model_validate({"resources_per_worker": {"gpu": gpu}})

    assert local_placement(settings, num_gpus=2).collective_backend == backend


def search(per_trial: int, *, at_once: int | str = "auto", trials: int = 20, **train: Any) -> Any:
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "train": {"logical_shards": 16, "global_batch_size": 64, **train},
            "tune": {
                "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
                "num_trials": trials,
                "max_concurrent": at_once,
                "workers_per_trial": per_trial,
            },
        }
    )


def on_cluster(nodes: list[dict[str, float]]) -> Callable[[TrainSettings], Placement]:
    return lambda train: cluster_placement(train, nodes)


@pytest.mark.parametrize(
    ("per_trial", "cpus", "groups"),
    [(1, [4, 3], 7), (2, [4, 3], 3), (3, [2, 2, 2], 2), (4, [4, 3], 1), (7, [4, 3], 1)],
)
def test_as_many_trials_run_as_the_cluster_holds_whole_groups_of(
    per_trial: int, cpus: list[int], groups: int
) -> None:
    nodes = [{"CPU": float(count)} for count in cpus]

    placed = search_placement(search(per_trial), on_cluster(nodes))

    assert (placed.num_groups, placed.group_size) == (groups, per_trial)
    assert placed.num_workers == groups * per_trial


def test_workers_of_a_group_may_have_parts_of_gpus() -> None:
    settings = search(2, resources_per_worker={"cpu": 0.5, "gpu": 0.25})

    placed = search_placement(settings, on_cluster([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}]))

    assert placed.num_groups == 2
    assert placed.group_text == "2 workers with 0.5 CPU and 0.25 GPU each"


def test_a_trial_that_does_not_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(ConfigError) as raised:
        search_placement(search(4), on_cluster([{"CPU": 2.0}, {"CPU": 1.0}]))

    assert raised.value.where == "tune.workers_per_trial"
    assert raised.value.message == (
        "a trial of 4 workers with 1 CPU each does not fit on the cluster, whose 2 nodes take 3"
    )
    assert raised.value.exit_code == 2


def test_more_trials_at_once_than_fit_are_refused_with_the_numbers() -> None:
    with pytest.raises(ConfigError) as raised:
        search_placement(search(2, at_once=3), on_cluster([{"CPU": 5.0}]))

    assert raised.value.where == "tune.max_concurrent"
    assert raised.value.message == (
        "3 trials of 2 workers with 1 CPU each do not fit on the cluster, whose 1 nodes take 5"
    )


def test_one_worker_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="a trial with 8 CPU does not fit on the cluster"):
        search_placement(
            search(1, resources_per_worker={"cpu": 8}), on_cluster([{"CPU": 4.0}, {"CPU": 4.0}])
        )


def test_a_local_ray_has_room_for_one_group_beyond_its_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement, "num_cores", lambda: 2)

    placed = search_placement(search(3), lambda train: local_placement(train, num_gpus=0))

    assert (placed.num_groups, placed.num_workers, placed.local_cpus) == (1, 3, 4)


def test_no_more_trials_have_room_than_there_are() -> None:
    placed = search_placement(search(2, trials=3), on_cluster([{"CPU": 64.0}]))

    assert (placed.num_groups, placed.num_workers) == (3, 6)


def test_how_many_trials_a_cluster_takes_is_open_until_it_is_looked_at() -> None:
    assert not search_placement(search(2), asked_placement).is_bounded
    assert search_placement(search(2, at_once=3), asked_placement).num_groups == 3


def test_auto_and_a_maximum_shrink_to_the_share() -> None:
    nodes, share = [{"CPU": 8.0}, {"CPU": 8.0}], Bounds(cpus=3)

    assert cluster_placement(TrainSettings(), nodes, share).num_workers == 3
    elastic = cluster_placement(
        TrainSettings.model_validate({"num_workers": {"min": 2, "max": 4}}), nodes, share
    )
    assert (elastic.min_workers, elastic.num_workers) == (2, 3)


@pytest.mark.parametrize("count", [4, {"min": 4, "max": 4}])
def test_workers_beyond_the_share_are_refused_by_both_keys(count: Any) -> None:
    train = TrainSettings.model_validate({"num_workers": count})

    for place in (
        lambda: asked_placement(train, Bounds(cpus=3)),
        lambda: local_placement(train, num_gpus=0, bounds=Bounds(cpus=3)),
        lambda: cluster_placement(train, [{"CPU": 64.0}], Bounds(cpus=3)),
    ):
        with pytest.raises(
            ConfigError, match=r"in the share of cluster.max_cpus = 3, which"
        ) as told:
            place()
        assert told.value.where == "train.num_workers"
        assert "raise that share" in told.value.mend


def test_a_share_of_gpus_below_one_worker_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.5 GPU has no room") as told:
        cluster_placement(TrainSettings(), [{"CPU": 8.0, "GPU": 2.0}], Bounds(gpus=0.5))

    assert told.value.where == "cluster.max_gpus"


def test_a_search_takes_its_share_in_all() -> None:
    nodes = [{"CPU": 8.0}, {"CPU": 8.0}]

    def placed(at_once: int | str) -> Placement:
        return search_placement(
            search(2, at_once=at_once),
            lambda train: cluster_placement(train, nodes, Bounds(cpus=7)),
        )

    assert placed("auto").num_groups == 3
    assert placed(3).num_groups == 3
    with pytest.raises(
        ConfigError, match=r"4 trials of 2 workers .* cluster.max_cpus = 7, which takes 7"
    ):
        placed(4)


def test_what_an_autoscaler_may_bring_is_not_refused() -> None:
    two = TrainSettings(num_workers=2)
    with_gpus = TrainSettings.model_validate(
        {"num_workers": 2, "resources_per_worker": {"cpu": 1, "gpu": 1}}
    )
    small = Growth(True, (NodeType({"CPU": 4.0}, 1),))

    assert cluster_placement(two, [], growth=small).num_workers == 2
    assert cluster_placement(with_gpus, [], growth=Growth(True, None)).num_workers == 2
    with pytest.raises(ConfigError, match="1 GPUs for each worker, but the cluster has 0"):
        cluster_placement(with_gpus, [], growth=small)
    with pytest.raises(ConfigError, match="5 workers"):
        cluster_placement(TrainSettings(num_workers=5, logical_shards=8), [], growth=small)


def test_auto_speaks_of_the_nodes_that_are_there() -> None:
    growing = Growth(True, None)

    assert cluster_placement(TrainSettings(), [{"CPU": 3.0}], growth=growing).num_workers == 3
    placed = search_placement(
        search(2), lambda train: cluster_placement(train, [{"CPU": 1.0}], growth=growing)
    )
    assert placed.num_groups == 1
