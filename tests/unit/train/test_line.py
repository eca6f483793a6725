"""Waiting in line for room; with a Ray that is told what it does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

import pytest
from ray.exceptions import RaySystemError

from distrain.display import Display
from distrain.errors import ClusterError
from distrain.train import line
from distrain.train.line import Line, asked_text, free_text
from distrain.train.nodes import Node
from distrain.train.placement import Placement


@final
class Told(Display):
    def __init__(self) -> None:
        self.waits: list[str] = []

    def waiting(self, text: str) -> None:
        self.waits.append(text)


@final
@dataclass
class FakeRay:
    """A cluster of one node; each wait of a second is a tick, at which its free CPUs change."""

    free: list[float]
    total: float = 4.0
    blocked: int = 0
    tick: int = 0
    groups: list["Group"] = field(default_factory=list)
    breaks_at: int | None = None

    @property
    def now(self) -> float:
        held = sum(group.count for group in self.groups if group.is_placed)
        return self.free[min(self.tick, len(self.free) - 1)] - held

    def nodes(self) -> list[Node]:
        return [Node("id", "127.0.0.1", 1, {"CPU": self.total}, {"CPU": self.now})]

    def sleep(self, _s: float) -> None:
        self.tick += 1

    @property
    def open(self) -> list[int]:
        return [group.count for group in self.groups]


@final
@dataclass(eq=False)
class Group:
    ray: FakeRay
    count: int
    is_placed: bool = False

    def wait(self, _s: int) -> bool:
        if self.ray.tick == self.ray.breaks_at:
            raise RaySystemError("the head is gone")
        if self.ray.now >= self.count and self.ray.tick >= self.ray.blocked:
            self.is_placed = True
        else:
            self.ray.tick += 1
        return self.is_placed


@pytest.fixture(autouse=True)
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay([4.0])

    def ask(_wanted: Placement, count: int) -> Group:
        fake.groups.append(Group(fake, count))
        return fake.groups[-1]

    monkeypatch.setattr(line, "_placement_group", ask)
    monkeypatch.setattr(line, "_remove", lambda group: fake.groups.remove(group))
    monkeypatch.setattr(line, "staying_nodes", fake.nodes)
    monkeypatch.setattr("distrain.train.line.time.sleep", fake.sleep)
    monkeypatch.setattr("distrain.train.line.time.monotonic", lambda: float(fake.tick))
    monkeypatch.setattr(Node, "answers", lambda _: True)
    return fake


TWO = Placement(2, 1.0, 0.0)
AUTO = Placement(4, 1.0, 0.0, least=1)


def in_line(
    wanted: Placement, wait_s: float = 60, *, is_growing: bool = False
) -> tuple[Line, Told]:
    told = Told()
    return Line(wanted, wait_s, told, is_growing=is_growing), told


def test_where_there_is_room_nothing_is_told(ray: FakeRay) -> None:
    place, told = in_line(TWO)

    assert place.take() == 2
    assert (place.num_held, ray.open, told.waits) == (2, [2], [])


def test_what_is_waited_for_is_told_with_what_there_is(ray: FakeRay) -> None:
    ray.free = [1.0] * 4 + [2.0]
    place, told = in_line(TWO)

    assert place.take() == 2
    assert told.waits[0] == (
        "waiting for room for 2 workers with 1 CPU each: 1 of 4 CPUs are free (for 60 s at most)"
    )


def test_what_ray_may_not_know_yet_is_not_told(ray: FakeRay) -> None:
    ray.free = [1.0, 2.0]
    place, told = in_line(TWO)

    assert place.take() == 2
    assert told.waits == []


def test_a_wait_that_runs_out_holds_nothing(ray: FakeRay) -> None:
    ray.free = [1.0]
    place, _ = in_line(TWO, wait_s=5)

    with pytest.raises(ClusterError, match=r"no room for 2 workers .* 1 of 4 CPUs") as caught:
        place.take()

    assert (caught.value.exit_code, caught.value.where) == (4, "cluster.wait_s = 5")
    assert (ray.open, ray.tick) == ([], 5)


def test_without_a_wait_what_is_busy_is_refused_once_that_is_sure(ray: FakeRay) -> None:
    ray.free = [1.0]
    place, _ = in_line(TWO, wait_s=0)

    with pytest.raises(ClusterError):
        place.take()

    assert ray.tick == line.FRESH_S


def test_without_a_wait_ray_still_has_time_to_place_what_fits(ray: FakeRay) -> None:
    ray.blocked = 5
    place, _ = in_line(TWO, wait_s=0)

    assert place.take() == 2


@pytest.mark.parametrize("wanted", [TWO, AUTO])
def test_room_that_ray_does_not_give_is_no_room(wanted: Placement, ray: FakeRay) -> None:
    ray.blocked = 1000  # as where what is free are parts of several GPUs
    place, told = in_line(wanted, wait_s=30)

    with pytest.raises(ClusterError):
        place.take()

    assert told.waits
    assert ray.tick == 30


def test_all_that_is_taken_is_waited_for_together(ray: FakeRay) -> None:
    ray.free = [1.0] * 20 + [2.0]
    place, _ = in_line(TWO, wait_s=30)
    place.take()
    place.release()
    ray.free = [1.0]

    with pytest.raises(ClusterError):
        place.take()

    assert ray.tick == 30


def test_auto_takes_what_is_free_now(ray: FakeRay) -> None:
    ray.free = [3.0]
    place, _ = in_line(AUTO)

    assert place.take() == 3


def test_what_ray_hears_of_a_moment_later_is_taken_too(ray: FakeRay) -> None:
    ray.free = [1.0, 4.0]
    place, _ = in_line(AUTO)

    assert place.take() == 4


def test_what_ray_is_about_to_place_is_not_given_up(ray: FakeRay) -> None:
    ray.free, ray.blocked = [4.0] + [1.0] * 4 + [4.0], 5  # bundles that are prepared are not free
    place, _ = in_line(AUTO)

    assert place.take() == 4
    assert ray.open == [4]


def test_auto_asks_once_there_is_room_for_how_many(ray: FakeRay) -> None:
    ray.free = [0.0] * 4 + [2.0]
    place, told = in_line(AUTO)

    assert place.take() == 2
    assert "1 worker with 1 CPU: 0 of 4 CPUs" in told.waits[0]


def test_an_autoscaler_sees_what_is_missing_and_what_it_brings_is_used(ray: FakeRay) -> None:
    ray.free, ray.total = [0.0] * 4 + [8.0], 8.0
    place, told = in_line(AUTO, is_growing=True)

    assert place.take() == 4
    assert ray.open == [4]
    assert "its autoscaler may bring nodes" in told.waits[0]


def test_fewer_workers_are_asked_for_where_others_were_faster(ray: FakeRay) -> None:
    ray.free, ray.blocked = [3.0] * 3 + [1.0] * 14, 14
    place, _ = in_line(AUTO)

    assert place.take() == 1
    assert ray.open == [1]


def test_a_cluster_that_goes_away_is_told(ray: FakeRay) -> None:
    ray.free, ray.breaks_at = [0.0], 3
    place, _ = in_line(TWO)

    with pytest.raises(ClusterError, match="the head is gone"):
        place.take()

    assert ray.open == []


def test_what_is_handed_over_is_not_given_back(ray: FakeRay) -> None:
    place, _ = in_line(TWO)
    place.take()

    assert place.hand_over() is ray.groups[0]
    place.release()

    assert (place.num_held, ray.open) == (0, [2])


def test_what_is_held_is_not_asked_for_twice(ray: FakeRay) -> None:
    place, _ = in_line(TWO)

    assert place.take() == place.take()
    assert ray.open == [2]


def test_gpus_are_told_where_there_are_some() -> None:
    nodes = [Node("id", "a", 1, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 0.5}), Node("id", "a", 1, {}, {})]

    assert free_text(nodes) == "0.5 of 8 CPUs and 0 of 2 GPUs are free"
    assert asked_text(Placement(1, 2.0, 0.5)) == "1 worker with 2 CPU and 0.5 GPU"
