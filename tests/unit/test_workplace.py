"""Which Ray a command asks for, and with how many CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.display import NoDisplay
from distrain.errors import ConfigError
from distrain.ray_session import RaySession
from distrain.train.growth import FIXED, Growth, NodeType
from distrain.train.line import Line
from distrain.train.nodes import Node
from distrain.train.placement import num_cores
from distrain.workplace import data_session, planned_placement, search_session, training_session


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Addresses and CPUs that a Ray was asked for; a cluster of one node with 2 CPUs answers."""
    calls: list[tuple[str, float]] = []

    @contextmanager
    def session(address: str, *, num_cpus: float) -> Iterator[RaySession]:
        calls.append((address, num_cpus))
        yield RaySession(is_local=address == "local")

    def take(line: Line) -> int:
        line._group, line._count = "held", min(line._wanted.num_workers, 2)
        return line._count

    monkeypatch.setattr(Line, "take", take)
    monkeypatch.setattr(Line, "release", Line.hand_over)
    monkeypatch.setattr("distrain.workplace.growth", lambda: FIXED)
    monkeypatch.setattr("distrain.workplace.staying_nodes", lambda: [node(2.0)])
    monkeypatch.setattr("distrain.workplace.ray_session", session)
    monkeypatch.setattr("distrain.workplace.is_connected", lambda: False)
    monkeypatch.setattr("distrain.workplace._num_local_gpus", lambda: 0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return calls


def node(cpus: float) -> Node:
    return Node("id", "127.0.0.1", 1, {"CPU": cpus}, {"CPU": cpus})


def settings(num_workers: int | str, **sections: Any) -> Settings:
    train = {"num_workers": num_workers, "logical_shards": 64}
    return settings_from_dict(
        {"data": {"source": "a.csv", "target": "y"}, "train": train} | sections
    )


def test_a_local_ray_has_room_for_the_workers(asked: list[tuple[str, float]]) -> None:
    with training_session(settings(3), NoDisplay()) as place:
        assert place.settle().num_workers == 3
        assert place.line is None

    assert asked == [("local", 4)]


def test_workers_that_never_fit_are_refused_before_ray_starts(
    asked: list[tuple[str, float]],
) -> None:
    with (
        pytest.raises(ConfigError, match="64 workers"),
        training_session(settings(64), NoDisplay()),
    ):
        pass

    assert asked == []


def test_a_cluster_is_asked_what_it_has(asked: list[tuple[str, float]]) -> None:
    crowded = settings(3, cluster={"address": "head:6379"})
    assert planned_placement(crowded).num_workers == 3

    with (
        pytest.raises(ConfigError, match="whose 1 nodes take 2"),
        training_session(crowded, NoDisplay()),
    ):
        pass


def test_a_ray_that_is_connected_is_not_judged_as_this_machine(
    asked: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.workplace.is_connected", lambda: True)

    assert planned_placement(settings(64)).num_workers == 64
    assert asked == []


@pytest.mark.parametrize("configured", [None, "head:6379"])
def test_work_on_data_asks_for_the_machine_s_cores(
    asked: list[tuple[str, float]], configured: str | None
) -> None:
    with data_session(configured, NoDisplay()):
        pass

    assert asked == [(configured or "local", num_cores() + 1)]


CLUSTER: dict[str, Any] = {"address": "head:6379"}
SEARCH: dict[str, Any] = {
    "metric": "validation/loss",
    "num_trials": 8,
    "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
}


def test_room_is_held_until_the_session_ends(asked: list[tuple[str, float]]) -> None:
    with training_session(settings(2, cluster=CLUSTER), NoDisplay()) as place:
        assert place.line is not None
        assert place.line.num_held == 2

    assert place.line.num_held == 0


def test_room_that_was_given_back_is_waited_for_again(asked: list[tuple[str, float]]) -> None:
    with training_session(settings(2, cluster=CLUSTER), NoDisplay()) as place:
        assert place.line is not None
        place.line.release()

        place.settle()

        assert place.line.num_held == 2


def test_auto_is_as_many_workers_as_found_room(
    asked: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.workplace.staying_nodes", lambda: [node(8.0)])

    with training_session(settings("auto", cluster=CLUSTER), NoDisplay()) as place:
        assert place.line is not None
        assert (place.line._wanted.min_workers, place.line._wanted.num_workers) == (1, 8)
        assert (place.settle().num_workers, place.settle().min_workers) == (2, 2)


def test_an_elastic_run_may_grow_beyond_what_found_room(asked: list[tuple[str, float]]) -> None:
    elastic = settings({"min": 1, "max": 4}, cluster=CLUSTER)  # type: ignore[arg-type]

    with training_session(elastic, NoDisplay()) as place:
        assert (place.settle().num_workers, place.settle().min_workers) == (4, 1)


def test_what_an_autoscaler_can_bring_is_not_refused(
    asked: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    types = (NodeType({"CPU": 4.0}, 2),)
    monkeypatch.setattr("distrain.workplace.growth", lambda: Growth(True, types))
    with training_session(settings(10, cluster=CLUSTER), NoDisplay()) as place:
        assert place.planned().num_workers == 10

    with (
        pytest.raises(ConfigError, match="11 workers"),
        training_session(settings(11, cluster=CLUSTER), NoDisplay()),
    ):
        pass


def test_a_share_holds_where_an_autoscaler_brings_more(
    asked: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.workplace.growth", lambda: Growth(True, None))
    shared = settings("auto", cluster={**CLUSTER, "max_cpus": 6})

    with training_session(shared, NoDisplay()) as place:
        assert place.line is not None
        assert place.line._wanted.num_workers == 6


def test_a_search_waits_for_room_for_one_trial_alone(asked: list[tuple[str, float]]) -> None:
    search = settings(1, cluster=CLUSTER, tune=SEARCH)

    with search_session(search, NoDisplay()) as (place, _):
        assert place.line is not None
        assert place.line.num_held == 1
        assert place.settle().num_groups == 2


def test_a_share_bounds_trials_and_winner(
    asked: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.workplace.staying_nodes", lambda: [node(8.0)])
    search = settings(
        "auto", cluster={**CLUSTER, "max_cpus": 5}, tune={**SEARCH, "workers_per_trial": 2}
    )

    with search_session(search, NoDisplay()) as (place, winner):
        assert place.settle().num_groups == 2
        assert (winner.min_workers, winner.num_workers) == (1, 5)
