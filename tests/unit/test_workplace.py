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
from distrain.train.placement import num_cores
from distrain.workplace import data_session, planned_placement, training_session


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Addresses and CPUs that a Ray was asked for; a cluster of one node with 2 CPUs answers."""
    calls: list[tuple[str, float]] = []

    @contextmanager
    def session(address: str, *, num_cpus: float) -> Iterator[RaySession]:
        calls.append((address, num_cpus))
        yield RaySession(is_local=address == "local", nodes=({"CPU": 2.0},))

    monkeypatch.setattr("distrain.workplace.ray_session", session)
    monkeypatch.setattr("distrain.workplace.is_connected", lambda: False)
    monkeypatch.setattr("distrain.workplace._num_local_gpus", lambda: 0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return calls


def settings(num_workers: int, **sections: Any) -> Settings:
    train = {"num_workers": num_workers, "logical_shards": 64}
    return settings_from_dict(
        {"data": {"source": "a.csv", "target": "y"}, "train": train} | sections
    )


def test_a_local_ray_has_room_for_the_workers(asked: list[tuple[str, float]]) -> None:
    with training_session(settings(3), NoDisplay()) as placement:
        assert placement.num_workers == 3

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
